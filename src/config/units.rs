//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads a whole number of `ms`, `s`, `m` or `h`, such as `60s`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Reads a whole number of bytes, such as `512MiB`. Powers of two and of ten are told apart by the `i`.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" | "" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_do_not_overflow() {
        for (text, milliseconds) in
            [("60s", Some(60_000)), (" 500 ms ", Some(500)), ("2m", Some(120_000)), ("1h", Some(3_600_000))]
        {
            assert_eq!(duration(text).map(|found| found.as_millis()), milliseconds, "{text}");
        }
        for bad in ["60", "s", "", "-1s", "1.5s", "5 parsecs", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_tell_powers_of_two_from_powers_of_ten() {
        for (text, expected) in
            [("512MiB", 512 << 20), ("1gib", 1 << 30), ("5 MB", 5_000_000), ("7", 7), ("7 B", 7), ("1kb", 1_000)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for bad in ["", "MiB", "1.5GiB", "-1", "512Mi", "18446744073709551615GiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
