//! Who calls, whether the role can be assumed, and whether its trust policy holds others off.

use connector_core::spec::{Access, Caller};

use super::{Doctor, Finding, Outcome, Probe, remedy};
use crate::connection::S3Connection;
use crate::credentials::{CredentialSource, secrets_of};
use crate::error::S3Error;
use crate::reply::Reply;
use crate::sources::AssumedRole;
use crate::verdict::assume_role;

/// What is tried in the place of the external id. Long and odd enough that nobody has it.
const WRONG_EXTERNAL_ID: &str = "s3-connector-check-with-a-wrong-external-id";

impl Doctor<'_> {
    /// The probes of STS, and whether there are credentials to go on with.
    pub(super) async fn identity(&mut self, connection: &S3Connection) -> (Vec<Finding>, bool) {
        match &self.spec.access {
            Access::Role { .. } => self.role(connection).await,
            Access::Anonymous => {
                let why = "requests are not signed";
                (self.no_role(Finding::not_needed(Probe::Caller, why)), true)
            }
            Access::Static(_) | Access::DefaultChain => {
                let caller = self.own_keys(connection).await;
                // What STS does not want to hear of, S3 may still accept: the store may have keys of its own.
                let lost = ["no_credentials", "expired_credentials"];
                let usable = caller.failure.is_none_or(|(_, code)| !lost.contains(&code));
                (self.no_role(caller), usable)
            }
        }
    }

    fn no_role(&self, caller: Finding) -> Vec<Finding> {
        let why = "the connection has no role (S3_ARN)";
        let rest = [Probe::AssumeRole, Probe::WithoutExternalId, Probe::WrongExternalId];
        std::iter::once(caller).chain(rest.map(|probe| Finding::not_needed(probe, why))).collect()
    }

    async fn own_keys(&mut self, connection: &S3Connection) -> Finding {
        let inner = &connection.inner;
        let keys = match inner.credentials().await {
            Ok(keys) => keys,
            Err(error) => return self.failed(Probe::Caller, &error),
        };
        if self.spec.endpoint.is_some() && self.spec.sts_endpoint.is_none() {
            let why = "a store of another kind than AWS need not have STS; S3 itself will tell";
            return Finding::not_needed(Probe::Caller, why);
        }
        let Some(client) = connection.sts(self.spec, &self.wiring()) else {
            return Finding::not_needed(Probe::Caller, "requests are not signed");
        };
        match self.who(&client, connection, &secrets_of(keys.as_ref())).await {
            Ok(arn) => Finding::ok(Probe::Caller, arn),
            Err(error) => {
                inner.forget_if_expired(&error, keys.as_ref());
                let error =
                    if error.is_expired_token() { inner.credentials().await.err().unwrap_or(error) } else { error };
                self.failed(Probe::Caller, &error)
            }
        }
    }

    async fn who(
        &mut self,
        client: &aws_sdk_sts::Client,
        connection: &S3Connection,
        secrets: &[&str],
    ) -> Result<String, S3Error> {
        let answer = Box::pin(client.get_caller_identity().send()).await.map_err(|error| {
            let reply = Reply::of(&error, secrets);
            assume_role(&connection.inner.asker, &reply, "the identity of the caller")
        })?;
        let arn = answer.arn().unwrap_or_default().to_owned();
        self.caller = Some(arn.clone()).filter(|arn| !arn.is_empty());
        Ok(arn)
    }

    async fn role(&mut self, connection: &S3Connection) -> (Vec<Finding>, bool) {
        let Some(role) = connection.role(self.spec, &self.clock, &self.settings, &self.wiring()) else {
            return (Vec::new(), true);
        };
        let caller = self.caller_of(&role).await;
        let lost = caller.failure.is_some();
        let mut findings = vec![caller];
        if lost {
            let why = "the caller has no credentials that STS takes: see above";
            let rest = [Probe::AssumeRole, Probe::WithoutExternalId, Probe::WrongExternalId];
            findings.extend(rest.map(|probe| Finding::skipped(probe, why).on(&role.arn)));
            return (findings, false);
        }
        let assumed = role.fetch().await.map(drop);
        let works = assumed.is_ok();
        findings.push(match &assumed {
            Ok(()) if role.external_id.is_empty() => Finding::ok(Probe::AssumeRole, "assumed without an external id"),
            Ok(()) => Finding::ok(Probe::AssumeRole, format!("assumed with the external id {}", role.external_id)),
            Err(error) => self.failed(Probe::AssumeRole, error),
        });
        for (probe, tried) in [(Probe::WithoutExternalId, ""), (Probe::WrongExternalId, WRONG_EXTERNAL_ID)] {
            findings.push(if works {
                self.refused(probe, &role, tried).await
            } else {
                Finding::skipped(probe, "the role cannot be assumed at all: see above")
            });
        }
        let on_role = |finding: Finding| if finding.probe == Probe::Caller { finding } else { finding.on(&role.arn) };
        (findings.into_iter().map(on_role).collect(), works)
    }

    async fn caller_of(&mut self, role: &AssumedRole) -> Finding {
        let keys = match role.caller.current().await {
            Ok(keys) => keys,
            Err(error) => return self.failed(Probe::Caller, &error),
        };
        let from = match &self.spec.access {
            Access::Role { caller: Caller::Static(_), .. } => "keys of [aws]",
            _ => "the default AWS chain",
        };
        // The asker of the role is the caller, so that messages name it and not the role.
        let secrets = secrets_of(Some(&keys));
        let answer = Box::pin(role.client.get_caller_identity().send()).await;
        match answer {
            Ok(answer) => {
                let arn = answer.arn().unwrap_or_default().to_owned();
                self.caller = Some(arn.clone()).filter(|arn| !arn.is_empty());
                Finding::ok(Probe::Caller, format!("{arn}, with {from}"))
            }
            Err(error) => {
                let mut error = assume_role(&role.asker, &Reply::of(&error, &secrets), &role.arn);
                if error.is_expired_token() {
                    role.caller.forget(&keys);
                    error = role.caller.current().await.err().unwrap_or(error);
                }
                self.failed(Probe::Caller, &error)
            }
        }
    }

    /// Whether the role is refused with another external id than its own.
    async fn refused(&self, probe: Probe, role: &AssumedRole, tried: &str) -> Finding {
        if role.external_id.is_empty() {
            return Finding::not_needed(probe, "the connection has no external id");
        }
        let with = if tried.is_empty() { "without an external id" } else { "with a wrong external id" };
        let stranger = AssumedRole { external_id: tried.to_owned(), ..role.clone() };
        match stranger.fetch().await.map(drop) {
            Err(S3Error::AssumeRoleDenied { .. }) => Finding::ok(probe, format!("refused {with}, as it should be")),
            Err(error) => Finding::skipped(probe, format!("cannot be told: {error}")),
            Ok(()) => {
                let said = format!(
                    "the role can be assumed {with}: its trust policy does not enforce the external id, so whoever can \
                     make this principal act can reach the bucket"
                );
                let remedy = Some(remedy::trust(self.spec, &role.arn, &role.external_id, self.caller.as_deref()));
                Finding { remedy, ..Finding::new(probe, Outcome::Warning, said) }
            }
        }
    }
}
