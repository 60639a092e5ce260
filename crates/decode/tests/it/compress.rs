//! Decompression: whatever was compressed comes out, in pieces of any size, and what is damaged never passes.

use std::io::{Read, Write};

use bytes::Bytes;
use connector_core::error::{ErrorClass, Failure};
use connector_decode::compress::{Compression, DecompressionLimits, Decompressor};
use flate2::GzBuilder;
use flate2::read::MultiGzDecoder;
use proptest::prelude::*;

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("in memory");
    encoder.finish().expect("in memory")
}

/// With a checksum, as the command line tool writes it.
pub fn zstd(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.include_checksum(true).expect("a parameter");
    encoder.write_all(data).expect("in memory");
    encoder.finish().expect("in memory")
}

pub fn compress(compression: Compression, data: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => gzip(data),
        Compression::Zstd => zstd(data),
    }
}

/// Pushes `file` in chunks and takes pieces of at most `max_bytes`.
pub fn decompress_with(
    compression: Compression,
    limits: DecompressionLimits,
    file: &[u8],
    chunk: usize,
    max_bytes: usize,
) -> Result<Vec<u8>, Failure> {
    let mut decompressor = Decompressor::new(compression, limits);
    let mut out = Vec::new();
    for chunk in file.chunks(chunk) {
        decompressor.push(Bytes::copy_from_slice(chunk));
        while let Some(piece) = decompressor.next(max_bytes)? {
            assert!(!piece.is_empty() && piece.len() <= max_bytes, "{} bytes", piece.len());
            out.extend_from_slice(&piece);
        }
    }
    assert_eq!(decompressor.consumed(), file.len() as u64);
    decompressor.finish()?;
    Ok(out)
}

pub fn decompress(compression: Compression, file: &[u8]) -> Result<Vec<u8>, Failure> {
    decompress_with(compression, DecompressionLimits::default(), file, 64 << 10, 1 << 20)
}

/// The failure must be of the file and have this code.
pub fn code(result: Result<Vec<u8>, Failure>) -> (&'static str, String) {
    let failure = result.expect_err("refused");
    assert_eq!(failure.class, ErrorClass::Data, "{failure}");
    (failure.code, failure.message)
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::Gzip), Just(Compression::Zstd)]
}

/// Bytes that compress well and bytes that do not. They never begin like compressed data.
fn any_data() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0usize..40_000).prop_map(|(byte, count)| vec![byte; count]),
        "[a-z,\n]{0,200}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| [b"x".to_vec(), parts.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_compressed_comes_out_whole(
        compression in any_compression(),
        parts in prop::collection::vec(any_data(), 1..4),
        chunk in prop_oneof![1usize..20, 1usize..100_000],
        max_bytes in prop_oneof![1usize..50, 1_000usize..200_000],
    ) {
        let file: Vec<u8> = parts.iter().flat_map(|part| compress(compression, part)).collect();
        let chunk = chunk.max(file.len() / 2_000);
        let wanted = parts.concat();
        let max_bytes = max_bytes.max(wanted.len() / 2_000);
        let found = decompress_with(compression, DecompressionLimits::default(), &file, chunk, max_bytes);
        prop_assert!(found.expect("decompresses") == wanted);
    }

    #[test]
    fn a_file_whose_end_is_missing_is_never_whole(compression in any_compression(), data in any_data(), cut in any::<prop::sample::Index>()) {
        let file = compress(compression, &data);
        let (code, message) = code(decompress(compression, &file[..cut.index(file.len())]));
        prop_assert_eq!(code, "corrupt_compression", "{}", message);
    }

    #[test]
    fn damaged_gzip_is_judged_as_the_decoder_of_flate2_judges_it(
        parts in prop::collection::vec(any_data(), 1..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        tail in prop::collection::vec(any::<u8>(), 0..3),
        chunk in 1usize..1_000,
    ) {
        let mut file: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
        for (index, byte) in flips {
            let index = index.index(file.len());
            file[index] = byte;
        }
        file.extend_from_slice(&tail);
        let mut wanted = Vec::new();
        let judged = MultiGzDecoder::new(file.as_slice()).read_to_end(&mut wanted);
        let found = decompress_with(Compression::Gzip, DecompressionLimits::default(), &file, chunk.max(file.len() / 2_000), 10_000);
        match judged {
            Ok(_) => prop_assert!(found.expect("whole") == wanted),
            Err(_) => prop_assert_eq!(code(found).0, "corrupt_compression"),
        }
    }

    #[test]
    fn damaged_zstd_never_passes_as_something_else(data in any_data(), index in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut file = zstd(&data);
        let index = index.index(file.len());
        file[index] ^= 1 << bit;
        // One bit may be without meaning, but then nothing else comes out.
        match decompress(Compression::Zstd, &file) {
            Ok(found) => prop_assert!(found == data),
            Err(failure) => prop_assert!(["corrupt_compression", "decompression_limit"].contains(&failure.code), "{}", failure),
        }
    }
}

