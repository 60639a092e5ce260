//! Whether the bytes of a whole object are those that its writer stored.
//!
//! S3 keeps a checksum of every object, but sends none with a part of one, and for some multipart uploads only a checksum
//! of the parts' checksums. So whole objects are read without a `Range`, and what cannot be checked is held to its length
//! (and later to its format) alone. The SDK could check too, but warns of each object that it cannot check, and does
//! nothing unless it asked for the checksum; some stores send one unasked and refuse to be asked.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ChecksumType;
use aws_smithy_checksums::ChecksumAlgorithm;

/// What a checksum says of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// With the name of the algorithm.
    Wrong(&'static str),
    /// No checksum was sent.
    Unsaid,
    /// One was sent that is not of the whole object's bytes, or that cannot be read.
    Unusable(&'static str),
}

/// A checksum as it was sent: algorithm and value.
type Sent = (&'static str, String);

/// The checksum of an answer that is the cheapest to check.
pub(crate) fn sent(answer: &GetObjectOutput) -> Option<Sent> {
    let sent = [
        ("crc64nvme", answer.checksum_crc64_nvme()),
        ("crc32c", answer.checksum_crc32_c()),
        ("crc32", answer.checksum_crc32()),
        ("sha1", answer.checksum_sha1()),
        ("sha256", answer.checksum_sha256()),
    ];
    let (name, value) = sent.into_iter().find_map(|(name, value)| Some((name, value?)))?;
    // Of the parts' checksums, whether or not the value says so by its `-N`.
    let composite = answer.checksum_type() == Some(&ChecksumType::Composite);
    Some((name, if composite && !value.contains('-') { format!("{value}-") } else { value.to_owned() }))
}

/// Holds the bytes of a whole object against the checksum that came with them.
pub(crate) fn verdict(sent: Option<&Sent>, bytes: &[u8]) -> Verdict {
    let Some((name, value)) = sent else { return Verdict::Unsaid };
    if value.contains('-') {
        return Verdict::Unusable("it is one of the checksums of the parts");
    }
    let (Ok(algorithm), Ok(wanted)) = (name.parse::<ChecksumAlgorithm>(), aws_smithy_types::base64::decode(value))
    else {
        return Verdict::Unusable("it cannot be read");
    };
    let mut hasher = algorithm.into_impl();
    hasher.update(bytes);
    if hasher.finalize() == wanted { Verdict::Right } else { Verdict::Wrong(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str, bytes: &[u8]) -> Verdict {
        verdict(Some(&(name, value.to_owned())), bytes)
    }

    #[test]
    fn checksums_of_the_usual_test_bytes() {
        let nine = b"123456789";
        let cases = [
            ("crc32", "y/Q5Jg=="),
            ("crc32c", "4waSgw=="),
            ("crc64nvme", "rosUhgp5mIg="),
            ("sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
            ("sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ];
        for (name, value) in cases {
            assert_eq!(of(name, value, nine), Verdict::Right, "{name}");
            assert_eq!(of(name, value, b"123456788"), Verdict::Wrong(name), "{name}");
        }
    }

    #[test]
    fn what_says_nothing_of_the_bytes_is_not_taken_for_an_error() {
        assert_eq!(verdict(None, b"x"), Verdict::Unsaid);
        assert!(matches!(of("crc32", "y/Q5Jg==-3", b"x"), Verdict::Unusable(_)));
        assert!(matches!(of("crc32", "?", b"x"), Verdict::Unusable(_)));
        let composite =
            GetObjectOutput::builder().checksum_sha256("abc=").checksum_type(ChecksumType::Composite).build();
        assert!(matches!(verdict(sent(&composite).as_ref(), b"x"), Verdict::Unusable(_)));
        let whole = GetObjectOutput::builder().checksum_crc32("a").checksum_crc64_nvme("b").build();
        assert_eq!(sent(&whole), Some(("crc64nvme", "b".to_owned())));
    }
}
