//! Regions, external ids and names, checked before AWS or the next start refuses them.

use super::arn::{Partition, RoleArn};

/// A fresh external id, spelled like a random UUID, of 16 random bytes.
pub fn new_external_id(random: [u8; 16]) -> String {
    uuid::Builder::from_random_bytes(random).into_uuid().to_string()
}

/// Why this is no external id.
pub fn refuse_external_id(text: &str) -> Option<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "+=,.@:/-_".contains(letter);
    if let Some(letter) = text.chars().find(|letter| !allowed(*letter)) {
        return Some(format!("{letter:?} cannot be in an external id: letters, digits and +=,.@:/-_ can"));
    }
    (!(2..=1_224).contains(&text.len()))
        .then(|| format!("an external id has 2 to 1224 letters, this has {}", text.len()))
}

/// Why this is no region of a bucket. `elsewhere`: a store that is not AWS, with names of its own for regions. `role`:
/// if known, has to be of the same partition.
pub fn refuse_region(text: &str, elsewhere: bool, role: Option<&RoleArn>) -> Option<String> {
    const LIKE: &str = "a region is spelled like eu-west-1";
    if text.is_empty() {
        return Some(format!("the region is missing; {LIKE}"));
    }
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if !text.chars().all(allowed) || text.len() > 64 {
        return Some(format!("{text:?} is not a region; {LIKE}"));
    }
    if elsewhere {
        return None;
    }
    let parts: Vec<&str> = text.split('-').collect();
    let number = parts.last().copied().unwrap_or_default();
    let zone = number.strip_suffix(|letter: char| letter.is_ascii_lowercase()).unwrap_or_default();
    if parts.len() >= 3 && !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit()) {
        let region = &text[..text.len() - 1];
        return Some(format!("{text} is an availability zone; its region is {region}"));
    }
    let named = parts.len() >= 3 && parts[..parts.len() - 1].iter().all(|part| part.chars().all(char::is_alphabetic));
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !named || !numbered || parts.iter().any(|part| part.is_empty()) {
        return Some(format!("{text:?} is not a region of AWS; {LIKE}"));
    }
    let (here, there) = (Partition::of_region(text), role?.partition);
    (here != there).then(|| {
        let (here, there) = (here.as_str(), there.as_str());
        format!("{text} is a region of the partition {here}, but the role is in {there}: they do not reach each other")
    })
}

/// Why this is no name for a new connection.
pub fn refuse_connection_name(text: &str) -> Option<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if text.is_empty() {
        return Some("the name is missing".to_owned());
    }
    if text.len() > 100 {
        return Some(format!("a name has at most 100 letters, this has {}", text.len()));
    }
    if let Some(letter) = text.chars().find(|letter| !allowed(*letter)) {
        let mended: String = text.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
        return Some(format!("{letter:?} cannot be in a name: letters, digits and '_' can, such as {mended}"));
    }
    (!text.starts_with(|first: char| first.is_ascii_alphabetic())).then(|| "a name begins with a letter".to_owned())
}
