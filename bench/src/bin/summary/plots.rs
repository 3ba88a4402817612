//! Pictures of what was measured. On white, so that they can be read on any page.

use std::{collections::BTreeMap, error::Error, fs, ops::Range, path::Path};

use asm_bench::{Goal, Point, Row, Unit};
use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
        types::RangedCoordf64,
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{figures::ORDER, of};

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// The whole picture, and the part below its title.
type Picture<'a> = (Canvas<'a>, Canvas<'a>);
type Chart<'a, X> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, RangedCoordf64>,
>;
type Drawn = Result<(), Box<dyn Error>>;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const THEIRS: RGBColor = RGBColor(0xd9, 0x6b, 0x0b);
const COLORS: [RGBColor; 4] = [
    OURS,
    THEIRS,
    RGBColor(0x2c, 0x8a, 0x3d),
    RGBColor(0x8a, 0x4f, 0xb0),
];
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const PALE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const WIDTH: u32 = 820;

/// Draws all whose rows are there.
pub(crate) fn draw(rows: &[Row], folder: &Path) -> Drawn {
    fs::create_dir_all(folder)?;
    goals(rows, &folder.join("goals.svg"))?;
    lost(rows, &folder.join("lost.svg"))?;
    for (along, unit, title) in [
        (
            "sessions",
            Unit::Milliseconds,
            "One open and save, by the number of sessions (ms)",
        ),
        (
            "callers",
            Unit::PerSecond,
            "Open and save a second, by the number of callers",
        ),
        (
            "waiters",
            Unit::Milliseconds,
            "From one holder's release to the next one's grant, by the number who wait (ms)",
        ),
    ] {
        curves(
            rows,
            along,
            unit,
            title,
            &folder.join(along).with_extension("svg"),
        )?;
    }
    Ok(())
}

/// How far each row is from its goal: right of the line is better.
fn goals(rows: &[Row], path: &Path) -> Drawn {
    let reached: Vec<(&str, f64)> = ORDER
        .iter()
        .filter_map(|id| Some((*id, of(rows, id).filter_map(reached).reduce(f64::min)?)))
        .collect();
    if reached.is_empty() {
        return Ok(());
    }
    let list = List {
        title: "Each row against its goal (its worst part; right of the line is better)",
        lines: reached.len(),
        height: 22,
        names: 44,
        along: "times the goal",
    };
    let (whole, mut chart) = list.chart(path, (0.1..10.0).log_scale())?;
    let y = |place: usize| (reached.len() - place) as f64 - 0.5;
    for (place, (id, times)) in reached.iter().enumerate() {
        let color = if *times >= 1.0 { OURS } else { THEIRS };
        let end = times.clamp(0.1, 10.0);
        let line = [(1.0, y(place)), (end, y(place))];
        chart.draw_series(LineSeries::new(line, color.stroke_width(5)))?;
        chart.draw_series([Circle::new((end, y(place)), 5, color.filled())])?;
        let (by, style) = beside(end >= 1.0);
        let number = Text::new(format!("{times:.2}"), (by, 0), style);
        chart.draw_series([EmptyElement::at((end, y(place))) + number])?;
        let area = chart.plotting_area();
        let (_, down) = area.map_coordinate(&(1.0, y(place)));
        whole.draw(&Text::new(
            (*id).to_owned(),
            (14, down),
            text(13).pos(Pos::new(HPos::Left, VPos::Center)),
        ))?;
    }
    let line = [(1.0, 0.0), (1.0, reached.len() as f64)];
    chart.draw_series(LineSeries::new(line, INK.stroke_width(1)))?;
    Ok(whole.present()?)
}

/// By how much more than asked for; nothing when nothing is, or when it is counted.
fn reached(row: &Row) -> Option<f64> {
    match row.goal {
        Goal::RatioAtLeast(least) => Some(row.ratio?.median / least),
        Goal::RatioAtMost(most) => Some(most / row.ratio?.median),
        Goal::AtMost(most) if most > 0.0 => Some(most / row.value.median),
        Goal::AtMost(_) | Goal::None => None,
    }
}

