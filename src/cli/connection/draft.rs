//! A connection that is being created: what was answered so far, kept so that a later run goes on there.
//!
//! Drafts are folders in `connections/.unfinished`, which no configuration is read from. Beside the draft itself they
//! hold its policies, for the AWS command line to read.

use std::fs;
use std::path::{Path, PathBuf};

use connector_core::error::Failure;
use connector_core::iam::{Place, Policy};
use serde::{Deserialize, Serialize};

/// A draft whose connection has no name yet. No name has a `-`.
pub const UNNAMED: &str = "new-connection";
const FOLDER: &str = ".unfinished";
const FILE: &str = "draft.json";

pub const ACCESS_POLICY: &str = "access-policy.json";
pub const TRUST_POLICY: &str = "trust-policy.json";

/// What was answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Draft {
    /// When it was begun.
    pub begun: String,
    /// `read` or `write`.
    pub policy: String,
    /// As URIs.
    pub places: Vec<String>,
    pub kms_keys: Vec<String>,
    pub external_id: String,
    /// An ARN.
    pub principal: Option<String>,
    /// The access policy that was put into AWS, as text.
    pub access_policy_done: Option<String>,
    /// The same for the trust policy.
    pub trust_policy_done: Option<String>,
    pub role_arn: Option<String>,
    pub region: Option<String>,
    pub name: Option<String>,
    pub endpoint: Option<String>,
    pub path_style: bool,
}

impl Draft {
    pub fn policy(&self) -> Policy {
        Policy::parse(&self.policy).unwrap_or_default()
    }

    /// The places, as far as they are still readable.
    pub fn places(&self) -> Vec<Place> {
        self.places.iter().filter_map(|place| Place::parse(place).ok()).collect()
    }

    /// The question that comes next, in words.
    pub fn waits_for(&self) -> &'static str {
        if self.places.is_empty() {
            "the buckets"
        } else if self.access_policy_done.is_none() {
            "the access policy in AWS"
        } else if self.trust_policy_done.is_none() {
            "the role in AWS"
        } else if self.role_arn.is_none() {
            "the ARN of the role"
        } else if self.region.is_none() {
            "the region"
        } else if self.name.is_none() {
            "the name"
        } else {
            "its file"
        }
    }
}

/// The drafts of a configuration folder.
pub struct Drafts {
    folder: PathBuf,
}

impl Drafts {
    pub fn of(config: &Path) -> Self {
        Self { folder: config.join("connections").join(FOLDER) }
    }

    /// The folder of one draft.
    pub fn folder(&self, label: &str) -> PathBuf {
        self.folder.join(label)
    }

    /// All drafts, by label.
    pub fn all(&self) -> Vec<(String, Draft)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let labels = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all: Vec<_> =
            labels.filter_map(|label| self.load(&label).ok().flatten().map(|draft| (label, draft))).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// One draft; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(&self, label: &str) -> Result<Option<Draft>, Failure> {
        let path = self.folder(label).join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable("read", &path, &error.to_string())),
        };
        let draft = serde_json::from_str(&text).map_err(|error| unusable("understood", &path, &error.to_string()))?;
        Ok(Some(draft))
    }

    /// Keeps a draft, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, label: &str, draft: &Draft) -> Result<(), Failure> {
        let path = self.folder(label).join(FILE);
        let text =
            serde_json::to_string_pretty(draft).map_err(|error| unusable("written", &path, &error.to_string()))?;
        write_whole(&path, &format!("{text}\n"))
    }

    /// Gives a draft another label.
    ///
    /// # Errors
    /// If the folder cannot be renamed.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        let (old, new) = (self.folder(from), self.folder(to));
        fs::rename(&old, &new).map_err(|error| unusable("renamed", &old, &error.to_string()))
    }

    /// Removes a draft and its policies.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, label: &str) -> Result<(), Failure> {
        let folder = self.folder(label);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unusable("removed", &folder, &error.to_string()));
            }
            _ => {}
        }
        // Only if it is empty by now.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }
}

fn unusable(what: &str, path: &Path, why: &str) -> Failure {
    let message = format!("{} cannot be {what}: {why}; mend or remove it", path.display());
    Failure::config("draft", message)
}

/// Writes a file beside itself and renames, so that it is never there half-written. Makes its folder. Readable by all.
///
/// # Errors
/// If there is no right or no room to.
pub fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let draft = path.with_extension("new");
        fs::write(&draft, text)?;
        set_readable(&draft)?;
        fs::rename(&draft, path)
    };
    write().map_err(|error| {
        let message = format!("{} cannot be written: {error}; check the rights of its folder", path.display());
        Failure::config("unwritable", message)
    })
}

/// The rights 0644, whatever the umask: a daemon of another user reads it, and there is no secret in it.
fn set_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_kept_found_renamed_and_removed() {
        let folder = tempfile::tempdir().expect("temp dir");
        let drafts = Drafts::of(folder.path());
        assert!(drafts.all().is_empty() && drafts.load(UNNAMED).expect("readable").is_none());
        let draft = Draft { external_id: "an-id".to_owned(), places: vec!["s3://bkt".to_owned()], ..Draft::default() };
        drafts.save(UNNAMED, &draft).expect("writable");
        assert_eq!(drafts.all(), [(UNNAMED.to_owned(), draft.clone())]);
        drafts.rename(UNNAMED, "shop").expect("renamed");
        assert_eq!(drafts.load("shop").expect("readable"), Some(draft.clone()));
        assert_eq!(draft.waits_for(), "the access policy in AWS");
        drafts.remove("shop").expect("removed");
        assert!(drafts.all().is_empty() && !folder.path().join("connections/.unfinished").exists());
        drafts.remove("shop").expect("nothing to remove is no error");
    }

    #[test]
    fn a_draft_that_is_no_draft_is_told_and_left_alone() {
        let folder = tempfile::tempdir().expect("temp dir");
        let drafts = Drafts::of(folder.path());
        let path = drafts.folder("shop").join(FILE);
        write_whole(&path, "{ \"extra\": 1 }").expect("writable");
        let failure = drafts.load("shop").expect_err("not a draft");
        assert!(failure.message.contains("draft.json") && failure.message.contains("extra"), "{failure}");
        assert!(path.exists());
    }
}
