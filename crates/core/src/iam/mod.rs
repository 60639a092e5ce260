//! What AWS has to be told: access policies, trust policies, and the ARNs, buckets and ids that stand in them.
//!
//! Purpose: a role that may do what the connector does and nothing else, and answers of a user that are checked before
//! AWS refuses them. Everything here is pure; texts of policies are what serde makes of [`Document`].
//!
//! | module | what it decides |
//! |---|---|
//! | [`access`] | which permissions reading and writing need, on which objects |
//! | [`trust`] | who may assume the role, and with which external id |
//! | [`document`] | policies as AWS spells them |
//! | [`place`] | a bucket, or the part of it below a prefix, as patterns of IAM |
//! | [`arn`], [`answer`] | ARNs of roles, keys and principals; the other answers of a user |

pub mod access;
pub mod answer;
pub mod arn;
pub mod document;
pub mod place;
pub mod trust;

pub use access::{Grants, access_policy};
pub use answer::{new_external_id, refuse_connection_name, refuse_external_id, refuse_region};
pub use arn::{Partition, Principal, RoleArn};
pub use document::Document;
pub use place::{Place, Scope};
pub use trust::{caller_policy, trust_policy};

/// What a role is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// To list and read source files.
    #[default]
    Read,
    /// To keep tables, too.
    Write,
}

impl Policy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write].into_iter().find(|policy| policy.as_str() == text)
    }
}

#[cfg(test)]
mod tests;