/// What each stack lost of the same updates.
fn lost(rows: &[Row], path: &Path) -> Drawn {
    let lost: Vec<&Row> = rows
        .iter()
        .filter(|row| row.unit == Unit::Percent)
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let list = List {
        title: "Updates lost of 512 to one session over HTTP",
        lines: lost.len(),
        height: 26,
        names: 310,
        along: "percent",
    };
    let (whole, mut chart) = list.chart(path, 0.0..100.0)?;
    for (place, row) in lost.iter().enumerate() {
        let (bottom, percent) = ((lost.len() - place - 1) as f64, row.value.median);
        let color = if row.goal == Goal::None { THEIRS } else { OURS };
        let bar = Rectangle::new(
            [(0.0, bottom + 0.2), (percent, bottom + 0.8)],
            color.filled(),
        );
        chart.draw_series([bar])?;
        let (by, style) = beside(true);
        let number = Text::new(format!("{percent:.1}"), (by, 0), style);
        chart.draw_series([EmptyElement::at((percent, bottom + 0.5)) + number])?;
        let (left, down) = chart.plotting_area().map_coordinate(&(0.0, bottom + 0.5));
        let style = text(13).pos(Pos::new(HPos::Right, VPos::Center));
        whole.draw(&Text::new(
            row.what.replace("lost by ", ""),
            (left - 8, down),
            style,
        ))?;
    }
    Ok(whole.present()?)
}

/// Lines below each other, each with its name on its left.
struct List {
    title: &'static str,
    lines: usize,
    /// Of a line.
    height: u32,
    /// How wide the names are.
    names: u32,
    /// What there is more of to the right.
    along: &'static str,
}

impl List {
    /// The whole picture, and the chart in it: its lines are 1 high, the last one is at 0.
    fn chart<'a, X>(
        &self,
        path: &'a Path,
        along: X,
    ) -> Result<(Canvas<'a>, Chart<'a, X>), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let lines = self.lines;
        let (whole, below) = picture(path, self.height * lines as u32 + 90, self.title)?;
        let mut chart = ChartBuilder::on(&below)
            .margin(12)
            .margin_right(60)
            .x_label_area_size(34)
            .y_label_area_size(self.names)
            .build_cartesian_2d(along, 0.0..lines as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(WHITE)
            .bold_line_style(PALE)
            .x_desc(self.along)
            .x_label_formatter(&|at| short(*at))
            .label_style(text(13))
            .draw()?;
        Ok((whole, chart))
    }
}

/// Every curve along this, and its yardstick where that is measured anew at each point.
fn curves(rows: &[Row], along: &str, unit: Unit, title: &str, path: &Path) -> Drawn {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.unit == unit) {
        let Some(Point { curve, at, .. }) = row.point.as_ref().filter(|point| point.along == along)
        else {
            continue;
        };
        let at = *at as f64;
        let line = lines.entry(curve.clone()).or_default();
        line.push((at, row.value.median));
        let Some(yardstick) = row.yardstick.filter(|_| along != "sessions") else {
            continue;
        };
        // Several curves may share one.
        let point = (at, yardstick.median);
        if !lines.values().any(|points| points.contains(&point)) {
            let name = format!("{curve}: yardstick");
            lines.entry(name).or_default().push(point);
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let (whole, below) = picture(path, 420, title)?;
    let x = range(&lines, |point| point.0);
    // With room for their names.
    let y = range(&lines, |point| point.1);
    let y = y.start..y.end * 2.5;
    let mut chart = ChartBuilder::on(&below)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(PALE)
        .x_desc(along)
        .x_label_formatter(&|count| short(*count))
        .y_label_formatter(&|value| short(*value))
        .label_style(text(13))
        .draw()?;
    let mut colors = COLORS.iter().cycle();
    let mut color = INK;
    for (name, points) in lines {
        let yardstick = name.ends_with(": yardstick");
        // The yardstick follows its curve.
        if !yardstick {
            color = *colors.next().unwrap_or(&INK);
        }
        let style = if yardstick {
            color.mix(0.45)
        } else {
            color.mix(1.0)
        }
        .stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.clone(), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        chart.draw_series(
            points
                .into_iter()
                .map(|point| Circle::new(point, 4, style.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(PALE)
        .label_font(text(13))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    Ok(whole.present()?)
}

/// All of it, with some room.
fn range(lines: &BTreeMap<String, Vec<(f64, f64)>>, of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let all = || lines.values().flatten().map(&of);
    all().fold(f64::INFINITY, f64::min) * 0.8..all().fold(0.0, f64::max) * 1.25
}

fn picture<'a>(path: &'a Path, height: u32, title: &str) -> Result<Picture<'a>, Box<dyn Error>> {
    let whole = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    whole.fill(&WHITE)?;
    let below = whole.titled(title, text(16))?;
    Ok((whole, below))
}

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// What stands a little to the right of a place, or to the left.
fn beside(right: bool) -> (i32, TextStyle<'static>) {
    let (by, place) = if right {
        (9, HPos::Left)
    } else {
        (-9, HPos::Right)
    };
    (by, text(12).pos(Pos::new(place, VPos::Center)))
}

/// As people write it.
fn short(number: f64) -> String {
    match number {
        1e6.. => format!("{} M", number / 1e6),
        1e3.. => format!("{} k", number / 1e3),
        _ => {
            let digits = format!("{number:.3}");
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            digits.to_owned()
        }
    }
}
