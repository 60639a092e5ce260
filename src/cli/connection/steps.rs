//! The steps of `connection create s3_iamrole`: buckets, access policy, trust policy, ARN, region, name.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;

use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::iam::{
    Partition, Place, Policy, Principal, RoleArn, access_policy, new_external_id, refuse_connection_name,
    refuse_region, trust_policy,
};

use super::super::{Ended, VerbResult, output};
use super::ask::{Prompts, Waited};
use super::create::{RoleArguments, config_flag, file_of};
use super::draft::{ACCESS_POLICY, Draft, Drafts, TRUST_POLICY, UNNAMED, write_whole};
use super::files::{Files, grants};
use super::{finish, ls, policies};
use crate::config::project::SETTINGS_FILE;

const STEPS: u32 = 6;

/// Creates a connection, or goes on with one.
pub fn execute(arguments: RoleArguments) -> VerbResult {
    arguments.check()?;
    let files = Files::read(&arguments.folder.config)?;
    let (mut input, mut out) = (std::io::stdin().lock(), std::io::stderr());
    let prompts = Prompts::new(&mut input, &mut out);
    let mut steps = Steps::begin(arguments, files, prompts)?;
    let done = if steps.asking { steps.take() } else { steps.given() };
    match done {
        Ok(done) => finish::finish(&mut steps, &done),
        Err(Ended::Failed(failure)) if failure.code == "input_ended" => Err(steps.interrupted(&failure).into()),
        Err(ended) => Err(ended),
    }
}

/// Everything that was answered.
pub struct Done {
    pub places: Vec<Place>,
    pub access_policy: String,
    /// With its principal; `None` if nobody knows the caller, and the role was there already.
    pub trust: Option<(Principal, String)>,
    pub role: RoleArn,
    pub region: String,
    pub name: String,
}

/// A connection on its way.
pub struct Steps<'p> {
    pub arguments: RoleArguments,
    pub files: Files,
    pub drafts: Drafts,
    pub label: String,
    pub draft: Draft,
    pub prompts: Prompts<'p>,
    /// Somebody sits there and wants to be asked. Nobody else is waited for.
    pub asking: bool,
}

impl<'p> Steps<'p> {
    /// Takes up the draft that is meant, or makes one. What flags say wins over what was answered before.
    fn begin(arguments: RoleArguments, files: Files, prompts: Prompts<'p>) -> Result<Self, Ended> {
        let drafts = Drafts::of(&arguments.folder.config);
        let label = arguments.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
        let mut kept = if arguments.new { None } else { drafts.load(&label)? };
        if arguments.new {
            drafts.remove(&label)?;
        } else if label != UNNAMED && kept.is_none() {
            refuse_taken(&arguments, &files)?;
            // It may have been begun without a name, and now has one.
            if let Some(unnamed) = drafts.load(UNNAMED)?.filter(|draft| same_buckets(draft, &arguments)) {
                drafts.rename(UNNAMED, &label)?;
                kept = Some(unnamed);
            }
        }
        if let Some(draft) = kept.as_ref().filter(|draft| !same_buckets(draft, &arguments)) {
            return Err(other_buckets(draft, &label).into());
        }
        let asking = !arguments.yes && std::io::stdin().is_terminal();
        let resumed = kept.is_some();
        let mut steps = Self { draft: kept.unwrap_or_default(), arguments, files, drafts, label, prompts, asking };
        steps.apply_flags()?;
        if asking {
            steps.save()?;
            steps.introduce(resumed);
        }
        steps.tell_of_sts();
        Ok(steps)
    }

    fn apply_flags(&mut self) -> Result<(), Failure> {
        let (flags, draft) = (&self.arguments, &mut self.draft);
        if draft.begun.is_empty() {
            draft.begun = SystemClock.now().strftime("%Y-%m-%d %H:%M UTC").to_string();
        }
        if let Some(policy) = flags.policy {
            draft.policy = policy.as_str().to_owned();
        }
        if draft.policy.is_empty() {
            draft.policy = Policy::default().as_str().to_owned();
        }
        let places = flags.places()?;
        if !places.is_empty() {
            draft.places = places.iter().map(Place::uri).collect();
        }
        if !flags.kms_key.is_empty() {
            draft.kms_keys.clone_from(&flags.kms_key);
        }
        if let Some(id) = &flags.external_id {
            draft.external_id.clone_from(id);
        }
        if draft.external_id.is_empty() {
            draft.external_id = new_external_id(random_bytes()?);
        }
        for (flag, kept) in [
            (&flags.role_arn, &mut draft.role_arn),
            (&flags.region, &mut draft.region),
            (&flags.name, &mut draft.name),
            (&flags.endpoint, &mut draft.endpoint),
        ] {
            if flag.is_some() {
                kept.clone_from(flag);
            }
        }
        draft.path_style |= flags.path_style;
        Ok(())
    }

