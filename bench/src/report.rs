//! Rows on their way to their reader.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use crate::{Row, row::HEADS};

/// Rows on their way to their reader.
#[derive(Debug)]
pub struct Report {
    rows: Vec<Row>,
    /// Where each row is written as soon as it is measured.
    file: Option<File>,
    written: io::Result<()>,
}

/// A row that this run leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// As that of the [`Row`].
    pub id: String,
    /// As that of the [`Row`].
    pub what: String,
    /// Why.
    pub why: String,
}

/// What benches wrote.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The rows, in the order in which they were measured.
    pub rows: Vec<Row>,
    /// What was left out.
    pub gaps: Vec<Gap>,
    /// What is to be known of the machine or of a yardstick.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Box<Row>),
    Gap(Gap),
    Note { note: String },
}

impl Report {
    /// One that writes each row into this file, too, as soon as it is measured.
    ///
    /// # Errors
    /// Those of the file.
    pub fn new(path: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            rows: Vec::new(),
            file: path.map(File::create).transpose()?,
            written: Ok(()),
        })
    }

    /// One more row.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}", row.cells().join(" | "));
        self.write(&Line::Row(row.clone().into()));
        self.rows.push(row);
    }

    /// A row that this run leaves out, and why.
    pub fn leave_out(&mut self, id: &str, what: impl Into<String>, why: impl Into<String>) {
        self.write(&Line::Gap(Gap {
            id: id.into(),
            what: what.into(),
            why: why.into(),
        }));
    }

    /// What is to be known of the machine or of a yardstick.
    pub fn note(&mut self, note: impl Into<String>) {
        self.write(&Line::Note { note: note.into() });
    }

    /// Prints the table, if there is any row.
    ///
    /// # Errors
    /// The first of writing.
    pub fn end(self) -> io::Result<()> {
        if !self.rows.is_empty() {
            let mut table = Table::new();
            table
                .load_style(presets::ASCII_MARKDOWN)
                .set_header(HEADS)
                .add_rows(self.rows.iter().map(Row::cells));
            writeln!(io::stdout(), "{table}")?;
        }
        self.written
    }

    fn write(&mut self, line: &Line) {
        let Some(file) = self.file.as_mut().filter(|_| self.written.is_ok()) else {
            return;
        };
        let line = serde_json::to_string(line).map_err(io::Error::from);
        self.written = line.and_then(|line| writeln!(file, "{line}"));
    }
}

impl Measured {
    /// Reads what benches wrote, and adds it.
    ///
    /// # Errors
    /// Those of reading, and when a line is nothing that a bench writes.
    pub fn read(&mut self, path: &Path) -> io::Result<()> {
        let text = fs::read_to_string(path)?;
        for line in text.lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str(line)? {
                Line::Row(row) => self.rows.push(*row),
                Line::Gap(gap) => self.gaps.push(gap),
                Line::Note { note } => self.notes.push(note),
            }
        }
        Ok(())
    }
}

/// Writes rows, one JSON object a line, as [`Measured::read`] reads them.
///
/// # Errors
/// Those of writing.
pub fn write(path: &Path, rows: &[Row]) -> io::Result<()> {
    let lines: Result<Vec<String>, _> = rows.iter().map(serde_json::to_string).collect();
    fs::write(path, lines?.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("asm-bench-{}", std::process::id()));
        let mut report = Report::new(Some(&path)).expect("a file");
        report.add(Row::zero("Z1", "lost", 0, 7));
        report.leave_out("Z2", "back", "it takes long");
        report.note("C zlib 1.3.1");
        // It has not come to its end.
        let mut measured = Measured::default();
        measured.read(&path).expect("read");
        measured.read(&path).expect("read twice");
        fs::write(&path, "{\"id\": \"Z1\"}").expect("written");
        assert!(measured.read(&path).is_err(), "half a row");
        fs::remove_file(&path).expect("removed");
        let rows: Vec<_> = measured.rows.iter().map(|row| row.n).collect();
        assert_eq!((rows, measured.gaps.len()), (vec![7, 7], 2));
        assert_eq!(measured.gaps[0].why, "it takes long");
        assert_eq!(measured.notes[0], "C zlib 1.3.1");
    }
}
