//! The steps of `connection create s3_iamrole`: buckets, access policy, trust policy, ARN, region, name.

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

const STEPS: u32 = 6;

/// Creates a connection, or goes on with one.
pub fn execute(arguments: RoleArguments) -> VerbResult {
    arguments.check()?;
    let files = Files::read(&arguments.folder.config)?;
    if let Some(name) = &arguments.name {
        file_of(&arguments.folder.config, &files, name, arguments.force)?;
    }
    let (mut input, mut out) = (std::io::stdin().lock(), std::io::stderr());
    let prompts = Prompts::new(&mut input, &mut out);
    let mut steps = Steps::begin(arguments, files, prompts)?;
    match steps.take() {
        Ok(done) => {
            let Steps { arguments, files, drafts, label, draft, .. } = steps;
            finish::finish(&arguments, &files, &drafts, &label, &draft, &done)
        }
        Err(Ended::Failed(failure)) if failure.code == "input_ended" => Err(steps.interrupted(&failure).into()),
        Err(ended) => Err(ended),
    }
}

/// Everything that was answered.
pub struct Done {
    pub places: Vec<Place>,
    pub access_policy: String,
    pub trust_policy: String,
    pub principal: Principal,
    pub role: RoleArn,
    pub region: String,
    pub name: String,
}

struct Steps<'p> {
    arguments: RoleArguments,
    files: Files,
    drafts: Drafts,
    label: String,
    draft: Draft,
    prompts: Prompts<'p>,
}

