//! Every column type on its way into a table and back.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    ListArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use connector_core::expr::Expr;
use connector_core::schema::{ColumnDefault, Origin};
use connector_core::types::EnumType;
use serde_json::{Value, json};

use super::*;

pub(super) fn array(element: ColumnType, nullable: bool) -> ColumnType {
    ColumnType::Array { element: Box::new(element), nullable }
}

/// One column of each type, with everything that a column can have.
pub(super) fn every_type() -> TableSchema {
    let mut columns: Vec<Column> = numbered(0, plain_types()).map(|(name, ty)| Column::nullable(name, ty)).collect();
    columns.push(Column {
        name: "first_name_ü".into(),
        source: "first \"name\" / ü".into(),
        default: Some(ColumnDefault::Literal(String::new())),
        origin: Origin::Inferred,
        ..Column::required("", ColumnType::String)
    });
    let numbers = [("7", ColumnType::UInt16), ("true", ColumnType::Bool), ("null", ColumnType::String)];
    columns.extend(numbers.map(|(text, ty)| Column {
        source: text.into(),
        default: Some(ColumnDefault::Literal(text.into())),
        ..Column::required(format!("d_{text}"), ty)
    }));
    let evolved = |(name, ty)| Column { origin: Origin::Evolved, ..Column::nullable(name, ty) };
    columns.extend(numbered(30, kept_as_text()).map(evolved));
    columns.extend(numbered(50, lists()).map(|(name, ty)| Column::required(name, ty)));
    TableSchema::new(columns)
}

fn numbered(first: usize, types: Vec<ColumnType>) -> impl Iterator<Item = (String, ColumnType)> {
    types.into_iter().enumerate().map(move |(index, ty)| (format!("c{}", first + index), ty))
}

fn plain_types() -> Vec<ColumnType> {
    vec![
        ColumnType::Int8,
        ColumnType::Int16,
        ColumnType::Int32,
        ColumnType::Int64,
        ColumnType::UInt8,
        ColumnType::UInt16,
        ColumnType::UInt32,
        ColumnType::UInt64,
        ColumnType::Float32,
        ColumnType::Float64,
        ColumnType::Bool,
        ColumnType::Date,
        ColumnType::DateTime,
        ColumnType::DateTime64 { precision: 0 },
        ColumnType::DateTime64 { precision: 3 },
        ColumnType::DateTime64 { precision: 6 },
        ColumnType::Decimal { precision: 1, scale: 0 },
        ColumnType::Decimal { precision: 9, scale: 2 },
        ColumnType::Decimal { precision: 18, scale: 18 },
        ColumnType::Decimal { precision: 38, scale: 10 },
        ColumnType::String,
    ]
}

fn kept_as_text() -> Vec<ColumnType> {
    let labels = [("a, 'b'".to_owned(), -1), ("c".to_owned(), 300)];
    vec![
        ColumnType::Int128,
        ColumnType::Int256,
        ColumnType::UInt128,
        ColumnType::UInt256,
        ColumnType::Decimal { precision: 76, scale: 3 },
        ColumnType::FixedString(9),
        ColumnType::Uuid,
        ColumnType::Ipv4,
        ColumnType::Ipv6,
        ColumnType::Json,
        ColumnType::Enum(EnumType { wide: true, labels: Arc::new(labels) }),
    ]
}

fn lists() -> Vec<ColumnType> {
    vec![
        array(ColumnType::String, false),
        array(ColumnType::String, true),
        array(ColumnType::Int64, true),
        array(ColumnType::UInt8, false),
        array(ColumnType::Bool, true),
        array(ColumnType::DateTime, false),
        array(ColumnType::Decimal { precision: 9, scale: 2 }, true),
        array(ColumnType::Uuid, false),
    ]
}

/// What a table keeps as one JSON text, and the finest time.
fn with_parts() -> Vec<ColumnType> {
    let types = [
        "DateTime64(9)",
        "Array(Array(Nullable(Int8)))",
        "Array(JSON)",
        "Map(String, UInt64)",
        "Map(Date, Nullable(Decimal(50, 2)))",
        "Tuple(UInt8, Nullable(String))",
        "Array(Tuple(sku String, `a b, \\`c` Map(UUID, DateTime64(9))))",
    ];
    types.map(|text| ColumnType::parse_canonical(text).unwrap_or_else(|| panic!("{text}"))).into()
}

