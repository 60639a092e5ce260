//! Policies against a small evaluator of policies, and answers that are refused.

use super::access::Grants;
use super::document::{LONGEST_POLICY, Many, Statement};
use super::trust::caller_needs_policy;
use super::*;
use crate::uri::BucketUri;

// -------------------------------------------------------------------------------------------------- a small evaluator

/// A piece of a pattern as IAM reads it.
#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Letter(char),
    One,
    Many,
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let escaped = ["${*}", "${?}", "${$}"].into_iter().find(|escape| rest.starts_with(escape));
        if let Some(escape) = escaped {
            found.extend(escape.chars().nth(2).map(Piece::Letter));
            rest = &rest[escape.len()..];
            continue;
        }
        assert!(!rest.starts_with("${"), "a variable that nobody meant: {pattern}");
        found.push(match letter {
            '*' => Piece::Many,
            '?' => Piece::One,
            letter => Piece::Letter(letter),
        });
        rest = &rest[letter.len_utf8()..];
    }
    found
}

fn fits(pattern: &[Piece], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(Piece::Many), _) => fits(&pattern[1..], text) || (!text.is_empty() && fits(pattern, &text[1..])),
        (Some(Piece::One), Some(_)) => fits(&pattern[1..], &text[1..]),
        (Some(Piece::Letter(wanted)), Some(letter)) => wanted == letter && fits(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn any(patterns: &Many, text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let list = match patterns {
        Many::One(one) => vec![one.clone()],
        Many::List(list) => list.clone(),
    };
    list.iter().any(|pattern| fits(&pieces(pattern), &letters))
}

struct Request<'a> {
    action: &'a str,
    resource: String,
    /// `s3:prefix` of a listing.
    prefix: Option<&'a str>,
}

fn statement_allows(statement: &Statement, request: &Request<'_>) -> bool {
    assert_eq!(statement.effect, "Allow");
    let condition = statement.condition.iter().all(|(operator, keys)| {
        assert_eq!(*operator, "StringLike", "the evaluator knows no other one");
        keys.iter().all(|(key, values)| {
            assert_eq!(*key, "s3:prefix");
            request.prefix.is_some_and(|prefix| any(values, prefix))
        })
    });
    let resource = statement.resource.as_ref().is_some_and(|resources| any(resources, &request.resource));
    any(&statement.action, request.action) && resource && condition
}

fn allows(document: &Document, action: &str, resource: String, prefix: Option<&str>) -> bool {
    document
        .statement
        .iter()
        .any(|statement| statement_allows(statement, &Request { action, resource: resource.clone(), prefix }))
}

fn may_get(document: &Document, bucket: &str, key: &str) -> bool {
    allows(document, "s3:GetObject", format!("arn:aws:s3:::{bucket}/{key}"), None)
}

fn may_list(document: &Document, bucket: &str, prefix: &str) -> bool {
    allows(document, "s3:ListBucket", format!("arn:aws:s3:::{bucket}"), Some(prefix))
}

fn read(places: &[&str]) -> Document {
    let read = places.iter().map(|place| Place::parse(place).expect("a place")).collect();
    access_policy(&Grants { read, ..Grants::default() })
}

// ---------------------------------------------------------------------------------------------------------- policies

#[test]
fn the_read_policy_is_that_of_the_reference() {
    let policy = read(&["my-bucket"]);
    assert!(may_get(&policy, "my-bucket", "any/key.csv") && may_list(&policy, "my-bucket", ""));
    assert!(allows(&policy, "s3:ListAllMyBuckets", "*".to_owned(), None));
    for action in ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:GetObjectAcl", "kms:Decrypt"] {
        assert!(!allows(&policy, action, "arn:aws:s3:::my-bucket/key".to_owned(), None), "{action}");
    }
    assert!(!may_get(&policy, "my-bucket2", "key") && !may_get(&policy, "other", "key"));
    assert!(!may_list(&policy, "my-bucket2", ""));
}

