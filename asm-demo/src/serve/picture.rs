//! How a run is drawn: a row for each request, its time from left to right.

use std::{sync::Arc, time::Duration};

use askama::Template;

use super::{
    lane::{Lane, Log, Span, Tone},
    runs::Run,
};

/// The width of a row's drawing; its units are those of the bars.
const WIDTH: f64 = 1000.0;

/// The narrowest bar that is seen.
const NARROWEST: f64 = 3.0;

/// The shortest time that a picture shows, so that a run that has just begun is not all of it.
const SHORTEST: Duration = Duration::from_millis(50);

/// A run, and its picture as it is now.
#[derive(Debug)]
pub(super) struct RunView {
    pub(super) id: String,
    pub(super) verdict: Option<String>,
    pub(super) picture: Picture,
}

/// The rows of a run.
#[derive(Debug, Template)]
#[template(path = "picture.html")]
pub(super) struct Picture {
    rows: Vec<Row>,
    total: String,
}

#[derive(Debug)]
struct Row {
    label: String,
    bars: Vec<Bar>,
    waited: String,
    held: String,
    calls: u32,
    outcome: String,
    tone: &'static str,
}

/// A stretch of time.
#[derive(Debug, PartialEq)]
struct Bar {
    kind: &'static str,
    /// Where it stands in its row. Moments stand one above the other, for they may be the same.
    y: u8,
    height: u8,
    x: f64,
    width: f64,
}

impl RunView {
    pub(super) fn of(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            verdict: run.verdict().map(str::to_owned),
            picture: Picture::of(&run.lanes),
        }
    }
}

impl Picture {
    pub(super) fn of(lanes: &[Arc<Lane>]) -> Self {
        let logs: Vec<(&str, Log)> = lanes
            .iter()
            .map(|lane| (lane.label(), lane.log()))
            .collect();
        let total = logs.iter().map(|(_, log)| last(log)).max();
        let total = total.unwrap_or_default().max(SHORTEST);
        Self {
            rows: logs
                .iter()
                .map(|(label, log)| Row::of(label, log, total))
                .collect(),
            total: millis(total),
        }
    }
}

impl Row {
    fn of(label: &str, log: &Log, total: Duration) -> Self {
        let bar = |kind, span: &Span| Bar::of(kind, span, total);
        let mark = |kind, at: Duration| Bar::at(kind, at, total);
        let whole = log.whole.iter().map(|span| bar("runs", span));
        let waits = log.waits.iter().map(|span| bar("waits", span));
        let holds = log.holds.iter().map(|span| bar("holds", span));
        let overtaken = log.overtaken.iter().map(|at| mark("meets", *at));
        let saved = log.saved.iter().map(|at| mark("saves", *at));
        Self {
            label: label.to_owned(),
            bars: whole
                .chain(waits)
                .chain(holds)
                .chain(overtaken)
                .chain(saved)
                .collect(),
            waited: sum(&log.waits, total),
            held: sum(&log.holds, total),
            calls: log.calls,
            outcome: if log.outcome.is_empty() {
                log.doing().to_owned()
            } else {
                log.outcome.clone()
            },
            tone: match log.tone {
                Tone::Open => "open",
                Tone::Kept => "kept",
                Tone::Merged => "merged",
                Tone::Refused => "refused",
                Tone::Lost => "lost",
            },
        }
    }
}

impl Bar {
    fn of(kind: &'static str, span: &Span, total: Duration) -> Self {
        let x = place(span.from, total);
        let to = place(span.to.unwrap_or(total), total);
        let (y, height) = stands(kind);
        Self {
            kind,
            y,
            height,
            x: x.min(WIDTH - NARROWEST),
            width: (to - x).max(NARROWEST),
        }
    }

    fn at(kind: &'static str, at: Duration, total: Duration) -> Self {
        let (y, height) = stands(kind);
        Self {
            kind,
            y,
            height,
            x: (place(at, total) - NARROWEST).clamp(0.0, WIDTH - 2.0 * NARROWEST),
            width: 2.0 * NARROWEST,
        }
    }
}

fn stands(kind: &str) -> (u8, u8) {
    match kind {
        "runs" => (7, 6),
        "meets" => (0, 10),
        "saves" => (10, 10),
        _ => (2, 16),
    }
}

/// The last moment that a request is known to have had.
fn last(log: &Log) -> Duration {
    let spans = log.whole.iter().chain(&log.waits).chain(&log.holds);
    let ends = spans.map(|span| span.to.unwrap_or(span.from));
    ends.chain(log.saved).max().unwrap_or_default()
}

fn place(at: Duration, total: Duration) -> f64 {
    let part = at.as_secs_f64() / total.as_secs_f64();
    (part * WIDTH * 10.0).round() / 10.0
}

fn sum(spans: &[Span], now: Duration) -> String {
    let lengths = spans
        .iter()
        .map(|span| span.to.unwrap_or(now).saturating_sub(span.from));
    match lengths.sum() {
        Duration::ZERO => "–".to_owned(),
        sum => millis(sum),
    }
}

/// In milliseconds, for people.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bar_lies_where_its_time_was() {
        let span = Span {
            from: ms(50),
            to: Some(ms(150)),
        };
        let bar = Bar::of("waits", &span, ms(200));
        assert_eq!((bar.x, bar.width), (250.0, 500.0));
        let open = Span {
            from: ms(50),
            to: None,
        };
        assert_eq!(Bar::of("waits", &open, ms(200)).width, 750.0);
        let short = Span {
            from: ms(50),
            to: Some(ms(50)),
        };
        assert_eq!(Bar::of("waits", &short, ms(200)).width, NARROWEST);
    }

    #[test]
    fn what_is_written_by_others_is_text() {
        let lane = Lane::new(
            "<script>".into(),
            std::time::Instant::now(),
            tokio::sync::watch::Sender::new(()),
        );
        lane.settle(Tone::Lost, "a & b");
        let html = Picture::of(&[Arc::new(lane)]).render().expect("a page");
        assert!(!html.contains("<script>"), "{html}");
        assert!(
            html.contains("a &#38; b") || html.contains("a &amp; b"),
            "{html}"
        );
    }
}