/// Three rows of [`every_type`]: small values, NULLs wherever the column takes them, large values. A list has two
/// elements, none, one.
pub(super) fn every_row() -> RecordBatch {
    let schema = every_type();
    let columns: Vec<ArrayRef> =
        schema.columns.iter().map(|column| values(&column.ty.arrow(), column.nullable)).collect();
    RecordBatch::try_new(schema.arrow(), columns).expect("rows")
}

pub(super) fn values(ty: &DataType, nullable: bool) -> ArrayRef {
    let kept = !nullable;
    match ty {
        DataType::Int8 => Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![Some(i32::MIN), kept.then_some(3), Some(i32::MAX)])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![Some(-0.1), None, Some(0.1)])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![Some(-1e300), None, Some(1e300)])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![Some(false), kept.then_some(true), Some(true)])),
        DataType::Date32 => Arc::new(Date32Array::from(vec![Some(-719_162), None, Some(2_932_896)])),
        DataType::Timestamp(..) => {
            let values = vec![Some(-1), None, Some(1_700_000_000_123_456)];
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        }
        DataType::Decimal128(precision, scale) => {
            let most = 10_i128.pow((*precision).into()) - 1;
            let values = Decimal128Array::from(vec![Some(-most), None, Some(most)]);
            Arc::new(values.with_precision_and_scale(*precision, *scale).expect("a decimal"))
        }
        DataType::List(element) => {
            let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
            Arc::new(ListArray::new(Arc::clone(element), offsets, values(element.data_type(), true), None))
        }
        _ => Arc::new(StringArray::from(vec![Some(""), kept.then_some("m"), Some("zoë \"q\" \\ \u{1F600}\n")])),
    }
}

/// The metadata action of the newest log entry that has one, with its schema.
pub(super) fn logged_fields(bench: &Bench, version: u64) -> Vec<Value> {
    let entry = std::fs::read_to_string(bench.log_file(version)).expect("an entry");
    let actions = entry.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let text = actions.filter_map(|action| action["metaData"]["schemaString"].as_str().map(str::to_owned)).next();
    let schema: Value = serde_json::from_str(&text.expect("a schema")).expect("JSON");
    schema["fields"].as_array().expect("fields").clone()
}

#[test]
fn every_type_is_in_the_log_what_the_mapping_says() {
    let bench = Bench::new();
    bench.create(&bench.table(), &every_type()).expect("created");
    let fields = logged_fields(&bench, 0);
    for column in &every_type().columns {
        let said = column.ty.mapping().delta;
        let expected = match said.strip_prefix("array<").and_then(|rest| rest.strip_suffix('>')) {
            Some(element) => json!({ "type": "array", "elementType": element, "containsNull": true }),
            None => json!(said),
        };
        let field = fields.iter().find(|field| field["name"] == column.name.as_str()).expect("a field");
        assert_eq!(field["type"], expected, "{}", column.ty);
        assert_eq!(field["nullable"], true, "{}", column.ty);
        assert_eq!(field["metadata"]["s3_connector.type"], column.ty.to_string());
        assert_eq!(field["metadata"]["s3_connector.nullable"], column.nullable.to_string());
        assert_eq!(field["metadata"]["s3_connector.origin"], column.origin.as_str());
    }
}

#[test]
fn types_with_parts_are_texts_that_read_back_as_what_they_were() {
    let bench = Bench::new();
    let columns = numbered(0, with_parts()).map(|(name, ty)| Column::required(name, ty));
    let schema = TableSchema::new(columns.collect());
    bench.create(&bench.table(), &schema).expect("created");
    let fields = logged_fields(&bench, 0);
    for column in &schema.columns {
        let field = fields.iter().find(|field| field["name"] == column.name.as_str()).expect("a field");
        assert_eq!(field["type"], column.ty.mapping().delta, "{}", column.ty);
        assert_eq!(field["metadata"]["s3_connector.type"], column.ty.to_string());
    }
    assert_eq!(bench.facts().schema, schema);
}

