//! zstd: frames one after the other, some of them skippable. The library checks length and checksum where a frame has
//! them.

use std::io;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;

use super::Trouble;

/// Bytes that are decompressed in one go. Errors are known to this many bytes.
const PIECE: usize = 128 << 10;

pub(super) struct Zstd {
    /// Made for the first bytes: it takes memory.
    decoder: Option<Decoder<'static>>,
    window_log_max: u32,
    in_frame: bool,
    /// Frames that are complete.
    frames: u64,
}

impl Zstd {
    pub(super) fn new(window_log_max: u32) -> Self {
        Self { decoder: None, window_log_max, in_frame: false, frames: 0 }
    }

    pub(super) fn missing(&self) -> Option<&'static str> {
        (self.in_frame || self.frames == 0).then_some("it ends inside a frame")
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, Trouble> {
        if self.decoder.is_none() {
            self.decoder = Some(decoder(self.window_log_max).map_err(internal)?);
        }
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let mut source = InBuffer::around(&input[..input.len().min(PIECE)]);
        let filled = output.len();
        let hint = decoder.run(&mut source, &mut OutBuffer::around_pos(output, filled));
        let consumed = source.pos();
        match hint {
            Ok(0) if self.in_frame || consumed > 0 => {
                self.frames += 1;
                self.in_frame = false;
            }
            Ok(_) => self.in_frame |= consumed > 0,
            Err(error) => return Err(self.trouble(error, consumed)),
        }
        Ok(consumed)
    }

    fn trouble(&self, error: io::Error, at: usize) -> Trouble {
        let kind = error.get_ref().and_then(|inner| inner.downcast_ref::<zstd::Error>());
        let is = |kinds: &[ZSTD_ErrorCode]| kind.is_some_and(|error| kinds.iter().any(|kind| error.is(*kind)));
        if is(&[ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge]) {
            let reason = format!("a frame asks for a window of more than 2^{} bytes", self.window_log_max);
            return Trouble::Limit { reason };
        }
        if is(&[ZSTD_ErrorCode::ZSTD_error_memory_allocation]) {
            return internal(error);
        }
        let reason = match is(&[ZSTD_ErrorCode::ZSTD_error_prefix_unknown]) {
            true if self.frames > 0 => "behind its last frame is something else".to_owned(),
            true => "it does not begin like zstd".to_owned(),
            false => format!("they cannot be decompressed ({})", error.to_string().to_lowercase()),
        };
        Trouble::Corrupt { at, reason }
    }
}

fn decoder(window_log_max: u32) -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(window_log_max))?;
    Ok(decoder)
}

fn internal(error: io::Error) -> Trouble {
    Trouble::Internal { reason: format!("zstd: {error}") }
}