#[test]
fn headers_with_everything_are_passed_over_and_checked() {
    let mut encoder = GzBuilder::new()
        .filename("orders.csv")
        .comment("nothing")
        .extra(vec![0; 300])
        .write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"a,b\n").expect("in memory");
    let file = encoder.finish().expect("in memory");
    for chunk in [1, 7, 1_000] {
        let found = decompress_with(Compression::Gzip, DecompressionLimits::default(), &file, chunk, 100);
        assert_eq!(found.expect("decompresses"), b"a,b\n");
    }
    // With a checksum of the header behind its fixed part.
    let plain = gzip(b"a,b\n");
    let mut header = plain[..10].to_vec();
    header[3] |= 2;
    let mut checksum = flate2::Crc::new();
    checksum.update(&header);
    let sum = (checksum.sum() as u16).to_le_bytes();
    let with = |sum: [u8; 2]| [&header[..], &sum, &plain[10..]].concat();
    assert_eq!(decompress(Compression::Gzip, &with(sum)).expect("decompresses"), b"a,b\n");
    let (code, message) = code(decompress(Compression::Gzip, &with([sum[0] ^ 1, sum[1]])));
    assert_eq!(code, "corrupt_compression");
    assert!(message.contains("checksum of a header"), "{message}");
}

#[test]
fn a_header_without_an_end_does_not_fill_the_memory() {
    let mut file = vec![0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 0];
    file.resize(1 << 20, b'a');
    let mut decompressor = Decompressor::new(Compression::Gzip, DecompressionLimits::default());
    decompressor.push(Bytes::from(file));
    let failure = decompressor.next(1_000).expect_err("refused");
    assert_eq!(failure.code, "corrupt_compression");
    assert!(failure.message.contains("does not end"), "{failure}");
}

#[test]
fn skippable_frames_are_skipped_wherever_they_are() {
    let skippable =
        |length: u32| [&[0x5A, 0x2A, 0x4D, 0x18], &length.to_le_bytes()[..], &vec![7; length as usize]].concat();
    let file = [skippable(5), zstd(b"a,b\n"), skippable(0), zstd(b"1,2\n"), skippable(70_000)].concat();
    assert_eq!(Compression::of_magic(&file), Some(Compression::Zstd));
    for chunk in [1, 3, 1 << 20] {
        let found = decompress_with(Compression::Zstd, DecompressionLimits::default(), &file, chunk, 3);
        assert_eq!(found.expect("decompresses"), b"a,b\n1,2\n");
    }
}

#[test]
fn nothing_at_all_is_no_compressed_file() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        assert_eq!(code(decompress(compression, b"")).0, "corrupt_compression");
        assert_eq!(code(decompress(compression, b"a,b\n1,2\n3,4\n5,6\n")).0, "corrupt_compression");
    }
}

#[test]
fn a_file_may_have_a_member_for_every_few_bytes() {
    let one = gzip(b"1,2\n");
    let members = 60_000;
    let file = one.repeat(members);
    // With a copy of all that is behind a header for each of them this would be minutes.
    for chunk in [file.len(), 1_001] {
        let limits = DecompressionLimits::default();
        let found = decompress_with(Compression::Gzip, limits, &file, chunk, 1 << 20).expect("whole");
        assert_eq!(found.len(), 4 * members);
    }
}
