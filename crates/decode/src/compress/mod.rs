//! Decompression of gzip and zstd, in pieces and within limits.
//!
//! Purpose: what S3 holds compressed is read like what it does not. Bytes go in as they come and come out in pieces of a
//! size that the caller chooses, so that a file of a few kilobytes that claims to be terabytes never fills the memory.
//!
//! A file counts as whole only if [`Decompressor::finish`] says so: what came out before may be the beginning of a file
//! whose end is missing or damaged, and looks just like a complete one.
//!
//! | limit | default | why |
//! |---|---|---|
//! | ratio | 1,000:1 once more than 64 MiB came out | gzip ends at 1,032:1, zstd has no end; text reaches 100:1 |
//! | bytes | 1 TiB | more than any one object that people compress; a stop for what never ends |
//! | zstd window | 2^27 bytes | what every zstd decoder accepts without being asked; memory is taken for it |

mod gzip;
mod zstandard;

use std::collections::VecDeque;

use bytes::Bytes;
use connector_core::error::Failure;

use crate::error::DecodeError;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes of a file, whatever it is called. Four bytes are enough; `None` if there are fewer than the
    /// format needs, or if it is neither.
    pub fn of_magic(head: &[u8]) -> Option<Self> {
        match head {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Self::Zstd),
            // A skippable frame: some compressors begin with one.
            [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// How much may come out of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecompressionLimits {
    /// Bytes out for each byte in.
    pub max_ratio: u64,
    /// Bytes out below which the ratio does not matter: small files of zeros are no attack.
    pub ratio_from: u64,
    /// Bytes out of one file.
    pub max_bytes: u64,
    /// The binary logarithm of the largest window of zstd, from 10 to 31.
    pub window_log_max: u32,
}

impl Default for DecompressionLimits {
    fn default() -> Self {
        Self { max_ratio: 1_000, ratio_from: 64 << 20, max_bytes: 1 << 40, window_log_max: 27 }
    }
}

/// The least that is set aside for what comes out.
const SMALL_OUTPUT: usize = 64 << 10;
/// Bytes that tell what something is.
const MAGIC_BYTES: usize = 4;

/// Decompresses one file.
pub struct Decompressor {
    compression: Compression,
    limits: DecompressionLimits,
    codec: Codec,
    input: Input,
    /// Bytes that came out.
    produced: u64,
    /// The codec may hold more output: the last piece was full.
    pending: bool,
    /// The first bytes that came out.
    head: Vec<u8>,
}

enum Codec {
    Gzip(gzip::Gzip),
    Zstd(zstandard::Zstd),
}

impl Codec {
    /// Reads from `input` and appends to the spare capacity of `output`: how many bytes it read.
    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, Trouble> {
        match self {
            Self::Gzip(gzip) => gzip.step(input, output),
            Self::Zstd(zstd) => zstd.step(input, output),
        }
    }

    /// What is missing if the file ends here.
    fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Gzip(gzip) => gzip.missing(),
            Self::Zstd(zstd) => zstd.missing(),
        }
    }
}

/// Why a codec cannot go on.
enum Trouble {
    /// The data are bad, this many bytes into the input of the step.
    Corrupt { at: usize, reason: String },
    /// The data ask for more than they may have.
    Limit { reason: String },
    /// Neither the data's fault nor anybody's that we know.
    Internal { reason: String },
}

impl Decompressor {
    pub fn new(compression: Compression, limits: DecompressionLimits) -> Self {
        let codec = match compression {
            Compression::Gzip => Codec::Gzip(gzip::Gzip::new()),
            Compression::Zstd => Codec::Zstd(zstandard::Zstd::new(limits.window_log_max)),
        };
        let input = Input::default();
        Self { compression, limits, codec, input, produced: 0, pending: false, head: Vec::new() }
    }

