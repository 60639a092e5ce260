//! `IMPORT_EXCLUDE`: patterns of keys that are not imported, though the URI matches them.
//!
//! Several of them stand on one line with blanks between them, one on each line of a block, or on lines of their own: the
//! directive may be repeated. Commas do not separate, since `{a,b}` and keys may hold them.

use connector_core::uri::{BucketUri, KeyPattern};

use crate::reader::{Reader, Text, place_in};
use crate::source::{Span, Spanned};

const CODE: &str = "bad_exclude";
const EXAMPLE: &str = "such as IMPORT_EXCLUDE tmp/ *.bak";

/// The patterns, relative to the bucket. `uri`: that of the import, if it is known.
pub(crate) fn patterns(reader: &mut Reader<'_, '_>, uri: Option<&BucketUri>) -> Vec<Spanned<KeyPattern>> {
    let texts = reader.texts("IMPORT_EXCLUDE");
    texts.iter().filter_map(|text| pattern(reader, uri, text)).collect()
}

fn pattern(
    reader: &mut Reader<'_, '_>,
    uri: Option<&BucketUri>,
    Spanned { value, span }: &Spanned<Text>,
) -> Option<Spanned<KeyPattern>> {
    let parsed = match value.value.starts_with("s3://") {
        true => of_uri(reader, uri, value, *span)?,
        false => KeyPattern::parse(&value.value),
    };
    let pattern = match parsed {
        Ok(pattern) => pattern,
        Err(error) => {
            let place = place_in(reader.report.source, *span, value, error.offset);
            reader.error(CODE, place, format!("this is not a pattern of keys: {}", error.message), EXAMPLE);
            return None;
        }
    };
    let text = pattern.as_str();
    let objection = if text.is_empty() {
        ("an empty pattern matches every key: nothing would be imported", "remove it, or say what is to be left out")
    } else if text.starts_with('/') {
        (
            "this matches keys that begin with '/' only",
            "patterns begin behind the bucket and its '/': remove the first '/'",
        )
    } else if text.ends_with(',') {
        (
            "a comma belongs to the pattern",
            "put blanks between patterns, or quotes around one that ends in a comma and '*'",
        )
    } else {
        return Some(Spanned::new(pattern, *span));
    };
    reader.error(CODE, *span, objection.0, objection.1);
    None
}

/// A pattern that names the bucket: it has to be the one that is read.
fn of_uri(
    reader: &mut Reader<'_, '_>,
    uri: Option<&BucketUri>,
    value: &Text,
    span: Span,
) -> Option<Result<KeyPattern, connector_core::uri::UriError>> {
    let excluded = match BucketUri::parse(&value.value) {
        Ok(excluded) => excluded,
        Err(error) => return Some(Err(error)),
    };
    if let Some(uri) = uri.filter(|uri| uri.bucket() != excluded.bucket()) {
        let message = format!("the import reads the bucket {}, not {}", uri.bucket(), excluded.bucket());
        reader.error(CODE, span, message, "leave s3://BUCKET/ out, or name the bucket of IMPORT_BUCKET_URI");
        return None;
    }
    Some(Ok(excluded.keys().clone()))
}
