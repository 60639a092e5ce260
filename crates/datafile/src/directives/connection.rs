//! The directives of `.connection` files.

use super::{Catalogue, Directive, Form, Group, NO_INCLUDE, ignored, refused, used};

/// The directives of `.connection` files.
pub const CONNECTION: Catalogue = Catalogue { kind: ".connection", directives: DIRECTIVES };

const DIRECTIVES: &[Directive] = &[
    used(Group::About, "DESCRIPTION", "says to people what the connection is for").takes("text").form(Form::Either),
    used(Group::Access, "TYPE", "says what is connected to").takes("s3").required("always"),
    used(Group::Access, "S3_REGION", "the region of the buckets")
        .takes("an AWS region")
        .default("`aws.region` of the settings; `us-east-1` with `S3_ENDPOINT`"),
    used(Group::Access, "S3_ARN", "the role that is assumed to read the buckets").takes("the ARN of a role"),
    used(Group::Access, "S3_EXTERNAL_ID", "the external id with which the role is assumed")
        .takes("2 to 1224 letters, digits and signs of +=,.@:/-_")
        .default("derived from the data directory and the name of the connection"),
    used(Group::Access, "S3_ACCESS_KEY", "the id of static keys, which are used instead of a role").takes("a key id"),
    used(Group::Access, "S3_SECRET", "the secret of static keys").takes("{{ tb_secret(\"NAME\") }}"),
    used(Group::Access, "S3_ENDPOINT", "an S3-compatible endpoint instead of AWS").takes("http(s)://host[:port]"),
    used(Group::Access, "S3_PATH_STYLE", "whether the bucket stands in the path of a URL, not in the host name")
        .takes("true | false")
        .default("`true` if the endpoint is an IP address or `localhost`"),
    used(Group::Access, "S3_ANONYMOUS", "whether requests go out unsigned").takes("true | false").default("`false`"),
    used(Group::Access, "S3_REQUEST_PAYER", "whether the requester pays for requests")
        .takes("true | false")
        .default("`false`"),
    used(
        Group::Access,
        "S3_EXPECTED_BUCKET_OWNER",
        "the account that the buckets belong to; S3 refuses requests if they do not",
    )
    .takes("account id"),
    ignored(Group::Foreign, "KAFKA_*", "settings of Kafka connections"),
    ignored(Group::Foreign, "GCS_*", "settings of Google Cloud Storage connections"),
    ignored(Group::Foreign, "DYNAMODB_*", "settings of DynamoDB connections"),
    ignored(Group::Foreign, "PG_*", "settings of PostgreSQL connections"),
    refused(Group::Foreign, "INCLUDE", "puts the lines of another file here", NO_INCLUDE),
];
