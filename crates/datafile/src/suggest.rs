//! "Did you mean": the nearest of a few known words.

/// The known word that is nearest to what was written, ignoring case, if it is near enough to be meant.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = written.to_lowercase().chars().collect();
    // A long word is not compared letter by letter with everything: nothing known is that long.
    if wanted.is_empty() || wanted.len() > 128 {
        return None;
    }
    known
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            let distance = distance(&wanted, &letters);
            let near = distance <= 1 + letters.len().min(wanted.len()) / 4;
            // Of two words that are equally near, the one with the same letters was meant: two were swapped.
            near.then(|| (distance, sorted(&letters) != sorted(&wanted), candidate))
        })
        .min_by_key(|(distance, other_letters, _)| (*distance, *other_letters))
        .map(|(.., candidate)| candidate)
}

fn sorted(letters: &[char]) -> Vec<char> {
    let mut letters = letters.to_vec();
    letters.sort_unstable();
    letters
}

/// How many letters have to be inserted, removed, replaced or swapped with their neighbour.
fn distance(left: &[char], right: &[char]) -> usize {
    let width = right.len() + 1;
    let mut table = vec![0; (left.len() + 1) * width];
    for row in 0..=left.len() {
        for column in 0..=right.len() {
            let here = row * width + column;
            table[here] = if row == 0 || column == 0 {
                row + column
            } else {
                let differs = usize::from(left[row - 1] != right[column - 1]);
                let changed = table[here - width - 1] + differs;
                let swapped = if row > 1
                    && column > 1
                    && left[row - 1] == right[column - 2]
                    && left[row - 2] == right[column - 1]
                {
                    table[here - 2 * width - 2] + 1
                } else {
                    usize::MAX
                };
                changed.min(swapped).min(table[here - 1] + 1).min(table[here - width] + 1)
            };
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant_and_nonsense_finds_none() {
        let known = ["IMPORT_SCHEDULE", "IMPORT_STRATEGY", "SCHEMA", "ENGINE", "TYPE", "Int16", "Int64"];
        for (written, meant) in [
            ("IMPORT_SHEDULE", Some("IMPORT_SCHEDULE")),
            ("schmea", Some("SCHEMA")),
            ("ENGIN", Some("ENGINE")),
            ("Tpye", Some("TYPE")),
            ("Int46", Some("Int64")),
            ("BANANA", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }
}
