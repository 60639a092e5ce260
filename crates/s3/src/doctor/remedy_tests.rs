//! Each refusal has its place and its change.

use connector_core::secret::Secret;
use connector_core::spec::StaticKeys;

use super::*;

const ROLE: &str = "arn:aws:iam::111122223333:role/path/reader";

fn spec() -> ConnectionSpec {
    let keys = StaticKeys {
        access_key_id: "AKIACALLER".to_owned(),
        secret_access_key: Secret::new("canary"),
        session_token: None,
    };
    ConnectionSpec {
        name: "shop".to_owned(),
        region: "us-east-1".to_owned(),
        access: Access::Role {
            arn: ROLE.to_owned(),
            external_id: "external-1".to_owned(),
            caller: Caller::Static(keys),
        },
        endpoint: None,
        sts_endpoint: None,
        path_style: false,
        requester_pays: false,
        expected_owner: None,
    }
}

fn listing() -> S3Error {
    S3Error::ListDenied {
        connection: "shop".into(),
        bucket: "b".into(),
        partition: Partition::Aws,
        principal: "the role".into(),
        detail: "no".into(),
        requester_pays: false,
        expected_owner: Some("111122223333".into()),
    }
}

#[test]
fn a_permission_that_misses_is_a_statement_for_the_access_policy_of_the_role() {
    let remedy = of(&listing(), &spec(), None);
    assert!(remedy.place.contains("access policy of the role reader"), "{remedy:?}");
    let statement = remedy.statement.expect("a statement");
    assert_eq!((statement.action.as_str(), statement.resource.as_deref()), ("s3:ListBucket", Some("arn:aws:s3:::b")));
    assert!(remedy.change.contains("S3_REQUEST_PAYER") && remedy.change.contains("111122223333"), "{}", remedy.change);
    let object = S3Error::ObjectDenied {
        connection: "shop".into(),
        uri: "s3://b/in/k.csv".into(),
        principal: "the role".into(),
        detail: "no".into(),
    };
    let statement = of(&object, &spec(), None).statement.expect("a statement");
    assert_eq!((statement.action.as_str(), statement.resource.as_deref()), ("s3:GetObject", Some("arn:aws:s3:::b/*")));
}

#[test]
fn a_key_that_may_not_be_used_is_named_with_both_policies_that_decide() {
    let key = "arn:aws:kms:us-east-1:111122223333:key/k".to_owned();
    let error = S3Error::KmsDenied {
        connection: "shop".into(),
        uri: "s3://b/k".into(),
        principal: "the role".into(),
        key: Some(key.clone()),
        detail: "no".into(),
    };
    let remedy = of(&error, &spec(), None);
    let statement = remedy.statement.expect("a statement");
    assert_eq!((statement.action.as_str(), statement.resource), ("kms:Decrypt", Some(key.clone())));
    assert!(
        remedy.change.contains("policy of the key") && remedy.command.is_some_and(|command| command.contains(&key))
    );
}

#[test]
fn a_role_that_may_not_be_assumed_is_a_statement_for_its_trust_policy() {
    let error = S3Error::AssumeRoleDenied {
        connection: "shop".into(),
        caller: "somebody".into(),
        arn: ROLE.into(),
        detail: "no".into(),
    };
    let caller = "arn:aws:sts::999988887777:assumed-role/worker/i-0123";
    let remedy = of(&error, &spec(), Some(caller));
    assert!(remedy.place.contains("trust policy of the role reader"), "{remedy:?}");
    let statement = remedy.statement.expect("a statement");
    assert_eq!(statement.principal.as_deref(), Some("arn:aws:iam::999988887777:role/worker"));
    assert_eq!(statement.external_id.as_deref(), Some("external-1"));
}

#[test]
fn a_region_is_the_line_to_write() {
    let error = |actual: Option<&str>| S3Error::WrongRegion {
        connection: "shop".into(),
        bucket: "b".into(),
        configured: "us-east-1".into(),
        actual: actual.map(str::to_owned),
    };
    let remedy = of(&error(Some("eu-west-1")), &spec(), None);
    assert_eq!(
        (remedy.place.as_str(), remedy.change.as_str()),
        ("the line S3_REGION of shop.connection", "S3_REGION \"eu-west-1\"")
    );
    let unknown = of(&error(None), &spec(), None);
    assert!(unknown.command.is_some_and(|command| command.contains("get-bucket-location --bucket b")));
}

