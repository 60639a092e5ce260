//! Who may assume a role, and what else the caller needs for that.

use std::collections::BTreeMap;

use super::arn::{Principal, RoleArn};
use super::document::{AwsPrincipal, Document, Many, Statement};

/// The trust policy of a role: this principal may assume it, with this external id.
pub fn trust_policy(principal: &Principal, external_id: &str) -> Document {
    let statement = Statement {
        sid: "AssumeWithExternalId".to_owned(),
        effect: "Allow",
        principal: Some(AwsPrincipal { arn: principal.arn.clone() }),
        action: Many::One("sts:AssumeRole".to_owned()),
        resource: None,
        condition: BTreeMap::new(),
    };
    Document::of(vec![statement.when("StringEquals", "sts:ExternalId", Many::One(external_id.to_owned()))])
}

/// The policy that the caller itself needs, if [`caller_needs_policy`] says so.
pub fn caller_policy(role: &RoleArn) -> Document {
    Document::of(vec![Statement::allow("AssumeRole", &["sts:AssumeRole"], vec![role.arn.clone()])])
}

/// Whether the trust policy alone is not enough: it is only where it names a principal of the role's own account. An
/// account as the principal hands the decision on to that account.
pub fn caller_needs_policy(principal: &Principal, role: &RoleArn) -> bool {
    principal.whole_account || principal.account != role.account
}
