//! `.connection` files, good and bad, as a table.

use connector_core::secret::Secret;
use connector_datafile::{AccessDef, Colour, Connection, Diagnostic, SourceFile, parse_connection, render};

fn parse(text: &str) -> (Connection, Vec<Diagnostic>) {
    let secrets = |name: &str| match name {
        "ARN" => Some(Secret::new("arn:aws:iam::111111111111:role/reader")),
        "KEY" => Some(Secret::new("hush/HUSH")),
        _ => None,
    };
    parse_connection(&SourceFile::new("connections/my-shop.connection", text), &secrets)
}

fn good(text: &str) -> Connection {
    let (connection, diagnostics) = parse(text);
    assert_eq!(diagnostics, [], "{text}");
    connection
}

#[test]
fn a_role_is_read_with_everything_around_it() {
    let connection = good(
        "DESCRIPTION the shop\nTYPE s3\nS3_REGION \"eu-west-1\"\nS3_ARN {{ tb_secret(\"ARN\") }}\nS3_EXTERNAL_ID abc-123\n\
         S3_ENDPOINT {{ tb_secret(\"NONE\", \"http://127.0.0.1:9000/\") }}\nS3_PATH_STYLE true\nS3_REQUEST_PAYER true\n",
    );
    assert_eq!(connection.name, "my_shop");
    assert_eq!(connection.region.map(|region| region.value).as_deref(), Some("eu-west-1"));
    assert_eq!(connection.endpoint.map(|endpoint| endpoint.value).as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!((connection.path_style, connection.requester_pays), (Some(true), true));
    let AccessDef::Role { arn, external_id } = connection.access else { panic!("a role") };
    assert_eq!(arn.value, "arn:aws:iam::111111111111:role/reader");
    assert_eq!(external_id.map(|id| id.value).as_deref(), Some("abc-123"));
}

#[test]
fn keys_anonymous_access_and_the_default_chain_are_read() {
    let keys = good("TYPE S3\nS3_ACCESS_KEY AKIA1\nS3_SECRET {{ tb_secret('KEY') }}").access;
    let secret = Secret::new("hush/HUSH");
    assert_eq!(keys, AccessDef::Keys { access_key_id: "AKIA1".to_owned(), secret_access_key: secret });
    assert_eq!(good("TYPE s3\nS3_ANONYMOUS true").access, AccessDef::Anonymous);
    assert_eq!(good("TYPE s3\nS3_ANONYMOUS false").access, AccessDef::DefaultChain);
    assert_eq!(good("TYPE s3").access, AccessDef::DefaultChain);
}

#[test]
fn each_problem_is_reported_at_its_place() {
    for (line, code, column) in [
        ("S3_REGOIN us-east-1", "unknown_directive", 1),
        ("KAFKA_TOPIC x", "ignored_directive", 1),
        ("S3_REGION \"US East\"", "bad_region", 11),
        ("S3_ARN arn:aws:iam::1111:role/x", "bad_arn", 8),
        ("S3_ARN arn:aws:iam::111111111111:user/x", "bad_arn", 8),
        ("S3_ARN {{ tb_secret(\"KEY\") }}", "bad_arn", 8),
        ("S3_EXTERNAL_ID abc", "unused_external_id", 16),
        ("S3_ENDPOINT 127.0.0.1:9000", "bad_endpoint", 13),
        ("S3_ENDPOINT http://127.0.0.1:9000/path", "bad_endpoint", 13),
        ("S3_ENDPOINT http://host:0", "bad_endpoint", 13),
        ("S3_PATH_STYLE yes", "bad_flag", 15),
        ("S3_ACCESS_KEY AKIA", "missing_directive", 1),
        ("S3_SECRET {{ tb_secret(\"KEY\") }}", "missing_directive", 1),
        ("S3_SECRET {{ tb_secret(\"NONE\") }}\nS3_ACCESS_KEY x", "missing_secret", 11),
        ("S3_SECRET swordfish\nS3_ACCESS_KEY x", "plain_secret", 11),
        ("S3_ARN {{ tb_secret(\"ARN\") }}\nS3_ANONYMOUS true", "ambiguous_access", 14),
        ("INCLUDE x", "refused_directive", 1),
    ] {
        let (_, found) = parse(&format!("TYPE s3\n{line}"));
        assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), [code], "{line}");
        let place = found[0].place.as_ref().expect("a place");
        assert_eq!(place.file.line_column(place.span.start).1, column, "{line}");
    }
    assert_eq!(parse("S3_REGION us-east-1").1[0].code, "missing_directive");
    assert_eq!(parse("TYPE kafka").1[0].code, "unsupported_type");
}

#[test]
fn no_secret_is_ever_printed_neither_from_the_file_nor_from_where_it_is_looked_up() {
    for text in [
        "TYPE s3\nS3_SECRET swordfish\nS3_ACCESS_KEY AKIA",
        "TYPE s3\nS3_SECRT swordfish\nBANANA x",
        "TYPE s3\nS3_SECRET \"swordfish\nBANANA x",
        "TYPE s3\nS3_SECRET >\n    swordfish\nBANANA x",
        "TYPE s3\nS3_SECRET {{ tb_secret(\"NONE\", \"swordfish\") }}\nBANANA x",
        "TYPE s3\nS3_SECRET {{ swordfish }}\nBANANA x",
        "TYPE s3\nS3_SECRET {{ swordfish\nBANANA x",
        "TYPE s3\nKAFKA_PASSWORD swordfish\nBANANA x",
        "TYPE s3\nS3_SECRET swordfish swordfish\nBANANA x",
        "TYPE s3\nS3_ENDPOINT http://me:swordfish@host\nBANANA x",
        "TYPE s3\n  S3_SECRET swordfish\nBANANA x",
        "TYPE s3\nS3_SECRET\n  swordfish\nBANANA x",
        "TYPE s3\nS3_REGION {{ tb_secret(\"KEY\") }}\nS3_ENDPOINT {{ tb_secret(\"KEY\") }}\nS3_PATH_STYLE {{ tb_secret(\"KEY\") }}",
    ] {
        let (connection, found) = parse(text);
        assert!(!found.is_empty(), "{text}");
        let printed = format!("{} {found:?} {connection:?}", render(&found, Colour::Never));
        assert!(!printed.contains("swordfish") && !printed.contains("HUSH"), "{text}:\n{printed}");
    }
}
