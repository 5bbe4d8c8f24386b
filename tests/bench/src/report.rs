//! What the run found, as Markdown.

use std::fmt;

use crate::chart::Chart;
use crate::machine;

/// All results, with what they were found on.
pub fn document(sections: &[Section]) -> String {
    let sections: String = sections.iter().map(|section| format!("\n{section}")).collect();
    format!("# Measurements\n\nWritten by `make bench`.\n\n{}{sections}", machine::description())
}

/// The results of one measurement.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What is measured and how, and what follows from it: paragraphs.
    pub text: Vec<String>,
    /// The figures.
    pub tables: Vec<Table>,
    /// Those that go into the picture.
    pub chart: Option<Chart>,
}

/// Rows of figures under a heading each.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(columns: &[&str]) -> Table {
        Table { columns: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[&dyn fmt::Display]) {
        assert_eq!(cells.len(), self.columns.len(), "a cell for every column");
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let align = |at: usize| if at == 0 { "---" } else { "---:" };
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}|", (0..self.columns.len()).map(align).collect::<Vec<_>>().join("|"))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}", self.title)?;
        self.tables.iter().try_for_each(|table| write!(f, "\n{table}"))?;
        self.text.iter().try_for_each(|text| write!(f, "\n{}\n", Wrapped(text)))
    }
}

/// A paragraph in lines of at most 120 columns.
struct Wrapped<'a>(&'a str);

impl fmt::Display for Wrapped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut column = 0;
        for word in self.0.split_whitespace() {
            let length = word.chars().count();
            match column {
                0 => (),
                _ if column + 1 + length > 120 => {
                    f.write_str("\n")?;
                    column = 0;
                }
                _ => {
                    f.write_str(" ")?;
                    column += 1;
                }
            }
            f.write_str(word)?;
            column += length;
        }
        Ok(())
    }
}

/// A number as people read it: 23,470.
pub fn number(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < -0.5 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0.0, 999.6, 23_470.2, -1234.0, 1e6].map(number), ["0", "1,000", "23,470", "−1,234", "1,000,000"]);
    }

    #[test]
    fn a_paragraph_is_wrapped_between_words() {
        let text = Wrapped(&"word ".repeat(50)).to_string();
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [119, 119, 9]);
    }

    #[test]
    fn a_table_is_one_of_markdown() {
        let mut table = Table::new(&["what", "n"]);
        table.row(&[&"a", &1]);
        assert_eq!(table.to_string(), "| what | n |\n|---|---:|\n| a | 1 |\n");
    }
}