#[test]
fn a_limited_policy_allows_what_its_prefixes_hold_and_nothing_else() {
    let policy = read(&["s3://drop/orders", "s3://drop/views/2024-*.csv", "whole"]);
    for (key, allowed) in [
        ("orders", true),
        ("orders/a.csv", true),
        ("orders/deep/a.csv", true),
        ("orders2/a.csv", false),
        ("order", false),
        ("views/2024-01.csv", true),
        ("views/2023-01.csv", false),
        ("views/", false),
        ("", false),
    ] {
        assert_eq!(may_get(&policy, "drop", key), allowed, "{key}");
    }
    for (prefix, allowed) in [
        ("orders", true),
        ("orders/", true),
        ("orders/2024", true),
        ("views/2024-", true),
        ("views/2024-01", true),
        ("", false),
        ("views/", false),
        ("orders2", false),
        ("invoices/", false),
    ] {
        assert_eq!(may_list(&policy, "drop", prefix), allowed, "{prefix}");
    }
    // Without any prefix the key of the condition is absent: the whole bucket cannot be listed.
    assert!(!allows(&policy, "s3:ListBucket", "arn:aws:s3:::drop".to_owned(), None));
    assert!(may_list(&policy, "whole", "") && may_get(&policy, "whole", "x"));
}

#[test]
fn whoever_writes_tables_reads_and_lists_them_and_writes_nowhere_else() {
    let place = |text: &str| vec![Place::parse(text).expect("a place")];
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let grants = Grants {
        read: place("s3://drop/orders/"),
        write: place("s3://lake/tables"),
        keys: vec![key.to_owned()],
        ..Grants::default()
    };
    let policy = access_policy(&grants);
    for action in ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:GetObject"] {
        let reads = action == "s3:GetObject";
        for (resource, allowed) in [
            ("lake/tables/orders/_delta_log/0.json", true),
            ("lake/tables2/x", false),
            ("lake/x", false),
            ("drop/orders/a.csv", reads),
            ("drop/views/a.csv", false),
        ] {
            assert_eq!(
                allows(&policy, action, format!("arn:aws:s3:::{resource}"), None),
                allowed,
                "{action} {resource}"
            );
        }
    }
    assert!(may_list(&policy, "lake", "tables/orders/_delta_log/") && !may_list(&policy, "lake", ""));
    for (action, allowed) in [("kms:Decrypt", true), ("kms:GenerateDataKey", true), ("kms:Encrypt", false)] {
        assert_eq!(allows(&policy, action, key.to_owned(), None), allowed, "{action}");
    }
    let reader = access_policy(&Grants { write: Vec::new(), ..grants });
    assert!(allows(&reader, "kms:Decrypt", key.to_owned(), None));
    assert!(!allows(&reader, "kms:GenerateDataKey", key.to_owned(), None));
    assert!(!allows(&reader, "kms:Decrypt", key.replace("1234abcd", "ffffffff"), None));
}

#[test]
fn letters_that_mean_something_to_iam_are_taken_literally() {
    for prefix in ["a$b/", "${aws:username}/", "$/", "a${/", "100%/", "\"quoted\"/", "back\\slash/", "é/"] {
        let scope = Scope::Prefix(prefix.to_owned());
        let policy =
            access_policy(&Grants { read: vec![Place { bucket: "bkt".to_owned(), scope }], ..Grants::default() });
        assert!(may_get(&policy, "bkt", &format!("{prefix}x")) && may_list(&policy, "bkt", prefix), "{prefix}");
        assert!(!may_get(&policy, "bkt", "other/x") && !may_list(&policy, "bkt", "other/"), "{prefix}");
    }
    for (prefix, other) in [("a*b/", "axb/"), ("a?b/", "axb/"), ("*", "x"), ("?", "x")] {
        let scope = Scope::Prefix(prefix.to_owned());
        let policy =
            access_policy(&Grants { read: vec![Place { bucket: "bkt".to_owned(), scope }], ..Grants::default() });
        assert!(may_get(&policy, "bkt", &format!("{prefix}k")), "{prefix}");
        assert!(!may_get(&policy, "bkt", &format!("{other}k")), "{prefix} is no wildcard");
    }
}