    /// Adds the next bytes of the file.
    pub fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    /// The next bytes that come out, at least one and at most `max_bytes` (at least one is allowed). `None` if more has
    /// to be pushed first, or the file is at its end.
    ///
    /// # Errors
    /// `Data` with code `corrupt_compression` (with the offset in the compressed file; for zstd that of the piece of
    /// 128 KiB in which it is), `decompression_limit` or `nested_compression`. The decompressor is of no use afterwards.
    pub fn next(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Failure> {
        let max_bytes = max_bytes.max(1);
        // Much text comes out four times as long, so that most pieces are allocated once.
        let expected = self.input.front().len().saturating_mul(4);
        let mut output = Vec::with_capacity(expected.max(SMALL_OUTPUT).min(max_bytes));
        loop {
            if output.len() == output.capacity() {
                let more = output.len().min(max_bytes.saturating_sub(output.len()));
                if more == 0 {
                    break;
                }
                output.reserve_exact(more);
            }
            if self.input.front().is_empty() && !self.pending {
                break;
            }
            self.step(&mut output)?;
        }
        if output.capacity() > 2 * output.len().max(SMALL_OUTPUT) {
            output.shrink_to_fit();
        }
        Ok((!output.is_empty()).then(|| Bytes::from(output)))
    }

    /// Bytes of the compressed file that have been used so far.
    pub fn consumed(&self) -> u64 {
        self.input.position
    }

    /// The file has ended, and [`Decompressor::next`] has returned `None`: was it whole?
    ///
    /// # Errors
    /// `Data` with code `corrupt_compression` if its end is missing.
    pub fn finish(self) -> Result<(), Failure> {
        if self.pending || !self.input.front().is_empty() {
            return Err(
                DecodeError::Internal { reason: "a file ended before all of it was decompressed".into() }.into()
            );
        }
        match self.codec.missing() {
            Some(reason) => Err(self.failure(Trouble::Corrupt { at: 0, reason: reason.to_owned() })),
            None => Ok(()),
        }
    }

    fn step(&mut self, output: &mut Vec<u8>) -> Result<(), Failure> {
        let before = output.len();
        let given = self.input.front();
        let consumed = match self.codec.step(given, output) {
            Ok(consumed) => consumed,
            Err(trouble) => return Err(self.failure(trouble)),
        };
        let stuck = consumed == 0 && output.len() == before && !given.is_empty();
        self.input.consume(consumed);
        self.pending = output.len() == output.capacity();
        if stuck {
            return Err(self.failure(Trouble::Internal { reason: "the decompressor does not go on".into() }));
        }
        self.produced += (output.len() - before) as u64;
        self.refuse_nested(&output[before..])?;
        self.refuse_too_much()
    }

    fn refuse_nested(&mut self, produced: &[u8]) -> Result<(), Failure> {
        let wanted = MAGIC_BYTES - self.head.len();
        if wanted == 0 || produced.is_empty() {
            return Ok(());
        }
        self.head.extend_from_slice(&produced[..wanted.min(produced.len())]);
        match Compression::of_magic(&self.head) {
            Some(inner) => {
                let (outer, inner) = (self.compression.name(), inner.name());
                Err(DecodeError::NestedCompression { outer, inner }.into())
            }
            None => Ok(()),
        }
    }

    fn refuse_too_much(&self) -> Result<(), Failure> {
        let (produced, consumed) = (self.produced, self.input.position);
        let DecompressionLimits { max_ratio, ratio_from, max_bytes, .. } = self.limits;
        let reason = if produced > max_bytes {
            format!("more than {max_bytes} bytes came out")
        } else if produced > ratio_from && produced > consumed.saturating_mul(max_ratio) {
            format!("{produced} bytes came out of {consumed}, more than {max_ratio} for each")
        } else {
            return Ok(());
        };
        Err(self.failure(Trouble::Limit { reason }))
    }

    fn failure(&self, trouble: Trouble) -> Failure {
        let (format, position) = (self.compression.name(), self.input.position);
        match trouble {
            Trouble::Corrupt { at, reason } => {
                DecodeError::CorruptCompression { format, offset: position + at as u64, reason }
            }
            Trouble::Limit { reason } => DecodeError::DecompressionLimit { format, offset: position, reason },
            Trouble::Internal { reason } => DecodeError::Internal { reason },
        }
        .into()
    }
}

/// Bytes that wait to be decompressed.
#[derive(Debug, Default)]
struct Input {
    /// None of them empty.
    pieces: VecDeque<Bytes>,
    /// Bytes that are used up.
    position: u64,
}

impl Input {
    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pieces.push_back(bytes);
        }
    }

    /// The next bytes; empty if there are none.
    fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
        if let Some(front) = self.pieces.front_mut() {
            let _used = front.split_to(count.min(front.len()));
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}