#[test]
fn an_endpoint_that_does_not_answer_is_told_apart_by_how() {
    let error = |code: &'static str, detail: &str| S3Error::Transient {
        connection: "shop".into(),
        code,
        doing: "listing".into(),
        detail: detail.into(),
        attempts: 1,
    };
    let cases = [
        (transient::UNREACHABLE, "dns error: failed to lookup address information", "resolved"),
        (transient::UNREACHABLE, "invalid peer certificate: UnknownIssuer", "certificate"),
        (transient::UNREACHABLE, "tcp connect error: Connection refused", "listens"),
        (transient::UNREACHABLE, "unreachable", "firewall"),
        (transient::TIMEOUT, "no answer", "firewall"),
        (transient::NOT_S3, "html", "login page"),
        (transient::THROTTLED, "SlowDown", "try again"),
    ];
    for (code, detail, expected) in cases {
        let remedy = of(&error(code, detail), &spec(), None);
        assert!(remedy.change.contains(expected), "{detail}: {remedy:?}");
    }
}

#[test]
fn credentials_and_clocks_have_their_places() {
    let (connection, principal, doing, detail) = ("shop".to_owned(), "p".to_owned(), "d".to_owned(), "x".to_owned());
    let expired = S3Error::ExpiredCredentials {
        connection: connection.clone(),
        principal,
        doing: doing.clone(),
        detail: detail.clone(),
    };
    assert_eq!(of(&expired, &spec(), None).place, "[aws] of s3-connector.toml");
    let skewed = S3Error::ClockSkew { connection, doing, detail, off: None };
    assert!(of(&skewed, &spec(), None).command.is_some_and(|command| command.contains("timedatectl")));
}

#[test]
fn other_partitions_of_aws_have_statements_of_their_own() {
    for (region, partition) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")] {
        let spec = ConnectionSpec { region: region.to_owned(), ..spec() };
        let denied = S3Error::ObjectDenied {
            connection: "shop".into(),
            uri: "s3://b/in/k.csv".into(),
            principal: "the role".into(),
            detail: "no".into(),
        };
        let statement = of(&denied, &spec, None).statement.expect("a statement");
        assert_eq!(statement.resource, Some(format!("arn:{partition}:s3:::b/*")));
        let statement = trust(&spec, ROLE, "external-1", None).statement.expect("a statement");
        assert_eq!(statement.principal, Some(format!("arn:{partition}:iam::111111111111:root")));
    }
}

/// IAM refuses a trust policy that names a role without its path, and a session does not tell the path.
#[test]
fn the_trust_policy_names_whom_iam_takes_as_a_principal() {
    for (caller, principal) in [
        ("arn:aws:sts::111122223333:assumed-role/app/i-0123", "arn:aws:iam::111122223333:role/app"),
        ("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_1/me", "arn:aws:iam::111122223333:root"),
        ("arn:aws:sts::111122223333:federated-user/me", "arn:aws:iam::111122223333:root"),
        ("arn:aws:iam::111122223333:user/me", "arn:aws:iam::111122223333:user/me"),
        ("arn:minio:iam:::user/me", "arn:minio:iam:::user/me"),
    ] {
        let statement = trust(&spec(), ROLE, "external-1", Some(caller)).statement.expect("a statement");
        assert_eq!(statement.principal.as_deref(), Some(principal), "{caller}");
    }
}

#[test]
fn a_key_that_is_disabled_is_no_matter_of_permissions() {
    let key = "arn:aws:kms:us-east-1:111122223333:key/k".to_owned();
    let error = S3Error::KmsDenied {
        connection: "shop".into(),
        uri: "s3://b/k".into(),
        principal: "the role".into(),
        key: Some(key.clone()),
        detail: format!("KMS.DisabledException: {key} is disabled"),
    };
    assert!(!error.to_string().contains("grant") && error.to_string().contains("enabled"), "{error}");
    let remedy = of(&error, &spec(), None);
    assert_eq!(remedy.statement, None);
    assert!(remedy.change.contains("enable the key") && remedy.place.contains(&key), "{remedy:?}");
    assert!(remedy.command.is_some_and(|command| command.ends_with(&key)));
}