    /// An endpoint is for S3 alone, which surprises those whose store has an STS of its own.
    fn tell_of_sts(&mut self) {
        let Some(endpoint) = self.draft.endpoint.as_ref().filter(|_| self.files.settings.aws.sts_endpoint.is_none())
        else {
            return;
        };
        let settings = self.arguments.folder.config.join(SETTINGS_FILE);
        self.prompts.say(format!(
            "note: roles are assumed at the STS of AWS. If {endpoint} has an STS of its own, too, say so in {}:\n\n  \
             [aws]\n  sts_endpoint = \"{endpoint}\"\n",
            settings.display()
        ));
    }

    fn introduce(&mut self, resumed: bool) {
        self.prompts.say(if resumed {
            format!("Going on with the connection begun {}; --new begins anew.", self.draft.begun)
        } else {
            format!(
                "A connection to S3 through an IAM role, in {STEPS} steps. Answers are kept:\n\
                 after Ctrl-C, the same command goes on where it stopped."
            )
        });
    }

    pub fn save(&self) -> Result<(), Failure> {
        self.drafts.save(&self.label, &self.draft)
    }

    fn take(&mut self) -> Result<Done, Ended> {
        let places = self.buckets()?;
        let known = self.known_principal()?;
        self.save()?;
        let access_policy = self.access_policy(&places, known.as_ref())?;
        let trust = self.trust_policy(known)?;
        let role = self.role()?;
        let region = self.region(&role)?;
        let name = self.name()?;
        Ok(Done { places, access_policy, trust: Some(trust), role, region, name })
    }

    fn heading(&mut self, number: u32, title: &str) {
        self.prompts.say(format!("\nStep {number} of {STEPS}: {title}"));
    }

    /// A step that was taken before, or whose answer is a flag.
    fn known(&mut self, number: u32, title: &str, answer: &str) {
        self.prompts.say(format!("\nStep {number} of {STEPS}: {title}: {answer}"));
    }

    fn buckets(&mut self) -> Result<Vec<Place>, Ended> {
        let known = self.draft.places();
        if !known.is_empty() {
            let said = self.draft.places.join(" ");
            self.known(1, "the buckets", &said);
            return Ok(known);
        }
        self.heading(1, "the buckets");
        let (purpose, sample) = match self.draft.policy() {
            Policy::Read => ("Which buckets shall be read", "s3://my-bucket/orders/"),
            Policy::Write => ("In which buckets shall tables be kept", "s3://my-bucket/tables/"),
        };
        self.prompts.say(format!(
            "  {purpose}? More than one are separated by blanks.\n  {sample} limits the role to a prefix of a bucket.\n"
        ));
        let places = self.prompts.ask("Buckets: ", |answer| {
            let places = answer.split([' ', ',']).filter(|part| !part.is_empty());
            let places = places.map(Place::parse).collect::<Result<Vec<_>, _>>()?;
            if places.is_empty() { Err("the name of a bucket is missing".to_owned()) } else { Ok(places) }
        })?;
        self.draft.places = places.iter().map(Place::uri).collect();
        self.save()?;
        Ok(places)
    }

    /// By flag, kept, or as AWS sees the caller; `None` if it has to be asked for.
    pub fn known_principal(&mut self) -> Result<Option<Principal>, Ended> {
        let region = self.draft.region.clone().or_else(|| self.files.region());
        let partition = region.as_deref().map(Partition::of_region).unwrap_or_default();
        if let Some(text) = &self.arguments.principal {
            let why = |why| Failure::config("bad_flag", format!("--principal: {why}"));
            let principal = Principal::parse(text, partition).map_err(why)?;
            self.draft.principal = Some(principal.arn.clone());
            return Ok(Some(principal));
        }
        if let Some(kept) = self.draft.principal.as_deref().and_then(|arn| Principal::parse(arn, partition).ok()) {
            return Ok(Some(kept));
        }
        if self.asking {
            self.prompts.say("\nAsking AWS who s3-connector is here ...");
        }
        match policies::find_principal(&self.files, region.as_deref()) {
            Ok(principal) => {
                self.draft.principal = Some(principal.arn.clone());
                if self.asking {
                    self.prompts.say(format!("  it is {}", principal.arn));
                }
                Ok(Some(principal))
            }
            Err(Ended::Failed(failure)) => {
                self.prompts.say(format!("  the caller is not known: {failure}"));
                Ok(None)
            }
            Err(ended) => Err(ended),
        }
    }

