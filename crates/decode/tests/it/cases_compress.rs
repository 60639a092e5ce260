//! Hostile compressed files, by case.

use bytes::Bytes;
use connector_decode::compress::{Compression, DecompressionLimits, Decompressor};

use crate::compress::{code, compress, decompress, decompress_with, gzip, zstd};

const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

/// A frame of zstd with one raw byte in it that asks for a window of 2^`log` bytes.
fn frame_with_window(log: u8) -> Vec<u8> {
    vec![0x28, 0xB5, 0x2F, 0xFD, 0, (log - 10) << 3, 9, 0, 0, b'x']
}

#[test]
fn case_74_bombs_end_at_the_limits_and_never_fill_the_memory() {
    let zeros = vec![0; 8 << 20];
    for compression in BOTH {
        let bomb = compress(compression, &zeros);
        assert!(bomb.len() * 900 < zeros.len());
        let ratio = DecompressionLimits { max_ratio: 100, ratio_from: 1 << 20, ..DecompressionLimits::default() };
        let (found, message) = code(decompress_with(compression, ratio, &bomb, 1 << 20, 1 << 16));
        assert_eq!(found, "decompression_limit");
        assert!(message.contains("more than 100 for each"), "{message}");
        let absolute = DecompressionLimits { max_bytes: 3 << 20, ..DecompressionLimits::default() };
        let (found, message) = code(decompress_with(compression, absolute, &bomb, 1 << 20, 1 << 16));
        assert_eq!(found, "decompression_limit");
        assert!(message.contains("more than 3145728 bytes"), "{message}");
        // So few bytes out are no attack, whatever the ratio.
        assert_eq!(decompress(compression, &bomb).expect("decompresses").len(), zeros.len());
    }
}

#[test]
fn case_74_the_defaults_stop_a_bomb_of_a_thousand_to_one() {
    // Frames of zeros, each far beyond 1,000:1.
    let frame = zstd(&vec![0; 8 << 20]);
    let mut decompressor = Decompressor::new(Compression::Zstd, DecompressionLimits::default());
    let mut out = 0;
    let failure = loop {
        decompressor.push(Bytes::from(frame.clone()));
        match decompressor.next(16 << 20) {
            Ok(Some(piece)) => out += piece.len(),
            Ok(None) => {}
            Err(failure) => break failure,
        }
        assert!(out <= 80 << 20, "no limit in sight");
    };
    assert_eq!(failure.code, "decompression_limit");
    assert!(out >= 48 << 20, "not before it matters: {out}");
}

#[test]
fn case_74_a_window_that_takes_too_much_memory_is_refused_before_it_is_taken() {
    assert_eq!(decompress(Compression::Zstd, &frame_with_window(27)).expect("the largest that is allowed"), b"x");
    for log in [28, 31] {
        let (found, message) = code(decompress(Compression::Zstd, &frame_with_window(log)));
        assert_eq!(found, "decompression_limit");
        assert!(message.contains("2^27"), "{message}");
    }
}

#[test]
fn case_74_compressed_twice_is_refused_by_name() {
    for (outer, inner) in BOTH.into_iter().flat_map(|outer| BOTH.map(|inner| (outer, inner))) {
        let file = compress(outer, &compress(inner, b"a,b\n1,2\n"));
        for chunk in [1, 1_000] {
            let (found, message) = code(decompress_with(outer, DecompressionLimits::default(), &file, chunk, 1));
            assert_eq!(found, "nested_compression");
            assert!(
                message.contains(&format!("the {} data of the file hold {} data", outer.name(), inner.name())),
                "{message}"
            );
        }
    }
}

#[test]
fn case_75_a_truncated_file_is_refused_at_every_length() {
    let text: String = (0..500).map(|row| format!("{row},some text of row {row}\n")).collect();
    for compression in BOTH {
        let file = compress(compression, text.as_bytes());
        for length in 0..file.len() {
            assert_eq!(code(decompress(compression, &file[..length])).0, "corrupt_compression", "{length} bytes");
        }
        assert_eq!(decompress(compression, &file).expect("whole"), text.as_bytes());
    }
}