impl<'p> Steps<'p> {
    /// Takes up the draft that is meant, or makes one. What flags say wins over what was answered before.
    fn begin(arguments: RoleArguments, files: Files, prompts: Prompts<'p>) -> Result<Self, Ended> {
        let drafts = Drafts::of(&arguments.folder.config);
        let label = arguments.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
        if arguments.new {
            drafts.remove(&label)?;
        } else if label != UNNAMED && drafts.load(&label)?.is_none() && drafts.load(UNNAMED)?.is_some() {
            // It was begun without a name, and now has one.
            drafts.rename(UNNAMED, &label)?;
        }
        let kept = drafts.load(&label)?;
        let resumed = kept.is_some();
        let mut steps = Self { draft: kept.unwrap_or_default(), arguments, files, drafts, label, prompts };
        steps.apply_flags()?;
        steps.save()?;
        steps.introduce(resumed);
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

    fn introduce(&mut self, resumed: bool) {
        if self.arguments.yes {
            return;
        }
        self.prompts.say(if resumed {
            format!("Going on with the connection begun {}; --new begins anew.", self.draft.begun)
        } else {
            format!(
                "A connection to S3 through an IAM role, in {STEPS} steps. Answers are kept:\n\
                 after Ctrl-C, the same command goes on where it stopped."
            )
        });
    }

    fn save(&self) -> Result<(), Failure> {
        self.drafts.save(&self.label, &self.draft)
    }

    fn take(&mut self) -> Result<Done, Ended> {
        let places = self.buckets()?;
        let known = self.known_principal()?;
        let access_policy = self.access_policy(&places, known.as_ref())?;
        let (principal, trust_policy) = self.trust_policy(known)?;
        if self.arguments.yes {
            self.refuse_gaps()?;
        }
        let role = self.role()?;
        let region = self.region(&role)?;
        let name = self.name()?;
        Ok(Done { places, access_policy, trust_policy, principal, role, region, name })
    }

    fn heading(&mut self, number: u32, title: &str) {
        self.prompts.say(format!("\nStep {number} of {STEPS}: {title}"));
    }

    /// A step that was taken before, or whose answer is a flag.
    fn known(&mut self, number: u32, title: &str, answer: &str) {
        if !self.arguments.yes {
            self.prompts.say(format!("\nStep {number} of {STEPS}: {title}: {answer}"));
        }
    }

    fn buckets(&mut self) -> Result<Vec<Place>, Ended> {
        let known = self.draft.places();
        if !known.is_empty() {
            let said = self.draft.places.join(" ");
            self.known(1, "the buckets", &said);
            return Ok(known);
        }
        if self.arguments.yes {
            return Err(missing(&["--bucket"]).into());
        }
        self.heading(1, "the buckets");
        self.prompts.say(
            "  Which buckets shall be read? More than one are separated by blanks.\n  \
             s3://my-bucket/orders/ limits the role to a prefix of a bucket.\n",
        );
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
    fn known_principal(&mut self) -> Result<Option<Principal>, Ended> {
        let region = self.draft.region.clone().or_else(|| self.files.region());
        let partition = region.as_deref().map(Partition::of_region).unwrap_or_default();
        if let Some(text) = &self.arguments.principal {
            let why = |why| Failure::config("bad_flag", format!("--principal: {why}"));
            let principal = Principal::parse(text, partition).map_err(why)?;
            self.draft.principal = Some(principal.arn.clone());
            self.save()?;
            return Ok(Some(principal));
        }
        if let Some(kept) = self.draft.principal.as_deref().and_then(|arn| Principal::parse(arn, partition).ok()) {
            return Ok(Some(kept));
        }
        if !self.arguments.yes {
            self.prompts.say("\nAsking AWS who s3-connector is here ...");
        }
        match policies::find_principal(&self.files, region.as_deref()) {
            Ok(principal) => {
                self.draft.principal = Some(principal.arn.clone());
                self.save()?;
                self.prompts.say(format!("  it is {}", principal.arn));
                Ok(Some(principal))
            }
            Err(Ended::Failed(failure)) => {
                self.prompts.say(format!("  not known: {failure}"));
                Ok(None)
            }
            Err(ended) => Err(ended),
        }
    }

    fn partition(&self, principal: Option<&Principal>) -> Partition {
        let role = || Some(RoleArn::parse(self.draft.role_arn.as_deref()?).ok()?.partition);
        let configured = || self.files.region().map(|region| Partition::of_region(&region));
        let region = self.draft.region.as_deref().map(Partition::of_region);
        region.or_else(role).or(principal.map(|principal| principal.partition)).or_else(configured).unwrap_or_default()
    }

    fn access_policy(&mut self, places: &[Place], principal: Option<&Principal>) -> Result<String, Ended> {
        let partition = self.partition(principal);
        let wanted = grants(partition, self.draft.policy(), places.to_vec(), self.draft.kms_keys.clone());
        let text = policies::text(&access_policy(&wanted))?;
        if let Some(why) = policies::too_long(&text) {
            self.draft.places.clear();
            self.save()?;
            return Err(Failure::config("policy_too_long", why).into());
        }
        let file = self.policy_file(ACCESS_POLICY, &text)?;
        if self.draft.access_policy_done.as_ref() == Some(&text) {
            self.known(2, "the access policy", "done");
            return Ok(text);
        }
        if self.arguments.yes {
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

    fn trust_policy(&mut self, known: Option<Principal>) -> Result<(Principal, String), Ended> {
        let mut announced = false;
        let principal = match known {
            Some(principal) => principal,
            None if self.arguments.yes => return Err(missing(&["--principal"]).into()),
            None => {
                self.heading(3, "the trust policy says who may assume the role");
                announced = true;
                self.ask_principal()?
            }
        };
        let text = policies::text(&trust_policy(&principal, &self.draft.external_id))?;
        let file = self.policy_file(TRUST_POLICY, &text)?;
        if self.draft.trust_policy_done.as_ref() == Some(&text) {
            self.known(3, "the role with its trust policy", "done");
            return Ok((principal, text));
        }
        if self.arguments.yes {
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
            if let Some(why) = refuse_region(&region, elsewhere, Some(role)) {
                // Neither is kept, so that the next run asks for both.
                self.draft.region = None;
                self.draft.role_arn = None;
                self.save()?;
                return Err(Failure::config("bad_region", why).into());
            }
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

    fn name_in_aws(&self) -> String {
        let bucket = || self.draft.places().first().map(|place| place.bucket.clone());
        policies::name_in_aws(&self.draft.name.clone().or_else(bucket).unwrap_or_default())
    }

    /// With `--yes`, what only AWS could tell has to be there.
    fn refuse_gaps(&mut self) -> Result<(), Ended> {
        let draft = &self.draft;
        let flags = [("--role-arn", &draft.role_arn), ("--region", &draft.region), ("--name", &draft.name)];
        let gaps: Vec<&str> = flags.iter().filter(|(_, value)| value.is_none()).map(|(flag, _)| *flag).collect();
        if gaps.is_empty() {
            return Ok(());
        }
        let folder = self.drafts.folder(&self.label);
        self.prompts.say(format!(
            "the policies for AWS are kept in {}; the next run goes on with the same external id",
            folder.display()
        ));
        Err(missing(&gaps).into())
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

fn missing(flags: &[&str]) -> Failure {
    let message = format!("missing: {}; give them, or leave out --yes to be asked", flags.join(", "));
    Failure::config("missing_answer", message)
}

fn random_bytes() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::config("random", format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
