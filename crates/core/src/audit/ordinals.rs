//! Sets of row ordinals, as ranges.

use serde::{Serialize, Serializer};

/// Ranges that are kept; rows beyond them are only counted.
pub const MAX_RANGES: usize = 1_000;

/// Ordinals of rows of one object version, added in ascending order, as far as [`MAX_RANGES`] ranges hold them. As JSON: a
/// list of pairs, first and last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordinals {
    /// First and last of each range.
    ranges: Vec<(u64, u64)>,
    rows: u64,
    /// Not all of them are in `ranges`.
    more: bool,
}

impl Ordinals {
    /// Adds an ordinal. One that was added before counts again and is named once.
    pub fn push(&mut self, row: u64) {
        self.rows += 1;
        if let Some((first, last)) = self.ranges.last_mut()
            && (*first..=last.saturating_add(1)).contains(&row)
        {
            *last = row.max(*last);
        } else if self.ranges.len() < MAX_RANGES {
            self.ranges.push((row, row));
        } else {
            self.more = true;
        }
    }

    /// Counts rows that are not named.
    pub fn count_beside(&mut self, rows: u64) {
        self.rows += rows;
        self.more |= rows > 0;
    }

    /// How many were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// First and last of each range that is kept.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether there are more than the ranges hold.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Those that are kept.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// For people, who count rows from 1: `3, 7-9, …`, at most `ranges` of them.
    pub fn shown(&self, ranges: usize) -> String {
        let one = |(first, last): &(u64, u64)| match first == last {
            true => format!("{}", first.saturating_add(1)),
            false => format!("{}-{}", first.saturating_add(1), last.saturating_add(1)),
        };
        let mut parts: Vec<String> = self.ranges.iter().take(ranges).map(one).collect();
        if self.more || self.ranges.len() > ranges {
            parts.push("…".to_owned());
        }
        parts.join(", ")
    }
}

impl FromIterator<u64> for Ordinals {
    fn from_iter<I: IntoIterator<Item = u64>>(rows: I) -> Self {
        let mut ordinals = Self::default();
        rows.into_iter().for_each(|row| ordinals.push(row));
        ordinals
    }
}

impl Serialize for Ordinals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ranges.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_ranges_and_people_count_from_one() {
        let ordinals = Ordinals::from_iter([0, 2, 3, 4, 9]);
        assert_eq!(ordinals.ranges(), [(0, 0), (2, 4), (9, 9)]);
        assert_eq!((ordinals.rows(), ordinals.shown(5).as_str()), (5, "1, 3-5, 10"));
        assert_eq!(ordinals.shown(2), "1, 3-5, …");
        assert_eq!(ordinals.iter().collect::<Vec<_>>(), [0, 2, 3, 4, 9]);
        let scattered: Ordinals = (0..3 * MAX_RANGES as u64).map(|row| row * 2).collect();
        assert_eq!((scattered.ranges().len(), scattered.has_more()), (MAX_RANGES, true));
        assert_eq!(scattered.rows(), 3 * MAX_RANGES as u64);
    }
}