#[test]
fn case_75_bad_checksum_bad_length_and_trailing_garbage_are_named_with_their_place() {
    let file = gzip(b"a,b\n1,2\n");
    let end = file.len();
    let damaged = |at: usize| {
        let mut file = file.clone();
        file[at] ^= 1;
        code(decompress(Compression::Gzip, &file))
    };
    for (at, name) in [(end - 8, "checksum (CRC-32)"), (end - 1, "length of a member")] {
        let (found, message) = damaged(at);
        assert_eq!(found, "corrupt_compression");
        assert!(message.contains(name) && message.contains(&format!("at byte {end} ")), "{message}");
    }
    for garbage in [&b"garbage"[..], b"\0\0\0\0", b"x"] {
        let (found, message) = code(decompress(Compression::Gzip, &[&file, garbage].concat()));
        assert_eq!(found, "corrupt_compression");
        assert!(
            message.contains("behind its last member") && message.contains(&format!("at byte {end} ")),
            "{message}"
        );
    }
    let file = zstd(b"a,b\n1,2\n");
    let (found, message) = code(decompress(Compression::Zstd, &[&file[..], b"garbage"].concat()));
    assert_eq!(found, "corrupt_compression");
    assert!(message.contains("behind its last frame"), "{message}");
    let mut bad = file.clone();
    bad[file.len() - 1] ^= 1;
    let (found, message) = code(decompress(Compression::Zstd, &bad));
    assert_eq!(found, "corrupt_compression");
    assert!(message.contains("checksum"), "{message}");
}

#[test]
fn case_75_rows_before_the_damage_come_out_but_the_file_never_ends_well() {
    let text = "1,2\n".repeat(100_000);
    let file = gzip(text.as_bytes());
    let mut decompressor = Decompressor::new(Compression::Gzip, DecompressionLimits::default());
    decompressor.push(Bytes::copy_from_slice(&file[..file.len() - 4]));
    let mut out = 0;
    while let Some(piece) = decompressor.next(10_000).expect("no damage yet") {
        out += piece.len();
    }
    assert_eq!(out, text.len(), "all of it looks complete");
    let failure = decompressor.finish().expect_err("but the proof is missing");
    assert_eq!(failure.code, "corrupt_compression");
}

#[test]
fn case_76_all_members_are_read_and_empty_ones_are_fine() {
    let empty = gzip(b"");
    let file = [empty.clone(), gzip(b"a,b\n"), empty.clone(), gzip(b"1,2\n"), gzip(b"3,4\n"), empty.clone()].concat();
    for (chunk, max_bytes) in [(1, 1), (5, 3), (1 << 20, 1 << 20)] {
        let found = decompress_with(Compression::Gzip, DecompressionLimits::default(), &file, chunk, max_bytes);
        assert_eq!(found.expect("decompresses"), b"a,b\n1,2\n3,4\n");
    }
    assert_eq!(decompress(Compression::Gzip, &empty.repeat(1_000)).expect("decompresses"), b"");
    let frames = [zstd(b""), zstd(b"a,b\n"), zstd(b""), zstd(b"1,2\n")].concat();
    assert_eq!(decompress(Compression::Zstd, &frames).expect("decompresses"), b"a,b\n1,2\n");
}

#[test]
fn case_77_the_first_bytes_decide_and_not_the_name() {
    assert_eq!(Compression::of_magic(&gzip(b"a,b\n")), Some(Compression::Gzip));
    assert_eq!(Compression::of_magic(&zstd(b"a,b\n")), Some(Compression::Zstd));
    for plain in [&b"a,b\n1,2\n"[..], b"", b"\x1F", b"(\xB5/", b"PAR1", b"PK\x03\x04", b"{\"a\":1}", b"P*M,b\n"] {
        assert_eq!(Compression::of_magic(plain), None, "{plain:?}");
    }
}
