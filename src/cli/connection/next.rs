//! What to do with a new connection, as commands that can be followed literally.

use std::path::Path;

use connector_core::iam::{Place, Policy, Scope};
use connector_core::spec::Format;

use super::super::output;
use super::create::config_flag;
use super::policies::quoted;
use super::validate::Seen;
use crate::config::project::SETTINGS_FILE;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    /// Lines for the settings, with the file that they belong into.
    pub settings: Option<String>,
    file: String,
    pub commands: Vec<String>,
}

impl Next {
    /// `places`: what the connection may reach; `seen`: what was found there.
    pub fn of(config: &Path, name: &str, policy: Policy, places: &[Place], seen: &[Seen]) -> Self {
        let folder = config_flag(config);
        let place = places.first().map_or_else(|| "s3://my-bucket/".to_owned(), Place::uri);
        let check = format!("s3-connector connection check {name} --bucket {}", quoted(&place));
        let file = config.join(SETTINGS_FILE).display().to_string();
        match policy {
            Policy::Read => {
                let sample = seen.first().map_or(place, files_of);
                let generate = format!("s3-connector datasource generate {} --connection {name}", quoted(&sample));
                Self { settings: None, file, commands: vec![format!("{check}{folder}"), format!("{generate}{folder}")] }
            }
            Policy::Write => {
                let (bucket, prefix) =
                    places.first().map_or(("my-bucket", ""), |place| (&place.bucket, place.prefix()));
                let uri = format!(
                    "s3://{bucket}/{}",
                    if prefix.is_empty() { "tables" } else { prefix.trim_end_matches('/') }
                );
                let settings = format!("[destination]\nuri = \"{uri}\"\nconnection = \"{name}\"");
                Self { settings: Some(settings), file, commands: vec![format!("{check} --write{folder}")] }
            }
        }
    }

    pub fn tell(&self) {
        output::note("next:");
        self.commands.iter().for_each(|command| output::note(format!("  {command}")));
        if let Some(settings) = &self.settings {
            output::note(format!("\nand, for tables to be kept there, in {}:\n", self.file));
            settings.lines().for_each(|line| output::note(format!("  {line}")));
        }
    }
}

/// The files that are most like the one that was seen: below the same first folder, with the same suffix.
fn files_of(seen: &Seen) -> String {
    let Some(key) = seen.first.as_deref() else { return seen.place.uri() };
    let folder = match &seen.place.scope {
        Scope::Whole => key.find('/').map_or("", |end| &key[..=end]),
        Scope::Under(path) if key.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/')) => {
            &key[..=path.len()]
        }
        Scope::Under(_) => return seen.place.uri(),
        Scope::Prefix(prefix) => prefix,
    };
    let suffix = suffix_of(key);
    if folder.contains(['*', '?', '[', '{']) || folder.is_empty() && suffix.is_empty() {
        return seen.place.uri();
    }
    match suffix {
        "" if folder.ends_with('/') => format!("s3://{}/{folder}", seen.place.bucket),
        suffix => format!("s3://{}/{folder}*{suffix}", seen.place.bucket),
    }
}

/// The suffix that tells the format, with that of a compression behind it; nothing if none does.
fn suffix_of(key: &str) -> &str {
    let name = key.rsplit('/').next().unwrap_or_default();
    let dot = |text: &str| text.rfind('.').unwrap_or(text.len());
    let last = dot(name);
    match Format::of_key(key) {
        None => "",
        // The last suffix alone says nothing: it is that of a compression.
        Some(_) if Format::of_key(&name[last..]).is_none() => &name[dot(&name[..last])..],
        Some(_) => &name[last..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(place: &str, first: Option<&str>) -> Seen {
        Seen { place: Place::parse(place).expect("a place"), first: first.map(str::to_owned) }
    }

    #[test]
    fn the_proposed_files_are_those_like_the_first_one() {
        for (place, first, expected) in [
            ("bkt", Some("orders/2026/1.csv"), "s3://bkt/orders/*.csv"),
            ("bkt", Some("1.v2.csv.gz"), "s3://bkt/*.csv.gz"),
            ("bkt", Some("1"), "s3://bkt"),
            ("bkt", Some("orders/1"), "s3://bkt/orders/"),
            ("bkt", Some("or[d]ers/1.csv"), "s3://bkt"),
            ("bkt", None, "s3://bkt"),
            ("s3://bkt/in/", Some("in/a/b/1.parquet"), "s3://bkt/in/*.parquet"),
            ("s3://bkt/in/", Some("in/_SUCCESS"), "s3://bkt/in/"),
            ("s3://bkt/in", Some("in/1.ndjson"), "s3://bkt/in/*.ndjson"),
            ("s3://bkt/1.csv", Some("1.csv"), "s3://bkt/1.csv"),
            ("s3://bkt/or*", Some("orders/1.csv"), "s3://bkt/or*.csv"),
        ] {
            let proposed = files_of(&seen(place, first));
            assert_eq!(proposed, expected, "{place} {first:?}");
            connector_core::uri::BucketUri::parse(&proposed).expect("a URI");
        }
    }

    #[test]
    fn a_role_that_writes_is_followed_by_lines_for_the_settings() {
        let next = |place: &str| {
            let places = [Place::parse(place).expect("a place")];
            Next::of(Path::new("config"), "lake", Policy::Write, &places, &[])
        };
        let whole = next("bkt");
        assert_eq!(whole.settings.as_deref(), Some("[destination]\nuri = \"s3://bkt/tables\"\nconnection = \"lake\""));
        assert!(whole.commands[0].ends_with("connection check lake --bucket s3://bkt --write"), "{whole:?}");
        assert!(next("s3://bkt/a/b/").settings.expect("settings").contains("\"s3://bkt/a/b\""));
    }
}
