//! Policies as AWS spells them.

use std::collections::BTreeMap;

use serde::Serialize;

/// AWS takes managed policies of at most so many characters, blanks not counted.
pub const LONGEST_POLICY: usize = 6_144;

/// A policy. Its fields come out in the order in which AWS documents them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    /// Of the policy language: the one with policy variables.
    pub version: &'static str,
    pub statement: Vec<Statement>,
}

impl Document {
    pub(super) fn of(statement: Vec<Statement>) -> Self {
        Self { version: "2012-10-17", statement }
    }
}

/// Something that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Letters and digits, unlike any other of the policy.
    pub sid: String,
    pub effect: &'static str,
    /// Only in trust policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<AwsPrincipal>,
    pub action: Many,
    /// Not in trust policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Many>,
    /// Operator, then key, then values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<&'static str, BTreeMap<&'static str, Many>>,
}

impl Statement {
    /// Allows these actions on these resources.
    pub(super) fn allow(sid: impl Into<String>, actions: &[&str], resources: Vec<String>) -> Self {
        let action = Many::List(actions.iter().map(|action| (*action).to_owned()).collect());
        let resource = Some(Many::List(resources));
        Self { sid: sid.into(), effect: "Allow", principal: None, action, resource, condition: BTreeMap::new() }
    }

    pub(super) fn when(mut self, operator: &'static str, key: &'static str, values: Many) -> Self {
        self.condition.entry(operator).or_default().insert(key, values);
        self
    }
}

/// `"Principal": { "AWS": … }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AwsPrincipal {
    #[serde(rename = "AWS")]
    pub arn: String,
}

/// One text, or a list of texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Many {
    One(String),
    List(Vec<String>),
}