    pub fn partition(&self, principal: Option<&Principal>) -> Partition {
        let role = || Some(RoleArn::parse(self.draft.role_arn.as_deref()?).ok()?.partition);
        let configured = || self.files.region().map(|region| Partition::of_region(&region));
        let region = self.draft.region.as_deref().map(Partition::of_region);
        region.or_else(role).or(principal.map(|principal| principal.partition)).or_else(configured).unwrap_or_default()
    }

    fn access_policy(&mut self, places: &[Place], principal: Option<&Principal>) -> Result<String, Ended> {
        let partition = self.partition(principal);
        let (text, file) = self.make_access_policy(places, partition)?;
        if self.draft.access_policy_done.as_ref() == Some(&text) {
            self.known(2, "the access policy", "done");
            return Ok(text);
        }
        let name = self.name_in_aws();
        self.heading(2, "the access policy says what the role may do");
        self.prompts.say(format!(
            "  In the console: {}#/policies/create\n  choose JSON, paste this, and call it {name}:\n",
            partition.console()
        ));
        self.show_policy(&text);
        let command = policies::create_policy(&name, &file);
        self.prompts.say(format!("\n  Or in a shell, which does the same:\n\n{command}\n"));
        self.wait("Is the policy there?", &text)?;
        self.draft.access_policy_done = Some(text.clone());
        self.save()?;
        Ok(text)
    }

    /// The access policy, and the file that it was written to.
    pub fn make_access_policy(&mut self, places: &[Place], partition: Partition) -> Result<(String, PathBuf), Ended> {
        let wanted = grants(partition, self.draft.policy(), places.to_vec(), self.draft.kms_keys.clone());
        let text = policies::text(&access_policy(&wanted))?;
        if let Some(why) = policies::too_long(&text) {
            // Otherwise the next run would come to the same end.
            self.draft.places.clear();
            self.save()?;
            return Err(Failure::config("policy_too_long", why).into());
        }
        let file = self.policy_file(ACCESS_POLICY, &text)?;
        Ok((text, file))
    }

    /// The trust policy, and the file that it was written to.
    pub fn make_trust_policy(&self, principal: &Principal) -> Result<(String, PathBuf), Ended> {
        let text = policies::text(&trust_policy(principal, &self.draft.external_id))?;
        let file = self.policy_file(TRUST_POLICY, &text)?;
        Ok((text, file))
    }

    fn trust_policy(&mut self, known: Option<Principal>) -> Result<(Principal, String), Ended> {
        let mut announced = false;
        let principal = match known {
            Some(principal) => principal,
            None => {
                self.heading(3, "the trust policy says who may assume the role");
                announced = true;
                self.ask_principal()?
            }
        };
        let (text, file) = self.make_trust_policy(&principal)?;
        if self.draft.trust_policy_done.as_ref() == Some(&text) {
            self.known(3, "the role with its trust policy", "done");
            return Ok((principal, text));
        }
        if !announced {
            self.heading(3, "the trust policy says who may assume the role");
        }
        let partition = self.partition(Some(&principal));
        let name = self.name_in_aws();
        self.prompts.say(format!(
            "  In the console: {}#/roles/create\n  choose \"Custom trust policy\", paste this; on the next page select \
             the\n  policy of step 2; call the role {name}:\n",
            partition.console()
        ));
        self.show_policy(&text);
        let command = policies::create_role(&name, &file, partition);
        self.prompts.say(format!("\n  Or in a shell, which tells the role's ARN:\n\n{command}\n"));
        self.wait("Is the role there?", &text)?;
        self.draft.trust_policy_done = Some(text.clone());
        self.save()?;
        Ok((principal, text))
    }

    fn ask_principal(&mut self) -> Result<Principal, Ended> {
        self.prompts.say("  Which AWS account, user or role does s3-connector run as?");
        let partition = self.partition(None);
        let principal = self.prompts.ask("Account id or ARN: ", |answer| Principal::parse(answer, partition))?;
        self.draft.principal = Some(principal.arn.clone());
        self.save()?;
        Ok(principal)
    }

    fn role(&mut self) -> Result<RoleArn, Ended> {
        if let Some(role) = self.draft.role_arn.as_deref().and_then(|arn| RoleArn::parse(arn).ok()) {
            self.known(4, "the ARN of the role", &role.arn);
            return Ok(role);
        }
        self.heading(4, "the ARN of the role");
        let name = self.name_in_aws();
        self.prompts.say(format!("  In the console: IAM > Roles > {name}. It looks like"));
        self.prompts.say(format!("  arn:aws:iam::111111111111:role/{name}\n"));
        let role = self.prompts.ask("ARN: ", RoleArn::parse)?;
        self.draft.role_arn = Some(role.arn.clone());
        self.save()?;
        Ok(role)
    }

