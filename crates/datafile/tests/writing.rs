//! What is written is read back as the same values.

use connector_core::iam::{RoleArn, refuse_external_id};
use connector_core::secret::Secret;
use connector_datafile::connection::{is_endpoint, is_region};
use connector_datafile::write::connection::{NewAccess, NewConnection, connection_text};
use connector_datafile::{AccessDef, Connection, SourceFile, parse_connection};
use proptest::prelude::*;

fn read_back(text: &str) -> Connection {
    let secrets = |name: &str| Some(Secret::new(format!("value of {name}")));
    let (connection, problems) = parse_connection(&SourceFile::new("connections/shop.connection", text), &secrets);
    assert!(problems.is_empty(), "{problems:?} in\n{text}");
    connection
}

fn same(written: &NewConnection, read: &Connection) {
    let access = match &read.access {
        AccessDef::Role { arn, external_id } => NewAccess::Role {
            arn: arn.value.clone(),
            external_id: external_id.as_ref().expect("an external id").value.clone(),
        },
        AccessDef::Keys { access_key_id, secret_access_key } => {
            let name = |value: &str| value.strip_prefix("value of ").expect("a secret").to_owned();
            NewAccess::Keys { access_key: name(access_key_id), secret: name(secret_access_key.expose()) }
        }
        AccessDef::Anonymous => NewAccess::Anonymous,
        AccessDef::DefaultChain => NewAccess::DefaultChain,
    };
    let read = NewConnection {
        description: read.description.as_ref().map(|text| text.value.clone()),
        region: read.region.as_ref().map(|region| region.value.clone()),
        access,
        endpoint: read.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        path_style: read.path_style,
        requester_pays: read.requester_pays,
    };
    assert_eq!(&read, written);
}

fn access() -> impl Strategy<Value = NewAccess> {
    let role = ("[0-9]{12}", "[A-Za-z0-9+=,.@_/-]{0,20}[A-Za-z0-9]", "[A-Za-z0-9+=,.@:/_-]{2,40}").prop_map(
        |(account, name, external_id)| NewAccess::Role {
            arn: format!("arn:aws:iam::{account}:role/{}", name.trim_start_matches('/')),
            external_id,
        },
    );
    let keys = ("[A-Za-z][A-Za-z0-9_]{0,9}", "[A-Za-z][A-Za-z0-9_.-]{0,9}")
        .prop_map(|(access_key, secret)| NewAccess::Keys { access_key, secret });
    prop_oneof![role, keys, Just(NewAccess::Anonymous), Just(NewAccess::DefaultChain)]
}

proptest! {
    #[test]
    fn connections_are_read_back_as_they_were_written(
        access in access(),
        region in "[a-z]{2}-[a-z]{1,9}-[0-9]",
        endpoint in prop::option::of("https?://[a-z0-9.-]{1,20}(:[1-9][0-9]{1,3})?"),
        path_style in prop::option::of(any::<bool>()),
        requester_pays in any::<bool>(),
        description in prop::option::of("[A-Za-z0-9#>\"'\\\\ ]{0,30}"),
    ) {
        prop_assume!(endpoint.as_deref().is_none_or(is_endpoint) && is_region(&region));
        let description = description.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if let NewAccess::Role { arn, external_id } = &access {
            prop_assume!(RoleArn::parse(arn).is_ok());
            prop_assert_eq!(refuse_external_id(external_id), None);
        }
        let written =
            NewConnection { description, region: Some(region), access, endpoint, path_style, requester_pays };
        let text = connection_text(&written).expect("writable");
        same(&written, &read_back(&text));
    }

    /// Whatever is asked for: it is refused, or read back as it was.
    #[test]
    fn no_value_changes_on_its_way(value in "\\PC{0,12}|[\"\\\\{} #'>a]{0,12}") {
        let access = NewAccess::Role { arn: "arn:aws:iam::111111111111:role/a".to_owned(), external_id: value.clone() };
        let Ok(text) = connection_text(&NewConnection { access, ..NewConnection::default() }) else { return Ok(()) };
        let (connection, problems) =
            parse_connection(&SourceFile::new("connections/shop.connection", text), &|_: &str| None::<Secret>);
        match &connection.access {
            AccessDef::Role { external_id: Some(read), .. } => prop_assert_eq!(&read.value, &value),
            _ => prop_assert!(!problems.is_empty(), "{:?} was lost without a word", value),
        }
    }
}

#[test]
fn the_file_looks_as_people_write_it() {
    let connection = NewConnection {
        region: Some("eu-west-1".to_owned()),
        access: NewAccess::Role {
            arn: "arn:aws:iam::111111111111:role/reader".to_owned(),
            external_id: "id".to_owned(),
        },
        ..NewConnection::default()
    };
    let text = connection_text(&connection).expect("writable");
    assert_eq!(
        text,
        "TYPE s3\nS3_REGION \"eu-west-1\"\nS3_ARN \"arn:aws:iam::111111111111:role/reader\"\nS3_EXTERNAL_ID \"id\"\n"
    );
}

#[test]
fn values_that_would_become_something_else_are_refused() {
    for value in ["a\nb", "{{ tb_secret(\"X\") }}", "tab\there"] {
        let bad = NewConnection { endpoint: Some(value.to_owned()), ..NewConnection::default() };
        assert!(connection_text(&bad).is_err(), "{value:?}");
    }
    let keys = NewAccess::Keys { access_key: "A\") }}".to_owned(), secret: "B".to_owned() };
    assert!(connection_text(&NewConnection { access: keys, ..NewConnection::default() }).is_err());
}
