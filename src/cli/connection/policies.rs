//! Policies as text, the commands that put them into AWS, and who the caller is.

use std::path::Path;
use std::sync::Arc;

use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::iam::document::LONGEST_POLICY;
use connector_core::iam::{Document, Partition, Principal};
use connector_s3::caller_identity;

use super::super::{Ended, runtime};
use super::files::Files;

/// A policy as people paste it.
pub fn text(document: &Document) -> Result<String, Failure> {
    serde_json::to_string_pretty(document)
        .map_err(|error| Failure::bug("policy", format!("a policy cannot be written: {error}")))
}

/// Why AWS would not take an access policy of this length.
pub fn too_long(text: &str) -> Option<String> {
    let count = text.chars().filter(|letter| !letter.is_whitespace()).count();
    (count > LONGEST_POLICY).then(|| {
        format!(
            "this policy has {count} letters, AWS takes {LONGEST_POLICY}: name fewer prefixes, or whole buckets, or \
             make several connections"
        )
    })
}

/// What policy and role are called in AWS: `s3-connector-` and the connection's name, or the bucket's.
pub fn name_in_aws(stem: &str) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() || "_.-".contains(letter) { letter } else { '-' };
    // A role's name has at most 64 letters.
    "s3-connector-".chars().chain(stem.chars().map(allowed)).take(64).collect()
}

/// Makes the access policy.
pub fn create_policy(name: &str, file: &Path) -> String {
    let file = file_argument(file);
    format!("aws iam create-policy --policy-name {name} \\\n  --policy-document {file}")
}

/// Makes the role, tells its ARN, and attaches the policy.
pub fn create_role(name: &str, file: &Path, partition: Partition) -> String {
    let file = file_argument(file);
    let account = "$(aws sts get-caller-identity --query Account --output text)";
    let policy = format!("\"arn:{}:iam::{account}:policy/{name}\"", partition.as_str());
    format!(
        "aws iam create-role --role-name {name} --query Role.Arn --output text \\\n  \
         --assume-role-policy-document {file}\n\
         aws iam attach-role-policy --role-name {name} \\\n  --policy-arn {policy}"
    )
}

/// Lets the caller assume the role; nothing for a whole account, which is no one user.
pub fn allow_caller(principal: &Principal, file: &Path) -> Option<String> {
    let kind = principal.arn.splitn(6, ':').nth(5)?.split('/').next()?;
    let name = principal.arn.rsplit('/').next()?;
    let (verb, option) = match kind {
        "user" => ("put-user-policy", "--user-name"),
        "role" => ("put-role-policy", "--role-name"),
        _ => return None,
    };
    let file = file_argument(file);
    Some(format!("aws iam {verb} {option} {name} \\\n  --policy-name s3-connector-assume --policy-document {file}"))
}

/// Takes role and policy away again.
pub fn delete_role(role: &str, policy_arn: &str) -> String {
    format!(
        "aws iam detach-role-policy --role-name {role} \\\n  --policy-arn {policy_arn}\n\
         aws iam delete-role --role-name {role}\naws iam delete-policy --policy-arn {policy_arn}"
    )
}

fn file_argument(file: &Path) -> String {
    quoted(&format!("file://{}", file.display()))
}

/// A word for a shell.
pub fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+=,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The caller as AWS sees it, fit for a trust policy.
pub fn find_principal(files: &Files, region: Option<&str>) -> Result<Principal, Ended> {
    let region = region.map(str::to_owned).or_else(|| files.region()).unwrap_or_else(|| "us-east-1".to_owned());
    let partition = Partition::of_region(&region);
    let (caller, sts_endpoint) = (files.caller(), files.settings.aws.sts_endpoint.clone());
    let identity = runtime::block_on(|_| async move {
        let clock = Arc::new(SystemClock);
        let asked = caller_identity(&caller, &region, sts_endpoint.as_deref(), "being created", clock);
        Ok(Box::pin(asked).await.map_err(Failure::from)?)
    })?;
    // Stores that are not AWS call their users otherwise; the account stands for them.
    let parsed = Principal::parse(&identity.arn, partition);
    parsed.or_else(|reason| Principal::parse(&identity.account, partition).map_err(|_| reason)).map_err(|reason| {
        let message = format!("STS says that the caller is {}: {reason}", identity.arn);
        Failure::config("bad_principal", message).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell_stay_one_word() {
        for (word, expected) in
            [("a/b-c_1", "a/b-c_1"), ("my folder", "'my folder'"), ("it's", "'it'\\''s'"), ("", "''")]
        {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn names_in_aws_keep_to_its_letters_and_length() {
        assert_eq!(name_in_aws("my bucket"), "s3-connector-my-bucket");
        assert_eq!(name_in_aws(&"x".repeat(90)).len(), 64);
    }

    #[test]
    fn the_caller_is_allowed_by_what_it_is() {
        let file = Path::new("p.json");
        let command = |arn: &str| allow_caller(&Principal::parse(arn, Partition::Aws).expect("a principal"), file);
        let user = command("arn:aws:iam::111122223333:user/dept/me").expect("a user");
        assert!(user.contains("put-user-policy --user-name me "), "{user}");
        assert!(command("arn:aws:iam::111122223333:role/app").expect("a role").contains("put-role-policy"));
        assert_eq!(command("111122223333"), None);
    }
}
