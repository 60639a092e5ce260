//! gzip: members one after the other, each with a header, deflated data, and a trailer that proves them.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::Trouble;

const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA_FIELD: u8 = 1 << 2;
const FILE_NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;
/// Bytes that every header has.
const FIXED_HEADER: usize = 10;
/// File name and comment have no length of their own; real headers are far below this.
const MAX_HEADER: usize = 256 << 10;
const TRAILER: usize = 8;

pub(super) struct Gzip {
    state: State,
    inflate: Decompress,
    /// Of what came out of the present member.
    checksum: Crc,
    /// Members that are complete.
    members: u64,
}

enum State {
    /// As much of a header as earlier pieces had of it; nothing between two members.
    Header(Vec<u8>),
    Body,
    Trailer(Vec<u8>),
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { state: State::Header(Vec::new()), inflate: Decompress::new(false), checksum: Crc::new(), members: 0 }
    }

    pub(super) fn missing(&self) -> Option<&'static str> {
        match &self.state {
            State::Header(header) if !header.is_empty() || self.members == 0 => Some("it ends inside a header"),
            State::Header(_) => None,
            State::Body => Some("it ends inside the compressed data"),
            State::Trailer(_) => Some("it ends before the checksum is complete"),
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, Trouble> {
        match self.state {
            State::Header(_) => self.header(input),
            State::Body => self.body(input, output),
            State::Trailer(_) => self.trailer(input),
        }
    }

    fn header(&mut self, input: &[u8]) -> Result<usize, Trouble> {
        let State::Header(known) = &mut self.state else { return Ok(0) };
        let before = known.len();
        let input = &input[..input.len().min(MAX_HEADER - before)];
        // A file may have a member for every few bytes: only a header that ends in a later piece is copied.
        let found = match known.is_empty() {
            true => header_length(input),
            false => {
                known.extend_from_slice(input);
                header_length(known)
            }
        };
        match found {
            Ok(Some(length)) => {
                self.state = State::Body;
                self.inflate.reset(false);
                self.checksum.reset();
                Ok(length - before)
            }
            Ok(None) if before + input.len() == MAX_HEADER => Err(corrupt(0, "the header of a member does not end")),
            Ok(None) => {
                if before == 0 {
                    known.extend_from_slice(input);
                }
                Ok(input.len())
            }
            Err(NO_MAGIC) if self.members > 0 => Err(corrupt(0, "behind its last member is something else")),
            Err(reason) => Err(corrupt(0, reason)),
        }
    }

    fn body(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, Trouble> {
        let (before_in, before_out) = (self.inflate.total_in(), output.len());
        let status = self.inflate.decompress_vec(input, output, FlushDecompress::None);
        // No more than the input is long.
        let consumed = (self.inflate.total_in() - before_in) as usize;
        self.checksum.update(&output[before_out..]);
        match status {
            Ok(Status::StreamEnd) => {
                self.state = State::Trailer(Vec::with_capacity(TRAILER));
                Ok(consumed)
            }
            Ok(Status::Ok | Status::BufError) => Ok(consumed),
            Err(error) => {
                let reason = error.message().unwrap_or("no deflate data").to_owned();
                Err(Trouble::Corrupt { at: consumed, reason: format!("they cannot be inflated ({reason})") })
            }
        }
    }

    fn trailer(&mut self, input: &[u8]) -> Result<usize, Trouble> {
        let State::Trailer(known) = &mut self.state else { return Ok(0) };
        let consumed = input.len().min(TRAILER - known.len());
        known.extend_from_slice(&input[..consumed]);
        let [a, b, c, d, e, f, g, h] = known[..] else { return Ok(consumed) };
        if u32::from_le_bytes([a, b, c, d]) != self.checksum.sum() {
            return Err(corrupt(consumed, "the checksum (CRC-32) of a member does not match what came out of it"));
        }
        // Both count modulo 2^32.
        if u32::from_le_bytes([e, f, g, h]) != self.checksum.amount() {
            return Err(corrupt(consumed, "the length of a member does not match what came out of it"));
        }
        self.members += 1;
        self.state = State::Header(Vec::new());
        Ok(consumed)
    }
}

const NO_MAGIC: &str = "it does not begin like gzip";

fn corrupt(at: usize, reason: &str) -> Trouble {
    Trouble::Corrupt { at, reason: reason.to_owned() }
}

/// How long the header is that begins here; `None` if it does not end within these bytes.
fn header_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    if bytes.iter().zip([0x1F, 0x8B]).any(|(found, wanted)| *found != wanted) {
        return Err(NO_MAGIC);
    }
    if bytes.get(2).is_some_and(|method| *method != 8) {
        return Err("a member is not deflated");
    }
    let Some(fixed) = bytes.get(..FIXED_HEADER) else { return Ok(None) };
    let flags = fixed[3];
    if flags & RESERVED != 0 {
        return Err("the header of a member has unknown flags");
    }
    let mut end = FIXED_HEADER;
    if flags & EXTRA_FIELD != 0 {
        let Some([low, high]) = bytes.get(end..end + 2) else { return Ok(None) };
        end += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for field in [FILE_NAME, COMMENT] {
        if flags & field != 0 {
            let rest = bytes.get(end..).unwrap_or_default();
            let Some(nul) = memchr::memchr(0, rest) else { return Ok(None) };
            end += nul + 1;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        let Some([low, high]) = bytes.get(end..end + 2) else { return Ok(None) };
        let mut checksum = Crc::new();
        checksum.update(&bytes[..end]);
        if checksum.sum() as u16 != u16::from_le_bytes([*low, *high]) {
            return Err("the checksum of a header does not match");
        }
        end += 2;
    }
    Ok((end <= bytes.len()).then_some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with an extra field of this many bytes.
    fn header(extra: u16) -> Vec<u8> {
        let mut header = vec![0x1F, 0x8B, 8, EXTRA_FIELD, 0, 0, 0, 0, 0, 255];
        header.extend(extra.to_le_bytes());
        header.resize(header.len() + usize::from(extra), 7);
        header
    }

    fn kept(gzip: &Gzip) -> Option<usize> {
        if let State::Header(known) = &gzip.state { Some(known.len()) } else { None }
    }

    #[test]
    fn only_a_header_that_is_cut_is_kept_and_no_byte_of_what_is_behind_is_taken() {
        let (header, mut output) = (header(300), Vec::new());
        let input = [&header[..], &[0; 1_000]].concat();
        for cut in 0..header.len() {
            let mut gzip = Gzip::new();
            let first = gzip.step(&input[..cut], &mut output).unwrap_or_else(|_| panic!("{cut}"));
            assert_eq!((first, kept(&gzip)), (cut, Some(cut)));
            let second = gzip.step(&input[cut..], &mut output).unwrap_or_else(|_| panic!("{cut}"));
            assert_eq!((first + second, kept(&gzip)), (header.len(), None), "{cut}");
        }
    }

    #[test]
    fn a_header_without_end_is_refused_however_it_is_cut() {
        let endless = [&[0x1F, 0x8B, 8, FILE_NAME, 0, 0, 0, 0, 0, 255][..], &vec![b'x'; MAX_HEADER]].concat();
        for piece in [1_000, MAX_HEADER - 1, MAX_HEADER, 2 * MAX_HEADER] {
            let (mut gzip, mut at) = (Gzip::new(), 0);
            let refused = loop {
                let end = endless.len().min(at + piece);
                match gzip.step(&endless[at..end], &mut Vec::new()) {
                    Ok(consumed) => at += consumed,
                    Err(_) => break true,
                }
                if at == endless.len() {
                    break false;
                }
            };
            assert!(refused && at <= MAX_HEADER, "{piece}: {at}");
        }
    }
}