#[test]
fn a_prefix_that_a_policy_cannot_spell_is_covered_as_far_as_it_can() {
    let policy = read(&["s3://bkt/orders/日本/", "s3://bkt/views/日本"]);
    assert!(may_get(&policy, "bkt", "orders/日本/a") && may_list(&policy, "bkt", "orders/日本/"));
    assert!(may_get(&policy, "bkt", "views/日本") && may_get(&policy, "bkt", "views/日本/a"));
    assert!(!may_get(&policy, "bkt", "other/a"));
    let allowed = |letter: char| letter <= '\u{ff}';
    for statement in &policy.statement {
        if let Some(Many::List(resources)) = &statement.resource {
            assert!(resources.iter().all(|resource| resource.chars().all(allowed)), "{resources:?}");
        }
    }
}

/// Random places and keys over a small alphabet: the policy says what the places say, key by key.
#[test]
fn policies_and_places_agree_about_every_key() {
    let mut random = fastrand::Rng::with_seed(1);
    let letters = ['a', 'b', '/', '*', '?', '$', '{', '}', 'é'];
    let mut text = move |most: usize| -> String {
        let count = random.usize(0..=most);
        (0..count).map(|_| letters[random.usize(0..letters.len())]).collect()
    };
    let (mut inside, mut outside) = (0, 0);
    for round in 0..400 {
        let places: Vec<Place> = (0..1 + round % 3)
            .map(|index| {
                let prefix = text(4);
                let scope = match (index + round) % 5 {
                    0 => Scope::Whole,
                    1 | 2 if !prefix.is_empty() && !prefix.ends_with('/') => Scope::Under(prefix),
                    _ => Scope::Prefix(prefix),
                };
                Place { bucket: ["one", "two"][(index + round) % 2].to_owned(), scope }
            })
            .collect();
        let policy = access_policy(&Grants { read: places.clone(), ..Grants::default() });
        for place in &places {
            assert!(may_list(&policy, &place.bucket, place.prefix()), "{places:?}");
        }
        for _ in 0..20 {
            let key = text(6);
            let holds = |place: &Place| match &place.scope {
                Scope::Whole => true,
                Scope::Under(path) => key == *path || key.starts_with(&format!("{path}/")),
                Scope::Prefix(prefix) => key.starts_with(prefix.as_str()),
            };
            let expected = places.iter().any(|place| place.bucket == "one" && holds(place));
            assert_eq!(may_get(&policy, "one", &key), expected, "{key:?} {places:?}");
            assert!(!may_get(&policy, "three", &key));
            if expected { inside += 1 } else { outside += 1 }
        }
    }
    assert!(inside > 500 && outside > 500, "{inside} {outside}");
}

#[test]
fn what_a_data_source_reads_is_what_its_policy_allows() {
    for (uri, scope) in [
        ("s3://bkt", Scope::Whole),
        ("s3://bkt/*.csv", Scope::Whole),
        ("s3://bkt/path", Scope::Under("path".to_owned())),
        ("s3://bkt/path/", Scope::Prefix("path/".to_owned())),
        ("s3://bkt/path/*.csv", Scope::Prefix("path/".to_owned())),
        ("s3://bkt/day-?.csv", Scope::Prefix("day-".to_owned())),
        ("s3://bkt/{a,b}/x", Scope::Whole),
    ] {
        let place = Place::of_uri(&BucketUri::parse(uri).expect("a URI"));
        assert_eq!(place.scope, scope, "{uri}");
        // What is shown of a place is read as that place again.
        assert_eq!(Place::parse(&place.uri()).expect("a place"), place, "{uri}");
    }
}

#[test]
fn other_partitions_have_their_own_arns() {
    let read = vec![Place::parse("bkt").expect("a place")];
    for (partition, arn) in
        [(Partition::China, "arn:aws-cn:s3:::bkt/*"), (Partition::UsGov, "arn:aws-us-gov:s3:::bkt/*")]
    {
        let policy = access_policy(&Grants { partition, read: read.clone(), ..Grants::default() });
        assert_eq!(policy.statement[0].resource, Some(Many::List(vec![arn.to_owned()])));
        assert_eq!(Partition::parse(partition.as_str()), Some(partition));
    }
    assert_eq!(Partition::of_region("cn-north-1"), Partition::China);
    assert_eq!(Partition::of_region("us-gov-west-1"), Partition::UsGov);
    assert_eq!(Partition::of_region("eu-west-1"), Partition::Aws);
}

