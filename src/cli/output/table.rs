//! Tables that fit the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::colour::Tone;

/// Blanks between two columns.
const GAP: usize = 2;
/// No column is made narrower than this, or than its heading.
const NARROWEST: usize = 12;

/// Rows, and how they are laid out. Pure: see [`super::table()`].
pub(super) struct Layout {
    /// Escaped; tabs and line ends, too.
    rows: Vec<Vec<String>>,
    shape: Shape,
}

enum Shape {
    /// The widths of the columns.
    Columns(Vec<usize>),
    /// Each row over several lines, of this width.
    Blocks(usize),
}

impl Layout {
    /// `width`: of the terminal; without one nothing is cut.
    pub(super) fn of(rows: &[Vec<String>], width: Option<usize>) -> Self {
        let cell = |cell: &String| super::clean(cell).replace('\t', "\\t").replace('\n', "\\n");
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
        let natural: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        let heading = |column: usize| rows[0].get(column).map_or(0, |cell| cell.width());
        let shape = match width {
            Some(width) if total(&natural) > width => {
                let least = |(column, natural): (usize, &usize)| match column {
                    // It names the row: who wants to copy it needs all of it.
                    0 => *natural,
                    _ => (*natural).min(heading(column).max(NARROWEST)),
                };
                let least: Vec<usize> = natural.iter().enumerate().map(least).collect();
                squeezed(&natural, &least, width).map_or(Shape::Blocks(width), Shape::Columns)
            }
            _ => Shape::Columns(natural),
        };
        Self { rows, shape }
    }

    /// The lines, with each piece of text passed through `paint`.
    pub(super) fn lines(&self, paint: impl Fn(Tone, &str) -> String) -> Vec<String> {
        match &self.shape {
            Shape::Columns(widths) => {
                let line = |(index, row): (usize, &Vec<String>)| aligned(row, widths, index == 0, &paint);
                self.rows.iter().enumerate().map(line).collect()
            }
            Shape::Blocks(width) => self.blocks(*width, &paint),
        }
    }

    /// The first cell of each row on a line of its own, the others below it with their headings.
    fn blocks(&self, width: usize, paint: &impl Fn(Tone, &str) -> String) -> Vec<String> {
        let Some((heading, rows)) = self.rows.split_first() else { return Vec::new() };
        let mut lines = Vec::new();
        for row in rows {
            lines.push(paint(Tone::Heading, row.first().map_or("", |cell| cell.trim_end())));
            let (mut line, mut used) = (String::new(), 0);
            for (name, cell) in heading.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty()) {
                let name = name.to_lowercase();
                let label = if name.is_empty() { name } else { format!("{name} ") };
                let cell = shortened(cell, width.saturating_sub(4 + label.width()).max(NARROWEST));
                let needed = label.width() + cell.width();
                if used > 0 && used + GAP + needed > width {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                let gap = if used == 0 { "    " } else { "  " };
                used += gap.len() + needed;
                line += &format!("{gap}{label}{}", paint(Tone::of_cell(&cell), &cell));
            }
            lines.extend((!line.is_empty()).then_some(line));
        }
        lines
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Widths that fit: the widest columns give first. `None` if even the least do not fit.
fn squeezed(natural: &[usize], least: &[usize], width: usize) -> Option<Vec<usize>> {
    if total(least) > width {
        return None;
    }
    let mut widths = natural.to_vec();
    while total(&widths) > width {
        let may_give = (0..widths.len()).filter(|column| widths[*column] > least[*column]);
        let widest = may_give.max_by_key(|column| widths[*column])?;
        widths[widest] -= 1;
    }
    Some(widths)
}

fn aligned(row: &[String], widths: &[usize], heading: bool, paint: &impl Fn(Tone, &str) -> String) -> String {
    let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate().take(last + 1) {
        let cell = shortened(cell, *width);
        let tone = if heading { Tone::Heading } else { Tone::of_cell(&cell) };
        line += &paint(tone, cell.trim_end());
        if column < last {
            let blanks = width.saturating_sub(cell.trim_end().width()) + GAP;
            line.extend(std::iter::repeat_n(' ', blanks));
        }
    }
    line
}

/// A text of at most this width; what is too much is taken from its middle.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let (front, back) = (room - room / 2, room / 2);
    let take = |letters: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        let fits = |letter: &char| {
            used += letter.width().unwrap_or(0);
            used <= room
        };
        letters.take_while(fits).collect::<String>()
    };
    let start = take(&mut text.chars(), front);
    let end: String = take(&mut text.chars().rev(), back).chars().rev().collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(rows: &[&[&str]], width: Option<usize>) -> Vec<String> {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        Layout::of(&rows, width).lines(|_, text| text.to_owned())
    }

    const LONG: &str = "orders/2025/01/31/a-very-long-name-of-a-file.csv";

    #[test]
    fn nothing_is_cut_without_a_terminal() {
        let lines = laid_out(&[&["NAME", "KEY", "ROWS"], &["orders", LONG, "7"]], None);
        assert_eq!(lines[1], format!("orders  {LONG}  7"));
    }

    #[test]
    fn the_widest_column_loses_its_middle_and_the_first_one_nothing() {
        let lines = laid_out(&[&["NAME", "KEY", "ROWS"], &["a-name-that-is-not-short", LONG, "7"]], Some(60));
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:?}");
        assert!(lines[1].starts_with("a-name-that-is-not-short  orders/2025"), "{lines:?}");
        assert!(lines[1].contains('…') && lines[1].ends_with(".csv  7"), "{lines:?}");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let lines = laid_out(&[&["NAME", "X"], &["日本語", "1"], &["abc", "2"]], None);
        assert_eq!(lines, ["NAME    X", "日本語  1", "abc     2"]);
        for width in 4..40 {
            let text = "日本語のファイル名/データ.csv";
            assert!(shortened(text, width).width() <= width, "{width}");
        }
    }

    #[test]
    fn a_table_that_cannot_fit_goes_over_several_lines_and_hides_nothing() {
        let heading = ["BATCH", "CLAIMED", "KIND", "STATE", "FILES", "QUARANTINED", "VERSION"];
        let row = ["01JCXW2Q0V5T8Z3M4N6P7R9S1K", "2025-01-31T10:00:00Z", "import", "finalised", "5", "0", "3"];
        let lines = laid_out(&[&heading, &row], Some(60));
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:?}");
        let all = lines.join("\n");
        assert!(row.iter().all(|cell| all.contains(cell)) && all.contains("claimed 2025"), "{all}");
    }

    #[test]
    fn a_cell_neither_breaks_a_row_nor_acts_on_the_terminal() {
        let lines = laid_out(&[&["KEY", "X"], &["a\nb\tc\u{1b}[2J", "1"]], None);
        assert_eq!(lines[1], "a\\nb\\tc\\u001b[2J  1");
        assert!(laid_out(&[], Some(80)).is_empty());
    }
}
