//! How many GET requests a file takes, before it is read: the numbers of the modules that read it, added up.

use connector_core::spec::Format;
use connector_decode::infer::{PACKED_HEAD_BYTES, sample_ranges};

use super::parquet_source::{self, TAIL_BYTES};
use super::sizing::{self, Sizing};

/// What is known of a file from a listing.
#[derive(Clone, Copy, Debug)]
pub struct FileSize {
    pub format: Format,
    /// Bytes, as they are stored.
    pub bytes: u64,
    /// Whether the suffix says that it is compressed.
    pub packed: bool,
}

impl FileSize {
    pub fn of_listing(key: &str, bytes: u64, format: Format) -> Self {
        let key = key.to_ascii_lowercase();
        let packed = format.is_text() && super::content::PACKED_SUFFIXES.iter().any(|suffix| key.ends_with(suffix));
        Self { format, bytes, packed }
    }

    /// GET requests to learn what columns it brings. The reference file is looked at once more than the others.
    pub fn inspection(self) -> u64 {
        let Self { format, bytes, packed } = self;
        if format == Format::Parquet {
            // Footers that do not fit into the tail are rare.
            return if bytes <= TAIL_BYTES { 1 } else { 2 };
        }
        let (head, pieces) = sample_ranges(bytes);
        match packed {
            true => 1 + u64::from(head.end < bytes.min(PACKED_HEAD_BYTES)),
            false => 1 + pieces.len() as u64,
        }
    }

    /// GET requests to read it. `largest`: what one request of the memory budget gets; `columns`: those of the table.
    pub fn reading(self, columns: usize, largest: u64) -> u64 {
        let Self { format, bytes, packed } = self;
        if format == Format::Parquet {
            return match parquet_source::fits_memory(bytes, largest) {
                true => 1,
                false => bytes.div_ceil(parquet_source::part_bytes(largest)),
            };
        }
        let sizing = Sizing::new(&connector_core::evolve::FilePlan::default());
        if sizing.cost(bytes).saturating_add(sizing::overhead(columns)) <= sizing::small_limit(largest) {
            return 1;
        }
        let part = match packed {
            true => sizing::window_parts(sizing::window(largest)).0,
            false => sizing.part(largest).bytes,
        };
        1 + bytes.div_ceil(part.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: u64 = 64 << 20;

    fn of(key: &str, bytes: u64) -> (u64, u64) {
        let file = FileSize::of_listing(key, bytes, Format::of_key(key).expect("a format"));
        (file.inspection(), file.reading(10, LARGEST))
    }

    #[test]
    fn a_small_file_takes_two_requests_and_a_large_one_as_many_as_it_has_parts() {
        for key in ["a.csv", "a.ndjson", "a.csv.gz", "a.parquet"] {
            assert_eq!(of(key, 1_000), (1, 1), "{key}");
        }
        // Head, middle and tail; then the magic number and parts of 4 MiB.
        assert_eq!(of("a.csv", 40 << 20), (3, 1 + 10));
        assert_eq!(of("a.csv.gz", 40 << 20), (2, 1 + 40));
        assert_eq!(of("a.parquet", 40 << 20), (2, 10));
        assert_eq!(of("a.parquet", 10 << 20), (2, 1));
        assert_eq!(of("a.csv", 7 << 20), (3, 1));
    }
}