#[test]
fn defaults_read_back_as_what_they_were() {
    let bench = Bench::new();
    let expressions = ["now()", "toStartOfMonth(at)", "at + toIntervalDay(30)", "toDate('2020-02-02')"];
    let mut columns = vec![Column::required("at", ColumnType::DateTime)];
    columns.extend(expressions.iter().enumerate().map(|(index, text)| Column {
        default: Some(ColumnDefault::Expression(Expr::parse(text).expect("an expression"))),
        ..Column::required(format!("e{index}"), ColumnType::DateTime)
    }));
    // A literal that could be taken for an expression stays one.
    columns.extend(["now()", "1e5", "", "null", "[1]", "{}"].iter().enumerate().map(|(index, text)| Column {
        default: Some(ColumnDefault::Literal((*text).to_owned())),
        ..Column::required(format!("l{index}"), ColumnType::String)
    }));
    let schema = TableSchema::new(columns);
    bench.create(&bench.table(), &schema).expect("created");
    assert_eq!(bench.facts().schema, schema);
}

#[test]
fn an_expression_that_is_not_understood_leaves_the_column_without_a_default() {
    let bench = Bench::new();
    let default = Some(ColumnDefault::Expression(Expr::Now));
    let column = Column { default, ..Column::required("at", ColumnType::DateTime) };
    bench.create(&bench.table(), &TableSchema::new(vec![column.clone()])).expect("created");
    let log = std::fs::read_to_string(bench.log_file(0)).expect("a log entry");
    let newer = log.replace("now()", "later(");
    assert_ne!(log, newer);
    std::fs::write(bench.log_file(0), newer).expect("written");
    assert_eq!(bench.facts().schema.columns, [Column { default: None, ..column }]);
}

/// A table of [`small_schema`] as earlier versions made it: `id` is NOT NULL, and no metadata says so.
fn earlier_table(bench: &Bench) {
    bench.created();
    let log = std::fs::read_to_string(bench.log_file(0)).expect("a log entry");
    let earlier = log
        .replace(r#"\"s3_connector.nullable\":\"false\","#, "")
        .replace(r#",\"s3_connector.nullable\":\"false\""#, "")
        .replace(r#",\"s3_connector.origin\":\"declared\""#, "")
        .replace(r#"\"s3_connector.origin\":\"declared\","#, "")
        .replacen(r#"\"nullable\":true"#, r#"\"nullable\":false"#, 1);
    assert!(!earlier.contains("s3_connector.origin") && !earlier.contains(r#"nullable\":\"false"#), "{earlier}");
    std::fs::write(bench.log_file(0), earlier).expect("written");
}

#[test]
fn a_column_of_an_earlier_table_that_is_not_null_reads_as_required() {
    let bench = Bench::new();
    earlier_table(&bench);
    assert_eq!(bench.facts().schema, small_schema());
    assert_eq!(bench.append(&bench.table(), 1, 0, 10), Ok(CommitAnswer::Landed { version: 1 }));
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
    assert_eq!(bench.facts().schema, small_schema());
}

#[test]
fn a_column_of_an_earlier_table_is_relaxed_by_the_first_commit_that_was_written_so() {
    let bench = Bench::new();
    earlier_table(&bench);
    let table = bench.table();
    assert_eq!(bench.append(&table, 1, 0, 2), Ok(CommitAnswer::Landed { version: 1 }));
    let relaxed = TableSchema::new(
        small_schema().columns.into_iter().map(|column| Column { nullable: true, ..column }).collect(),
    );
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    let columns = vec![ids, small_rows(0, 2).column(1).clone()];
    let rows = RecordBatch::try_new(relaxed.arrow(), columns).expect("rows");
    let mut files = vec![stage(&table, 2, 4)];
    files.extend(write_all(&table, &relaxed, &rows));
    assert_eq!(bench.commit(&table, &bench.batch(2, files)), Ok(CommitAnswer::Landed { version: 2 }));
    assert_eq!(bench.facts().schema, relaxed);
    let ids = Arc::clone(bench.scan(None).column_by_name("id").expect("ids"));
    assert_eq!((ids.len(), ids.null_count()), (6, 1));
    assert_eq!(bench.append(&table, 3, 4, 6), Ok(CommitAnswer::Landed { version: 3 }));
}
