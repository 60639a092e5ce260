//! Reading records and their cells out of a block of whole records.

use csv_core::ReadRecordResult;

use super::CsvOptions;

/// Reads the records of one block.
pub(crate) struct Records {
    reader: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One record: its unquoted cells, and where in the block it is.
pub(crate) struct Record<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    /// The bytes of the block that the reader used for it: the record with the line ends around it.
    pub(crate) span: std::ops::Range<usize>,
}

impl Record<'_> {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All cells without a border between them.
    pub(crate) fn text(&self) -> &[u8] {
        self.text
    }

    /// Where each cell ends in [`Record::text`].
    pub(crate) fn ends(&self) -> &[usize] {
        self.ends
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

impl Records {
    pub(crate) fn new(options: &CsvOptions) -> Self {
        Self { reader: options.reader(), text: vec![0; 4096], ends: vec![0; 64] }
    }

    /// Calls `each` with every record of `block`, which holds whole records; the last one may lack its line end.
    pub(crate) fn for_each(mut self, block: &[u8], mut each: impl FnMut(Record<'_>)) {
        let (mut at, mut start, mut text_length, mut cells) = (0, 0, 0, 0);
        loop {
            let (result, read, wrote, ended) =
                self.reader.read_record(&block[at..], &mut self.text[text_length..], &mut self.ends[cells..]);
            at += read;
            text_length += wrote;
            cells += ended;
            match result {
                // The next call passes an empty input, which is how the reader learns of the end.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    each(Record { text: &self.text[..text_length], ends: &self.ends[..cells], span: start..at });
                    (start, text_length, cells) = (at, 0, 0);
                }
                ReadRecordResult::End => return,
            }
        }
    }
}