    fn region(&mut self, role: &RoleArn) -> Result<String, Ended> {
        let elsewhere = self.draft.endpoint.is_some();
        if let Some(region) = self.draft.region.clone() {
            self.refuse_region(&region, role)?;
            self.known(5, "the region of the buckets", &region);
            return Ok(region);
        }
        let default = self.files.region().filter(|region| refuse_region(region, elsewhere, Some(role)).is_none());
        self.heading(5, "the region of the buckets");
        let question = match &default {
            Some(region) => format!("Region [{region}]: "),
            None => "Region, such as eu-west-1: ".to_owned(),
        };
        let region = self.prompts.ask(&question, |answer| {
            let answer = if answer.is_empty() { default.as_deref().unwrap_or_default() } else { answer };
            refuse_region(answer, elsewhere, Some(role)).map_or_else(|| Ok(answer.to_owned()), Err)
        })?;
        self.draft.region = Some(region.clone());
        self.save()?;
        Ok(region)
    }

    /// Refuses a region that the role cannot reach.
    pub fn refuse_region(&mut self, region: &str, role: &RoleArn) -> Result<(), Failure> {
        let Some(why) = refuse_region(region, self.draft.endpoint.is_some(), Some(role)) else { return Ok(()) };
        // Neither is kept, so that the next run asks for both.
        self.draft.region = None;
        self.draft.role_arn = None;
        self.save()?;
        Err(Failure::config("bad_region", why))
    }

    fn name(&mut self) -> Result<String, Ended> {
        if let Some(name) = self.draft.name.clone() {
            self.known(6, "the name", &name);
            return Ok(name);
        }
        self.heading(6, "the name of the connection");
        let (config, force) = (self.arguments.folder.config.clone(), self.arguments.force);
        let files = &self.files;
        let name = self.prompts.ask("Name, such as shop: ", |answer| {
            if let Some(why) = refuse_connection_name(answer) {
                return Err(why);
            }
            file_of(&config, files, answer, force).map_err(|failure| failure.message)?;
            Ok(answer.to_owned())
        })?;
        self.draft.name = Some(name.clone());
        self.save()?;
        Ok(name)
    }

    /// Writes a policy beside the draft.
    fn policy_file(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.drafts.folder(&self.label).join(name);
        write_whole(&path, &format!("{text}\n"))?;
        Ok(path)
    }

    /// A policy as one block that can be copied.
    fn show_policy(&mut self, text: &str) {
        if self.arguments.json {
            self.prompts.say(text);
        } else {
            output::line(text);
        }
    }

    fn wait(&mut self, question: &str, policy: &str) -> Result<(), Failure> {
        while self.prompts.wait(question)? == Waited::Copy {
            self.prompts.copy(policy);
        }
        Ok(())
    }

    pub fn name_in_aws(&self) -> String {
        let bucket = || self.draft.places().first().map(|place| place.bucket.clone());
        policies::name_in_aws(&self.draft.name.clone().or_else(bucket).unwrap_or_else(|| "my-bucket".to_owned()))
    }

    /// What to tell if the answers end.
    fn interrupted(&self, failure: &Failure) -> Failure {
        let message = format!(
            "{} before {} was known; what was answered is kept, go on with: {}{}",
            failure.message,
            self.draft.waits_for(),
            ls::resume(&self.label),
            config_flag(&self.arguments.folder.config)
        );
        Failure::config(failure.code, message)
    }
}

/// Refuses the name of a connection that is there, and not by an earlier run of this one.
fn refuse_taken(arguments: &RoleArguments, files: &Files) -> Result<(), Failure> {
    let Some(name) = &arguments.name else { return Ok(()) };
    file_of(&arguments.folder.config, files, name, arguments.force).map(drop)
}

/// Whether flags name the buckets that a draft is about, as far as both name any.
fn same_buckets(draft: &Draft, arguments: &RoleArguments) -> bool {
    let kept = draft.places();
    let buckets = |places: &[Place]| places.iter().map(|place| place.bucket.clone()).collect::<BTreeSet<_>>();
    kept.is_empty() || arguments.bucket.is_empty() || buckets(&kept) == buckets(&arguments.bucket)
}

fn other_buckets(draft: &Draft, label: &str) -> Failure {
    let message = format!(
        "an unfinished connection waits for {}, and it is about {}; go on with it without --bucket: {}, or begin anew \
         with --new, or remove it: s3-connector connection rm {label}",
        draft.waits_for(),
        draft.places.join(" "),
        ls::resume(label)
    );
    Failure::config("other_buckets", message)
}

fn random_bytes() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::config("random", format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
