//! `connection create s3_iamrole` where nobody can be asked: by flags, and by what was answered before.

use connector_core::error::Failure;
use connector_core::iam::{Principal, RoleArn};

use super::super::Ended;
use super::steps::{Done, Steps};

/// A flag that is missing, and what it could look like.
struct Gap {
    flag: &'static str,
    example: String,
}

impl Steps<'_> {
    /// Everything at once. What can be made of incomplete flags is made and kept: with buckets alone, the policies that
    /// AWS needs before there is an ARN.
    ///
    /// # Errors
    /// `Config` with code `missing_flags`, which names all of them, if any is missing.
    pub fn given(&mut self) -> Result<Done, Ended> {
        let places = self.draft.places();
        let principal = self.known_principal()?;
        let gaps = self.gaps(principal.as_ref());
        if places.is_empty() {
            return Err(self.missing(&gaps).into());
        }
        self.save()?;
        let partition = self.partition(principal.as_ref());
        let (access_policy, _) = self.make_access_policy(&places, partition)?;
        let trust = match principal {
            Some(principal) => {
                let (text, _) = self.make_trust_policy(&principal)?;
                Some((principal, text))
            }
            None => None,
        };
        let role = self.draft.role_arn.as_deref().and_then(|arn| RoleArn::parse(arn).ok());
        let (Some(role), Some(region), Some(name), true) =
            (role, self.draft.region.clone(), self.draft.name.clone(), gaps.is_empty())
        else {
            let folder = self.drafts.folder(&self.label);
            self.prompts.say(format!(
                "the policies for AWS are in {}; the next run goes on with the same external id",
                folder.display()
            ));
            return Err(self.missing(&gaps).into());
        };
        self.refuse_region(&region, &role)?;
        Ok(Done { places, access_policy, trust, role, region, name })
    }

    fn gaps(&self, principal: Option<&Principal>) -> Vec<Gap> {
        let draft = &self.draft;
        // A role that is there, with the external id that it demands, needs no trust policy any more.
        let trusted = self.arguments.role_arn.is_some() && self.arguments.external_id.is_some();
        let role = format!("arn:aws:iam::111111111111:role/{}", self.name_in_aws());
        [
            ("--bucket", !draft.places.is_empty(), "my-bucket"),
            ("--principal", principal.is_some() || trusted, "111111111111"),
            ("--role-arn", draft.role_arn.is_some(), role.as_str()),
            ("--region", draft.region.is_some(), "eu-west-1"),
            ("--name", draft.name.is_some(), "shop"),
        ]
        .into_iter()
        .filter(|(_, is_there, _)| !is_there)
        .map(|(flag, _, example)| Gap { flag, example: example.to_owned() })
        .collect()
    }

    fn missing(&self, gaps: &[Gap]) -> Failure {
        let flags: Vec<&str> = gaps.iter().map(|gap| gap.flag).collect();
        let examples: Vec<String> = gaps.iter().map(|gap| format!("{} {}", gap.flag, gap.example)).collect();
        let (why, otherwise) = if self.arguments.yes {
            ("--yes asks nothing", "leave out --yes to be asked")
        } else {
            ("nobody can be asked, as standard input is not a terminal", "run it at a terminal to be asked")
        };
        let message =
            format!("missing: {} ({why}); give them, such as {}, or {otherwise}", flags.join(", "), examples.join(" "));
        Failure::config("missing_flags", message)
    }
}
