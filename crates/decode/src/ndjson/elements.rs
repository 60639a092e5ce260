//! `[:]`: the elements of arrays, put together as the JSON text of one array.

use crate::path::Step;

use super::json::{self, Kind, Member, Unreadable};

/// Why there is no list.
#[derive(Debug)]
pub(super) enum NoList {
    /// A value on the way is no array, or no object.
    Shape {
        wanted: &'static str,
    },
    Unreadable(Unreadable),
    RepeatedKey(String),
}

impl From<Unreadable> for NoList {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// Adds the JSON text of the array of all values that the steps lead to, in order.
///
/// An element without a value is `null` there. An array within the elements, if the steps go into it, adds its own
/// elements: `a[:].b[:]` is one flat list. A missing one adds none.
pub(super) fn collect(json: &str, steps: &[Step], out: &mut Vec<u8>) -> Result<(), NoList> {
    out.push(b'[');
    let empty = out.len();
    walk(json, steps, out, empty)?;
    out.push(b']');
    Ok(())
}

fn walk(json: &str, steps: &[Step], out: &mut Vec<u8>, empty: usize) -> Result<(), NoList> {
    let missing = Kind::of(json) == Kind::Null;
    match steps.split_first() {
        None => {
            if out.len() > empty {
                out.push(b',');
            }
            out.extend_from_slice(json.as_bytes());
            Ok(())
        }
        Some(_) if missing => {
            if steps.contains(&Step::Each) {
                Ok(())
            } else {
                walk("null", &[], out, empty)
            }
        }
        Some((Step::Each, rest)) => {
            if Kind::of(json) != Kind::Array {
                return Err(NoList::Shape { wanted: "an array" });
            }
            let mut result = Ok(());
            json::elements(json, |element| {
                if result.is_ok() {
                    result = walk(element, rest, out, empty);
                }
            })?;
            result
        }
        Some((Step::Key(key), rest)) => walk(member(json, key)?, rest, out, empty),
    }
}

/// The value of a key of an object; `null` if it has none.
fn member<'j>(json: &'j str, key: &str) -> Result<&'j str, NoList> {
    if Kind::of(json) != Kind::Object {
        return Err(NoList::Shape { wanted: "an object" });
    }
    let mut members: Vec<Member<'j>> = Vec::new();
    json::members(json, &mut members)?;
    if let Some(again) = json::repeated(&members) {
        return Err(NoList::RepeatedKey(again.key.to_string()));
    }
    Ok(members.iter().find(|member| member.key == key).map_or("null", |member| member.value))
}