#[test]
fn sids_are_unlike_and_small_policies_stay_small() {
    let places: Vec<String> = (0..20).map(|number| format!("s3://bucket-{number}/some/prefix/")).collect();
    let policy = read(&places.iter().map(String::as_str).collect::<Vec<_>>());
    let mut sids: Vec<&str> = policy.statement.iter().map(|statement| statement.sid.as_str()).collect();
    assert!(sids.iter().all(|sid| sid.chars().all(|letter| letter.is_ascii_alphanumeric())), "{sids:?}");
    sids.sort_unstable();
    sids.dedup();
    assert_eq!(sids.len(), policy.statement.len());
    assert!(format!("{policy:?}").len() < 2 * LONGEST_POLICY);
}

// ------------------------------------------------------------------------------------------------------------- trust

#[test]
fn a_trust_policy_names_principal_and_external_id() {
    let principal = Principal::parse("111122223333", Partition::China).expect("an account");
    let policy = trust_policy(&principal, "an-id");
    let [statement] = policy.statement.as_slice() else { panic!("{policy:?}") };
    assert_eq!(statement.principal.as_ref().map(|it| it.arn.as_str()), Some("arn:aws-cn:iam::111122223333:root"));
    assert_eq!(statement.action, Many::One("sts:AssumeRole".to_owned()));
    assert_eq!(statement.condition["StringEquals"]["sts:ExternalId"], Many::One("an-id".to_owned()));
    assert_eq!(statement.resource, None);
}

