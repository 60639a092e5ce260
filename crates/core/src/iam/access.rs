//! Which permissions the connector needs, and on which objects.

use std::collections::BTreeMap;

use super::arn::Partition;
use super::document::{Document, Many, Statement};
use super::place::{Place, without_covered};

/// What a role shall be able to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    pub partition: Partition,
    /// Where source files are.
    pub read: Vec<Place>,
    /// Where tables are. Whoever writes a table reads it, too.
    pub write: Vec<Place>,
    /// ARNs of the KMS keys that objects are encrypted with.
    pub keys: Vec<String>,
}

/// The policy that allows exactly this: to list and get what is read; to put, delete, and give up unfinished uploads of
/// what is written; and to name the account's buckets, which `connection check` asks for.
pub fn access_policy(grants: &Grants) -> Document {
    let all: Vec<&Place> = grants.read.iter().chain(&grants.write).collect();
    let mut statements = vec![Statement::allow("ReadObjects", &["s3:GetObject"], objects(&all, grants.partition))];
    statements.extend(listing(&all, grants.partition));
    statements.push(Statement::allow("NameBuckets", &["s3:ListAllMyBuckets"], vec!["*".to_owned()]));
    let written: Vec<&Place> = grants.write.iter().collect();
    if !written.is_empty() {
        let actions = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
        statements.push(Statement::allow("WriteObjects", &actions, objects(&written, grants.partition)));
    }
    if !grants.keys.is_empty() {
        let actions: &[&str] =
            if written.is_empty() { &["kms:Decrypt"] } else { &["kms:Decrypt", "kms:GenerateDataKey"] };
        statements.push(Statement::allow("UseKeys", actions, grants.keys.clone()));
    }
    Document::of(statements)
}

fn objects(places: &[&Place], partition: Partition) -> Vec<String> {
    let patterns = |place: &&Place| {
        let bucket = place.bucket_arn(partition);
        place.patterns().into_iter().map(move |pattern| format!("{bucket}/{pattern}")).collect::<Vec<_>>()
    };
    without_covered(places.iter().flat_map(patterns).collect())
}

/// One statement for all buckets that are read as a whole, and one for each other bucket: a condition holds for all
/// resources of its statement.
fn listing(places: &[&Place], partition: Partition) -> Vec<Statement> {
    let mut buckets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in places {
        buckets.entry(place.bucket_arn(partition)).or_default().extend(place.patterns());
    }
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    for (bucket, patterns) in buckets {
        if patterns.iter().any(|pattern| pattern == "*") {
            whole.push(bucket);
        } else {
            parts.push((bucket, without_covered(patterns)));
        }
    }
    let mut statements = Vec::new();
    if !whole.is_empty() {
        statements.push(Statement::allow("ListBuckets", &["s3:ListBucket"], whole));
    }
    for (number, (bucket, patterns)) in parts.into_iter().enumerate() {
        let statement = Statement::allow(format!("ListPrefixes{}", number + 1), &["s3:ListBucket"], vec![bucket]);
        statements.push(statement.when("StringLike", "s3:prefix", Many::List(patterns)));
    }
    statements
}
