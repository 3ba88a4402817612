//! Rows on their way to their reader.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use comfy_table::{Table, presets};

use crate::{Options, Row, row::HEADS};

/// Rows on their way to their reader.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// One more row.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}", row.cells().join(" | "));
        self.rows.push(row);
    }

    /// Prints the table, and writes the rows if that is wished.
    ///
    /// # Errors
    /// Those of writing.
    pub fn end(&self, options: &Options) -> io::Result<()> {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_header(HEADS)
            .add_rows(self.rows.iter().map(Row::cells));
        writeln!(io::stdout(), "{table}")?;
        match &options.json {
            Some(path) => write(path, &self.rows),
            None => Ok(()),
        }
    }
}

/// Writes rows, one JSON object a line, as [`read`] reads them.
///
/// # Errors
/// Those of writing.
pub fn write(path: &Path, rows: &[Row]) -> io::Result<()> {
    let lines: Result<Vec<String>, _> = rows.iter().map(serde_json::to_string).collect();
    fs::write(path, lines?.join("\n") + "\n")
}

/// What [`write()`] wrote.
///
/// # Errors
/// Those of reading, and when a line is no row.
pub fn read(path: &Path) -> io::Result<Vec<Row>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let rows: Result<_, _> = lines.map(serde_json::from_str).collect();
    Ok(rows?)
}