#[test]
fn principals_are_what_get_caller_identity_tells() {
    let arn = |text: &str| Principal::parse(text, Partition::Aws).map(|principal| principal.arn);
    for (text, expected) in [
        ("111122223333", "arn:aws:iam::111122223333:root"),
        ("arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root"),
        ("arn:aws:iam::111122223333:user/dept/me", "arn:aws:iam::111122223333:user/dept/me"),
        ("arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/app"),
        ("arn:aws:sts::111122223333:assumed-role/app/i-0123", "arn:aws:iam::111122223333:role/app"),
        ("arn:aws-cn:sts::111122223333:assumed-role/app/s", "arn:aws-cn:iam::111122223333:role/app"),
        ("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_1/me", "arn:aws:iam::111122223333:root"),
        ("arn:aws:sts::111122223333:federated-user/me", "arn:aws:iam::111122223333:root"),
    ] {
        assert_eq!(arn(text), Ok(expected.to_owned()));
    }
    for (text, part) in [
        ("", "not an ARN"),
        ("1111", "twelve digits"),
        ("me", "not an ARN"),
        ("arn:aws:iam::1:user/me", "not an account id"),
        ("arn:aws:iam::111122223333:group/all", "neither"),
        ("arn:aws:s3:::bucket", "not an account id"),
        ("arn:aws:iam::111122223333:user/*", "neither"),
    ] {
        let problem = arn(text).expect_err(text);
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

#[test]
fn the_caller_needs_a_policy_of_its_own_unless_it_is_named_in_its_own_account() {
    let role = RoleArn::parse("arn:aws:iam::111122223333:role/reader").expect("a role");
    for (principal, needed) in [
        ("arn:aws:iam::111122223333:user/me", false),
        ("111122223333", true),
        ("arn:aws:iam::444455556666:user/me", true),
    ] {
        let principal = Principal::parse(principal, Partition::Aws).expect("a principal");
        assert_eq!(caller_needs_policy(&principal, &role), needed, "{principal:?}");
    }
    let policy = caller_policy(&role);
    assert!(allows(&policy, "sts:AssumeRole", role.arn.clone(), None));
    assert!(!allows(&policy, "sts:AssumeRole", format!("{}2", role.arn), None));
}

// ----------------------------------------------------------------------------------------------------------- answers

#[test]
fn wrong_roles_are_refused_with_what_they_are() {
    let role = RoleArn::parse("arn:aws:iam::111122223333:role/service/reader").expect("a role");
    assert_eq!((role.account.as_str(), role.name.as_str()), ("111122223333", "reader"));
    assert_eq!(RoleArn::parse("arn:aws:iam::111122223333:role/role").map(|role| role.name), Ok("role".to_owned()));
    for (text, part) in [
        ("", "not an ARN"),
        ("my-role", "not an ARN"),
        ("arn:aws:iam::111122223333", "cut off"),
        ("arn:aws:iam::111122223333:user/me", "of a user"),
        ("arn:aws:iam::111122223333:policy/p", "of a policy"),
        ("arn:aws:s3:::my-bucket", "not an account id"),
        ("arn:aws:sts::111122223333:assumed-role/reader/me", "arn:aws:iam::111122223333:role/reader"),
        ("arn:aws:iam::1111:role/reader", "twelve digits"),
        ("arn:aws:iam:eu-west-1:111122223333:role/reader", "no regions"),
        ("arn:aws-xy:iam::111122223333:role/reader", "no partition"),
        ("arn:aws:iam::111122223333:role/", "name of the role is missing"),
        ("arn:aws:iam::111122223333:role", "name of the role is missing"),
        ("arn:aws:iam::111122223333:role//a", "name of the role is missing"),
        ("arn:aws:iam::111122223333:role/a b", "' '"),
        ("arn:aws:iam::111122223333:role/a{{b}}", "'{'"),
    ] {
        let problem = RoleArn::parse(text).expect_err(text);
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

#[test]
fn wrong_buckets_keys_regions_names_and_ids_are_refused_with_the_reason() {
    let refused = |found: Option<String>, part: &str| {
        let problem = found.expect(part);
        assert!(problem.contains(part), "{part}: {problem}");
    };
    for (text, part) in [
        ("", "missing"),
        ("ab", "3 to 63"),
        ("my bucket", "' '"),
        ("arn:aws:s3:::my-bucket", "my-bucket"),
        ("https://my-bucket.s3.amazonaws.com", "by its name"),
        ("s3://my-bucket/{a", "never closed"),
    ] {
        refused(Place::parse(text).err(), part);
    }
    for (text, part) in [
        ("arn:aws:kms:eu-west-1:111122223333:alias/mine", "alias"),
        ("arn:aws:iam::111122223333:role/reader", "not the ARN of a KMS key"),
        ("1234abcd", "not an ARN"),
        ("arn:aws:kms:eu-west-1:111122223333:key/*", "letters that no id has"),
    ] {
        refused(arn::parse_key(text).err(), part);
    }
    let role = RoleArn::parse("arn:aws:iam::111122223333:role/reader").expect("a role");
    for (text, part) in [
        ("", "missing"),
        ("EU (Ireland)", "not a region"),
        ("Frankfurt", "not a region"),
        ("eu-west", "not a region of AWS"),
        ("auto", "not a region of AWS"),
        ("eu-west-1a", "its region is eu-west-1"),
        ("cn-north-1", "aws-cn"),
    ] {
        refused(refuse_region(text, false, Some(&role)), part);
    }
    for region in ["eu-west-1", "us-gov-west-1", "ap-southeast-7", "us-iso-east-1"] {
        assert_eq!(refuse_region(region, false, None), None, "{region}");
    }
    assert_eq!(refuse_region("auto", true, Some(&role)), None);
    for (text, part) in [
        ("", "missing"),
        ("my-shop", "my_shop"),
        ("1shop", "begins with a letter"),
        ("_shop", "begins"),
        ("a b", "a_b"),
    ] {
        refused(refuse_connection_name(text), part);
    }
    assert_eq!(refuse_connection_name("shop_2"), None);
    for (text, part) in [("a", "2 to 1224"), ("a b", "' '"), ("é1", "'é'")] {
        refused(refuse_external_id(text), part);
    }
}

#[test]
fn a_new_external_id_is_spelled_like_a_random_uuid() {
    let id = new_external_id([0xff; 16]);
    assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(refuse_external_id(&id), None);
    assert_ne!(new_external_id([1; 16]), id);
}
