//! The directives of `.datasource` files.

use super::{Catalogue, Directive, Form, Group, NO_INCLUDE, OF_PIPES, deprecated, ignored, refused, used};

/// The directives of `.datasource` files.
pub const DATASOURCE: Catalogue = Catalogue { kind: ".datasource", directives: DIRECTIVES };

const ONLY_S3: &str = "imports come from S3 and nowhere else";
const NO_EFFECT: &str = "it has no effect, remove it";

const fn of_pipes(name: &'static str) -> Directive {
    refused(Group::Foreign, name, "belongs to pipes, sinks and copies", OF_PIPES)
}

const DIRECTIVES: &[Directive] = &[
    // The file itself.
    used(Group::About, "DESCRIPTION", "says to people what the data source holds").takes("text").form(Form::Either),
    ignored(Group::About, "TAGS", "sorts data sources; entries with '=' are for operation, the others for search")
        .takes("\"tag, key=value\"")
        .form(Form::Either),
    ignored(Group::About, "TOKEN", "lets a token read the data source or append to it").takes("\"name\" READ | APPEND"),
    ignored(Group::About, "SHARED_WITH", "shares the data source with workspaces")
        .takes("names, between commas or on lines of their own")
        .form(Form::Either),
    // The columns.
    used(Group::Columns, "SCHEMA", "the columns of the table")
        .takes("name type [`json:$.path`] [DEFAULT expression] [CODEC(...)], ...")
        .form(Form::Block)
        .default("the columns of the reference file"),
    ignored(Group::Columns, "INDEXES", "data skipping indexes, one on each line")
        .once()
        .takes("[INDEX] name expression TYPE type[(arguments)] [GRANULARITY n]")
        .form(Form::Block),
    ignored(Group::Columns, "INDICES", "another name of INDEXES").form(Form::Block).same_as("INDEXES"),
    ignored(Group::Columns, "FORWARD_QUERY", "moves the rows of a table to a changed schema")
        .takes("SQL")
        .form(Form::Block)
        .once(),
    ignored(Group::Columns, "BACKFILL", "says that a changed table does not get its old rows back")
        .takes("skip")
        .once(),
    // The engine.
    used(Group::Engine, "ENGINE", "how rows with the same sorting key are merged; a Delta table keeps them all")
        .takes("a MergeTree engine, or Null")
        .default("`MergeTree`"),
    used(Group::Engine, "ENGINE_SORTING_KEY", "the columns by which rows are sorted; not applied to a Delta table")
        .takes("columns and expressions, between commas")
        .default("`tuple()`; required by Replacing and Collapsing engines"),
    used(Group::Engine, "ENGINE_PARTITION_KEY", "the column by whose values data files are kept apart")
        .takes("a column")
        .default("no partitions"),
    used(Group::Engine, "ENGINE_PRIMARY_KEY", "the indexed beginning of the sorting key; not applied to a Delta table")
        .takes("the first columns of the sorting key")
        .default("the sorting key"),
    used(Group::Engine, "ENGINE_SAMPLING_KEY", "an expression for samples; not applied to a Delta table")
        .takes("an expression"),
    used(Group::Engine, "ENGINE_TTL", "the time at which a row leaves the table")
        .takes("an expression that gives a Date or DateTime")
        .default("rows stay"),
    used(Group::Engine, "ENGINE_SETTINGS", "settings of the engine; not applied to a Delta table")
        .takes("name = value, ..."),
    used(Group::Engine, "ENGINE_VER", "the version of a row, for ReplacingMergeTree; not applied to a Delta table")
        .takes("a column"),
    used(
        Group::Engine,
        "ENGINE_IS_DELETED",
        "marks deleted rows, for ReplacingMergeTree; not applied to a Delta table",
    )
    .takes("a UInt8 column"),
    used(Group::Engine, "ENGINE_SIGN", "the sign of a row, for Collapsing engines; not applied to a Delta table")
        .takes("an Int8 column")
        .required("with CollapsingMergeTree and VersionedCollapsingMergeTree"),
    used(
        Group::Engine,
        "ENGINE_VERSION",
        "the version of a row, for VersionedCollapsingMergeTree; not applied to a Delta table",
    )
    .takes("a column")
    .required("with VersionedCollapsingMergeTree"),
    used(Group::Engine, "ENGINE_COLUMNS", "the columns that SummingMergeTree adds up; not applied to a Delta table")
        .takes("columns, between commas")
        .default("all numbers"),
    // The import.
    used(Group::Import, "IMPORT_CONNECTION_NAME", "the connection through which files are read")
        .takes("the name of a connection")
        .required("for an import"),
    used(Group::Import, "IMPORT_BUCKET_URI", "which keys are read")
        .takes("s3://bucket/path, or a pattern")
        .required("for an import"),
    used(Group::Import, "IMPORT_SCHEDULE", "when new files are read")
        .takes("@auto | @on-demand | @once | a cron expression")
        .default("`@on-demand`"),
    used(Group::Import, "IMPORT_MAX_FILES", "how many files are read in one tick")
        .takes("1 to 1000")
        .default("`limits.files_per_tick` of the settings"),
    used(Group::Import, "IMPORT_FORMAT", "the format of all files")
        .takes("csv | ndjson | jsonl | json | parquet")
        .default("the suffix of the URI, else that of each key"),
    used(Group::Import, "IMPORT_FROM_TIMESTAMP", "files last modified before this time are not read")
        .takes("a time in ISO 8601")
        .default("all files"),
    used(Group::Import, "IMPORT_EXCLUDE", "keys that are not read, though the URI matches them")
        .takes("PATTERN ...")
        .repeats(),
    used(Group::Import, "IMPORT_EVOLUTION", "whether new columns of files are added to the table")
        .takes("evolve | freeze")
        .default("`evolve`"),
    used(Group::Import, "IMPORT_ON_MISSING_COLUMN", "what becomes of the rows of a file that lacks a column")
        .takes("quarantine | null")
        .default("`quarantine`"),
    used(Group::Import, "IMPORT_ON_OVERWRITE", "what becomes of a new version of a key that was read before")
        .takes("ignore | append")
        .default("`ignore`"),
    used(Group::Import, "IMPORT_SERVICE", "the service that files come from")
        .takes("s3_iamrole | s3")
        .default("`s3_iamrole`"),
    used(Group::Import, "IMPORT_STRATEGY", "how rows get into the table").takes("append").default("`append`"),
    // CSV files.
    used(Group::Csv, "IMPORT_CSV_DELIMITER", "what stands between cells")
        .takes("one ASCII character, or tab | comma | semicolon | pipe | space")
        .default("found in the reference file"),
    used(Group::Csv, "IMPORT_CSV_QUOTE", "what stands around cells that hold a delimiter")
        .takes("one ASCII character, or double | single | none")
        .default("found in the reference file"),
    used(Group::Csv, "IMPORT_CSV_HEADER", "whether the first record names the columns")
        .takes("true | false")
        .default("`true`"),
    used(Group::Csv, "IMPORT_CSV_NULL", "spellings of NULL beside the empty cell")
        .takes("texts, between commas")
        .default("found in the reference file"),
    used(Group::Csv, "IMPORT_CSV_SKIP_LINES", "lines that are skipped at the start of each file")
        .takes("0 to 10000")
        .default("`0`"),
    refused(
        Group::Csv,
        "IMPORT_CSV_ENCODING",
        "the encoding of files",
        "files are read as UTF-8 and nothing else: convert others first, and remove this",
    ),
    // Of others.
    ignored(Group::Foreign, "KAFKA_*", "settings of imports from Kafka"),
    ignored(Group::Foreign, "PG_*", "settings of imports from PostgreSQL"),
    ignored(Group::Foreign, "MAINTAINER", "who looks after the file").takes("text"),
    deprecated("VERSION", "the version of the data source, of old", NO_EFFECT),
    deprecated("EXPORT_SERVICE", "the service of a sink, of old", NO_EFFECT),
    deprecated("IMPORT_EXTERNAL_DATASOURCE", "the table of an import from a warehouse, of old", NO_EFFECT),
    deprecated("IMPORT_QUERY", "the query of an import from a warehouse, of old", NO_EFFECT),
    deprecated("PARTITION_KEY", "has no effect without ENGINE_", "write ENGINE_PARTITION_KEY"),
    deprecated("SORTING_KEY", "has no effect without ENGINE_", "write ENGINE_SORTING_KEY"),
    deprecated("PRIMARY_KEY", "has no effect without ENGINE_", "write ENGINE_PRIMARY_KEY"),
    deprecated("SAMPLING_KEY", "has no effect without ENGINE_", "write ENGINE_SAMPLING_KEY"),
    deprecated("TTL", "has no effect without ENGINE_", "write ENGINE_TTL"),
    refused(Group::Foreign, "SETTINGS", "is refused without ENGINE_", "did you mean 'ENGINE_SETTINGS'?"),
    refused(Group::Foreign, "SOURCE", "a URL from which rows come once, of old", "SOURCE is deprecated, remove it"),
    refused(Group::Foreign, "INCLUDE", "puts the lines of another file here", NO_INCLUDE),
    refused(Group::Foreign, "IMPORT_TABLE_ARN", "the table of an import from DynamoDB", ONLY_S3),
    refused(Group::Foreign, "IMPORT_EXPORT_BUCKET", "the bucket of an import from DynamoDB", ONLY_S3),
    of_pipes("NODE"),
    of_pipes("SCOPE"),
    of_pipes("SQL"),
    of_pipes("TYPE"),
    of_pipes("DATASOURCE"),
    of_pipes("TARGET_DATASOURCE"),
    of_pipes("COPY_SCHEDULE"),
    of_pipes("COPY_MODE"),
    of_pipes("MODE"),
    of_pipes("FILTER"),
    of_pipes("RESOURCE"),
    of_pipes("TEST"),
    of_pipes("EXPORT_*"),
];
