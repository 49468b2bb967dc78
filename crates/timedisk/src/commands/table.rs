//! Columns of text.

use std::fmt::Write;

/// A table, whose first line is its heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Table { lines: vec![heading.iter().map(|word| word.to_string()).collect()] }
    }

    pub(super) fn line(&mut self, cells: Vec<String>) {
        self.lines.push(cells.iter().map(|cell| printable(cell)).collect());
    }
}

/// Each column as wide as its widest cell; cells of numbers to the right.
impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let is_number = |cell: &str| cell.starts_with(|first: char| first.is_ascii_digit());
        let right: Vec<bool> = (0..columns)
            .map(|column| {
                let mut cells = self.lines.iter().skip(1).filter_map(|line| line.get(column)).peekable();
                cells.peek().is_some() && cells.all(|cell| is_number(cell) && !cell.contains(':'))
            })
            .collect();
        for line in &self.lines {
            let mut text = String::new();
            for ((cell, width), right) in line.iter().zip(&widths).zip(&right) {
                match right {
                    true => write!(text, "{cell:>width$}  ")?,
                    false => write!(text, "{cell:<width$}  ")?,
                }
            }
            writeln!(formatter, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A text without anything that a terminal would obey: initiators choose their names themselves.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Bytes, short.
pub(crate) fn short(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || value >= 99.95 { format!("{value:.0}{name}") } else { format!("{value:.1}{name}") }
}

/// Seconds, short.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() {
        let mut table = Table::new(&["DISK", "SIZE", "PEER"]);
        table.line(vec!["target0".into(), "8.0MB".into(), "10.0.0.1:99".into()]);
        table.line(vec!["t".into(), "100GB".into(), "10.0.0.12:99".into()]);
        let expected = "DISK      SIZE  PEER\ntarget0  8.0MB  10.0.0.1:99\nt        100GB  10.0.0.12:99\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let mut table = Table::new(&["INITIATOR"]);
        table.line(vec!["a\x1b[2Jb\nc\u{9b}d".into()]);
        assert_eq!(table.to_string(), "INITIATOR\na\\u{1b}[2Jb\\nc\\u{9b}d\n");
    }

    #[test]
    fn sizes_and_ages_are_short() {
        for (bytes, shown) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.0KB"), (104_857_600, "100MB"), (3 << 39, "1.5TB")]
        {
            assert_eq!(short(bytes), shown);
        }
        for (seconds, shown) in [(5, "5s"), (65, "1m05s"), (3 * 3600 + 120, "3h02m"), (90_000, "1d01h")] {
            assert_eq!(age(seconds), shown);
        }
    }
}
