//! Every type that a Parquet file can have: which column it becomes, and that no value changes on the way.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal256Array, DurationMillisecondArray, Float16Array, Int32Array,
    Int32Builder, Int64Array, ListBuilder, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    Time32MillisecondArray, Time64MicrosecondArray, Time64NanosecondArray, UInt64Array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Fields, Float16Type, Float32Type, Int32Type, Schema, i256,
};
use bytes::Bytes;
use connector_core::evolve::{Evolution, EvolutionRules, FileCause, FilePlan, Planner};
use connector_core::expr::Expr;
use connector_core::schema::{Column, ColumnDefault, Origin, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::parquet::{ParquetFile, ParquetSource};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::data_type::{
    ByteArrayType, DataType as Physical, FixedLenByteArray, FixedLenByteArrayType, Int32Type as PhysicalInt32, Int96,
    Int96Type,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::parquet_files::{byte_arrays, write};
use crate::support::{check_block, column, messages, plan, read_all, read_as, texts};

/// A file of one column that is never NULL, in the words of Parquet.
fn one<T: Physical>(column: &str, values: &[T::T]) -> ParquetFile {
    let schema = parse_message_type(&format!("message m {{ required {column}; }}")).expect("parses");
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut chunk = group.next_column().expect("no error").expect("a column");
    chunk.typed::<T>().write_batch(values, None, None).expect("writes");
    chunk.close().expect("closes");
    group.close().expect("closes");
    open(writer.into_inner().expect("closes").into())
}

fn open(bytes: Bytes) -> ParquetFile {
    ParquetFile::open(ParquetSource::Bytes(bytes)).expect("opens")
}

/// What the column of a file becomes, its values as text, and the rows that are rejected.
fn becomes(file: &ParquetFile) -> (String, Vec<Option<String>>, Vec<u64>) {
    let schema = file.infer().expect("infers").schema;
    let ty = schema.columns[0].ty.to_string();
    let block = read_as(file, schema, 1_000).expect("reads").remove(0);
    check_block(&block);
    let values = arrow::compute::cast(block.rows.column(0), &DataType::Utf8).expect("casts");
    let values = values.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect();
    (ty, values, block.rejected.ordinals)
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

fn fixed(values: &[&[u8]]) -> Vec<FixedLenByteArray> {
    values.iter().map(|value| value.to_vec().into()).collect()
}

#[test]
fn small_integers_keep_to_their_size() {
    let file = |annotation: &str| one::<PhysicalInt32>(&format!("int32 a ({annotation})"), &[-1, 127, 128, 255, 256]);
    for (annotation, ty, values, bad) in [
        ("INTEGER(8,true)", "Int8", vec!["-1", "127"], vec![2, 3, 4]),
        ("INTEGER(8,false)", "UInt8", vec!["127", "128", "255"], vec![0, 4]),
        ("INTEGER(16,true)", "Int16", vec!["-1", "127", "128", "255", "256"], vec![]),
        ("UINT_16", "UInt16", vec!["127", "128", "255", "256"], vec![0]),
    ] {
        assert_eq!(becomes(&file(annotation)), (ty.to_owned(), some(&values), bad), "{annotation}");
    }
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let large = becomes(&open(write(vec![("a", large)], 10)));
    assert_eq!(large, ("UInt64".to_owned(), some(&["18446744073709551615"]), vec![]));
}

#[test]
fn text_that_is_no_text_rejects_its_row_and_not_the_file() {
    for annotation in ["(STRING)", "(JSON)", "(ENUM)", "(UTF8)", ""] {
        let bytes = byte_arrays(&format!("message m {{ required binary a {annotation}; }}"), &[&[b"ok", b"\xFF", b""]]);
        let read = becomes(&open(bytes));
        assert_eq!(read, ("String".to_owned(), some(&["ok", ""]), vec![1]), "{annotation}");
    }
    let plain = one::<FixedLenByteArrayType>("fixed_len_byte_array(2) a", &fixed(&[b"ab", b"\xFF\xFE"]));
    assert_eq!(becomes(&plain), ("String".to_owned(), some(&["ab"]), vec![1]));
}

#[test]
fn uuids_and_intervals_are_text_of_their_own() {
    let bytes: Vec<u8> = (0..16).collect();
    let ids = one::<FixedLenByteArrayType>("fixed_len_byte_array(16) a (UUID)", &fixed(&[&bytes]));
    let id = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    assert_eq!(becomes(&ids), ("UUID".to_owned(), some(&[id]), vec![]));
    let as_text = read_as(&ids, TableSchema::new(vec![Column::nullable("a", ColumnType::String)]), 10).expect("reads");
    assert_eq!(as_text[0].rows.column(0).as_string::<i32>().value(0), id);
    let part = |months: u32, days: u32, millis: u32| [months, days, millis].map(u32::to_le_bytes).concat();
    let parts = [part(14, 2, 3_004), part(0, 0, 0), part(u32::MAX, 0, 0), part(0, 1, 0)];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let intervals = one::<FixedLenByteArrayType>("fixed_len_byte_array(12) a (INTERVAL)", &fixed(&parts));
    let spelled = some(&["P14M2DT3.004S", "PT0S", "P4294967295M", "P1D"]);
    assert_eq!(becomes(&intervals), ("String".to_owned(), spelled, vec![]));
    let durations: ArrayRef = Arc::new(DurationMillisecondArray::from(vec![90_500, -1]));
    let durations = becomes(&open(write(vec![("a", durations)], 10)));
    assert_eq!(durations, ("String".to_owned(), some(&["PT90.5S", "-PT0.001S"]), vec![]));
}

#[test]
fn times_of_day_have_the_digits_of_their_unit() {
    let arrays: [(ArrayRef, &str); 3] = [
        (Arc::new(Time32MillisecondArray::from(vec![3_723_004])), "01:02:03.004"),
        (Arc::new(Time64MicrosecondArray::from(vec![3_723_000_004])), "01:02:03.000004"),
        (Arc::new(Time64NanosecondArray::from(vec![86_399_000_000_005])), "23:59:59.000000005"),
    ];
    for (array, text) in arrays {
        assert_eq!(becomes(&open(write(vec![("a", array)], 10))), ("String".to_owned(), some(&[text]), vec![]));
    }
}

#[test]
fn floats_of_sixteen_bits_and_wide_decimals_are_exact() {
    let halves = [0x3C01, 0xFBFF, 0x0001].map(Half::from_bits);
    let halves: ArrayRef = Arc::new(Float16Array::from_iter_values(halves));
    let (schema, blocks) = read_all(ParquetSource::Bytes(write(vec![("a", halves)], 10)), 10).expect("reads");
    assert_eq!(schema.columns[0].ty, ColumnType::Float32);
    let values = blocks[0].rows.column(0).as_primitive::<Float32Type>().values().to_vec();
    assert_eq!(values, [1.000_976_6, -65_504.0, 5.960_464_5e-8]);
    let digits = "9".repeat(76);
    let wide = Decimal256Array::from(vec![digits.parse::<i256>().expect("256 bits")]);
    let wide: ArrayRef = Arc::new(wide.with_precision_and_scale(76, 2).expect("fits"));
    let spelled = format!("{}.99", "9".repeat(74));
    let wide = becomes(&open(write(vec![("a", wide)], 10)));
    assert_eq!(wide, ("Decimal(76, 2)".to_owned(), some(&[&spelled]), vec![]));
}

/// A float of 16 bits.
type Half = <Float16Type as ArrowPrimitiveType>::Native;

#[test]
fn a_column_that_is_said_to_be_null_has_nothing_or_its_row_is_bad() {
    let empty: ArrayRef = Arc::new(arrow::array::NullArray::new(2));
    let read = becomes(&open(write(vec![("a", empty)], 10)));
    assert_eq!(read, ("String".to_owned(), vec![None, None], vec![]));
    let lie = one::<PhysicalInt32>("int32 a (UNKNOWN)", &[7]);
    assert_eq!(lie.shape().columns[0].stated, Some(DataType::Null));
    let schema = TableSchema::new(vec![Column::nullable("a", ColumnType::Int64)]);
    let block = read_as(&lie, schema.clone(), 10).expect("reads").remove(0);
    let message = "value '7' on column 'a' is not Int64".to_owned();
    assert_eq!(messages(&block, &schema.columns), [(0, vec![message])]);
}

/// A batch of every kind of nested column, two rows.
fn nested() -> Vec<(&'static str, ArrayRef)> {
    let mut lists = ListBuilder::new(Int32Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    maps.keys().append_value("k\"");
    maps.values().append_value(5);
    maps.keys().append_value("l");
    maps.values().append_null();
    maps.append(true).expect("appends");
    maps.append(true).expect("appends");
    let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("x\n"), None]));
    let number: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 0]));
    let float: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![f64::NAN, 0.1]));
    let flag: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let fields = [("s", &inner), ("n", &number), ("f", &float), ("b", &flag)]
        .map(|(name, array)| Field::new(name, array.data_type().clone(), true));
    let arrays = vec![inner, number, float, flag];
    let structs = StructArray::new(fields.into_iter().collect::<Fields>(), arrays, None);
    vec![("lists", Arc::new(lists.finish())), ("maps", Arc::new(maps.finish())), ("structs", Arc::new(structs))]
}

#[test]
fn nested_values_are_json_with_all_their_digits() {
    let file = open(write(nested(), 10));
    let schema = file.infer().expect("infers").schema;
    assert!(schema.columns.iter().all(|column| column.ty == ColumnType::String && column.nullable));
    let block = read_as(&file, schema, 10).expect("reads").remove(0);
    let values = |index: usize| block.rows.column(index).as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(values(0), [Some("[1,null]"), None]);
    assert_eq!(values(1), [Some(r#"{"k\"":5,"l":null}"#), Some("{}")]);
    let structs =
        [r#"{"s":"x\n","n":18446744073709551615,"f":"NaN","b":true}"#, r#"{"s":null,"n":0,"f":0.1,"b":false}"#];
    assert_eq!(values(2), structs.map(Some));
    for text in block.rows.columns().iter().flat_map(|array| array.as_string::<i32>().iter().flatten()) {
        serde_json::from_str::<serde_json::Value>(text).expect("json");
    }
}

#[test]
fn a_map_with_a_key_twice_rejects_its_row() {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for row in [["k", "l"], ["k", "k"]] {
        row.iter().for_each(|key| maps.keys().append_value(key));
        maps.values().append_slice(&[1, 2]);
        maps.append(true).expect("appends");
    }
    let file = open(write(vec![("a", Arc::new(maps.finish()))], 10));
    assert_eq!(becomes(&file), ("String".to_owned(), some(&[r#"{"k":1,"l":2}"#]), vec![1]));
    let schema = file.infer().expect("infers").schema;
    let block = read_as(&file, schema, 10).expect("reads").remove(0);
    assert_eq!(texts(&block), [[Some(r#"{"k":1,"k":2}"#)]], "quarantine shows all of it");
}

#[test]
fn only_lists_that_are_never_null_become_arrays() {
    let file = |nullable: bool, rows: Vec<Option<Vec<Option<i32>>>>| {
        let lists = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>(rows);
        let field = Field::new("a", lists.data_type().clone(), nullable);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(lists)]).expect("a batch");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("writes");
        open(writer.into_inner().expect("closes").into())
    };
    let required = file(false, vec![Some(vec![Some(1), None]), Some(vec![])]);
    let schema = required.infer().expect("infers").schema;
    assert_eq!(
        (schema.columns[0].ty.to_string().as_str(), schema.columns[0].nullable),
        ("Array(Nullable(Int32))", false)
    );
    let block = read_as(&required, schema.clone(), 10).expect("reads").remove(0);
    assert_eq!(
        block.rows.column(0).as_list::<i32>().value(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), None]
    );
    let optional = file(true, vec![Some(vec![Some(7)]), None]);
    assert_eq!(optional.infer().expect("infers").schema.columns[0].ty, ColumnType::String);
    // A later file with a list that is NULL: that row is set aside, not turned into an empty list.
    let block = read_as(&optional, schema.clone(), 10).expect("reads").remove(0);
    assert_eq!(block.rejected.ordinals, [1]);
    assert_eq!(messages(&block, &schema.columns)[0].1, ["value NULL on column 'a' is not Array(Nullable(Int32))"]);
}

#[test]
fn a_date_of_long_ago_in_a_list_is_exact() {
    let schema = "message m { required group a (LIST) { repeated group list { required int96 element; } } }";
    let mut writer =
        SerializedFileWriter::new(Vec::new(), Arc::new(parse_message_type(schema).expect("parses")), Arc::default())
            .expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut chunk = group.next_column().expect("no error").expect("a column");
    // 0001-01-01 and 9999-12-31, both beyond 64 bits of nanoseconds; then a nanosecond.
    let values: Vec<Int96> = [(1_721_426u32, 0u64), (5_373_484, 86_399_999_999_000), (2_440_588, 1)]
        .map(|(day, nanos)| {
            let mut value = Int96::new();
            value.set_data(nanos as u32, (nanos >> 32) as u32, day);
            value
        })
        .to_vec();
    chunk.typed::<Int96Type>().write_batch(&values, Some(&[1, 1, 1]), Some(&[0, 1, 0])).expect("writes");
    chunk.close().expect("closes");
    group.close().expect("closes");
    let file = open(writer.into_inner().expect("closes").into());
    let schema = file.infer().expect("infers").schema;
    assert_eq!(schema.columns[0].ty.to_string(), "Array(DateTime64(6))");
    let block = read_as(&file, schema, 10).expect("reads").remove(0);
    let times = block.rows.column(0).as_list::<i32>().value(0);
    let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values().to_vec();
    assert_eq!(times, [-62_135_596_800_000_000, 253_402_300_799_999_999]);
    assert_eq!(texts(&block), [[Some(r#"["1970-01-01T00:00:00.000000001"]"#)]]);
    let ages =
        [(1_721_426u32, 0u64), (1_721_425, 86_399_999_999_000), (5_373_485, 0), (u32::MAX, 0)].map(|(day, nanos)| {
            let mut value = Int96::new();
            value.set_data(nanos as u32, (nanos >> 32) as u32, day);
            value
        });
    let aged = one::<Int96Type>("int96 a", &ages);
    let rejected = read_as(&aged, aged.infer().expect("infers").schema, 10).expect("reads").remove(0).rejected.ordinals;
    assert_eq!(rejected, [1, 2, 3], "years before 1 and after 9999");
    let text = TableSchema::new(vec![Column::nullable("a", ColumnType::String)]);
    let block = read_as(&file, text, 10).expect("reads").remove(0);
    let whole = block.rows.column(0).as_string::<i32>().value(0).to_owned();
    assert_eq!(whole, r#"["0001-01-01T00:00:00","9999-12-31T23:59:59.999999"]"#);
}

#[test]
fn a_source_may_lead_into_a_struct() {
    let file = open(write(nested(), 10));
    let source =
        |source: &str, ty| Column { source: source.to_owned(), ..Column::nullable(source.replace('.', "_"), ty) };
    let schema = TableSchema::new(vec![
        source("structs.n", ColumnType::UInt64),
        source("structs.s", ColumnType::String),
        source("structs.none", ColumnType::String),
    ]);
    let shape = file.shape_for(&schema);
    assert_eq!(shape.names(), ["lists", "maps", "structs", "structs.n", "structs.s"]);
    assert_eq!(file.shape().columns[..], shape.columns[..3]);
    let rules = EvolutionRules { evolution: Evolution::Freeze, ..EvolutionRules::default() };
    let mut planner = Planner::new(schema.clone(), Vec::new(), None, rules);
    let plan = planner.plan("k", &shape);
    assert_eq!(plan.causes.iter().map(|cause| cause.column.as_str()).collect::<Vec<_>>(), ["structs_none"]);
    assert_eq!(plan.bound.sources, [Some(3), Some(4), None]);
    let plan = FilePlan { causes: Vec::new(), unknown: Vec::new(), ..plan };
    let mut blocks =
        file.blocks(Arc::new(schema), Arc::new(plan), Timestamp::UNIX_EPOCH, 10, usize::MAX).expect("reads");
    let block = blocks.next().expect("one").expect("reads");
    assert_eq!(block.rows.column(0).as_primitive::<arrow::datatypes::Decimal128Type>().values(), &[u64::MAX.into(), 0]);
    assert_eq!(block.rows.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x\n"), None]);
}

#[test]
fn where_a_struct_is_null_its_fields_are() {
    let number: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let fields: Fields = [Field::new("n", DataType::Int32, false)].into_iter().collect();
    let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![number], Some(vec![true, false].into())));
    let file = open(write(vec![("s", structs)], 10));
    let column = Column { source: "s.n".to_owned(), ..Column::nullable("n", ColumnType::Int32) };
    let schema = Arc::new(TableSchema::new(vec![column]));
    let plan = Planner::new(schema.as_ref().clone(), Vec::new(), None, EvolutionRules::default())
        .plan("k", &file.shape_for(&schema));
    let plan = FilePlan {
        bound: connector_core::binding::Bound { sources: plan.bound.sources[..1].to_vec(), ..plan.bound },
        ..plan
    };
    let mut blocks = file.blocks(schema, Arc::new(plan), Timestamp::UNIX_EPOCH, 10, usize::MAX).expect("reads");
    let block = blocks.next().expect("one").expect("reads");
    assert_eq!(block.rows.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
}

/// Orders with lines: the second line of the first lacks its key, the third order has no lines, the fourth no list.
fn orders() -> ParquetFile {
    let skus: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("hidden"), None, Some("d")]));
    let counts: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
    let of: Fields =
        [Field::new("sku", DataType::Utf8, true), Field::new("n", DataType::Int32, false)].into_iter().collect();
    let there = vec![true, false, true, true];
    let lines = StructArray::new(of.clone(), vec![skus, counts], Some(there.into()));
    let item = Arc::new(Field::new("item", DataType::Struct(of), true));
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 3, 4, 4, 4].into());
    let lists =
        arrow::array::ListArray::new(item, offsets, Arc::new(lines), Some(vec![true, true, true, false].into()));
    let lists: ArrayRef = Arc::new(lists);
    let field = Field::new("lines", lists.data_type().clone(), true);
    let outer: ArrayRef = Arc::new(StructArray::new([field].into_iter().collect(), vec![Arc::clone(&lists)], None));
    open(write(vec![("lines", lists), ("order", outer)], 10))
}

#[test]
fn a_source_may_lead_into_the_elements_of_a_list() {
    let file = orders();
    let list = |element, nullable| ColumnType::Array { element: Box::new(element), nullable };
    let column = |source: &str, ty| Column {
        source: source.to_owned(),
        default: Some(connector_core::schema::ColumnDefault::Literal("[]".to_owned())),
        nullable: false,
        ..Column::nullable(source.replace(['.', '[', ':', ']'], "_"), ty)
    };
    let schema = TableSchema::new(vec![
        column("lines[:].sku", list(ColumnType::String, true)),
        column("order.lines[:].n", list(ColumnType::Int64, true)),
        column("lines[:].n", list(ColumnType::Int64, false)),
        column("lines[:].none", list(ColumnType::String, true)),
        column("order[:].lines", list(ColumnType::String, true)),
        column("lines[:].sku.x", list(ColumnType::String, true)),
    ]);
    let shape = file.shape_for(&schema);
    assert_eq!(shape.names(), ["lines", "order", "lines[:].sku", "order.lines[:].n", "lines[:].n"]);
    let schema = TableSchema::new(schema.columns[..3].to_vec());
    let rules = EvolutionRules { evolution: Evolution::Freeze, ..EvolutionRules::default() };
    let plan = Planner::new(schema.clone(), Vec::new(), None, rules).plan("k", &shape);
    assert_eq!((plan.causes.len(), &plan.bound.sources[..]), (0, &[Some(2), Some(3), Some(4)][..]));
    let plan = FilePlan { unknown: Vec::new(), ..plan };
    let mut blocks =
        file.blocks(Arc::new(schema), Arc::new(plan), Timestamp::UNIX_EPOCH, 10, usize::MAX).expect("reads");
    let block = blocks.next().expect("one").expect("reads");
    check_block(&block);
    // The first row has an element that is NULL, which the third column does not take.
    assert_eq!(block.rejected.ordinals, [0]);
    let lists = |index: usize| {
        let texts = arrow::compute::cast(block.rows.column(index), &DataType::Utf8).expect("casts");
        texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(lists(0), some(&["[d]", "[]", "[]"]));
    assert_eq!(lists(1), some(&["[4]", "[]", "[]"]));
    let rejected = block.rejected.texts.iter().map(|texts| texts.value(0).to_owned()).collect::<Vec<_>>();
    assert_eq!(rejected, [r#"["a",null,null]"#, "[1,null,3]", "[1,null,3]"]);
}

fn two_columns() -> ParquetFile {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None]));
    open(write(vec![("id", ids), ("name", names)], 2))
}

fn read_plan(file: &ParquetFile, columns: Vec<Column>, plan: FilePlan) -> connector_core::block::Block {
    let now: Timestamp = "2024-02-29T12:00:00Z".parse().expect("a time");
    let schema = Arc::new(TableSchema::new(columns));
    let mut blocks = file.blocks(schema, Arc::new(plan), now, 100, usize::MAX).expect("reads");
    let block = blocks.next().expect("one").expect("reads");
    assert!(blocks.next().is_none());
    check_block(&block);
    block
}

#[test]
fn columns_that_the_file_lacks_are_null_or_their_default() {
    let expression =
        Column { default: Some(ColumnDefault::Expression(Expr::Now)), ..Column::required("at", ColumnType::DateTime) };
    let columns = vec![
        Column::nullable("id", ColumnType::Int64),
        Column { origin: Origin::Evolved, ..Column::nullable("new", ColumnType::Bool) },
        column("seven", ColumnType::Int64, false, Some("7")),
        expression,
    ];
    let block = read_plan(&two_columns(), columns.clone(), plan(vec![Some(0), None, None, None], 2));
    assert_eq!((block.rows.num_rows(), block.rows.column(1).null_count()), (3, 3));
    assert_eq!(block.rows.column(2).as_primitive::<arrow::datatypes::Int64Type>().values(), &[7, 7, 7]);
    let times = block.rows.column(3).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.value(2), 1_709_208_000_000_000);
    let required = vec![columns[0].clone(), Column::required("must", ColumnType::Int64)];
    let block = read_plan(&two_columns(), required.clone(), plan(vec![Some(0), None], 2));
    assert_eq!(block.rejected.len(), 3);
    assert_eq!(texts(&block), [[Some("1"), None], [None, None], [Some("3"), None]]);
    assert_eq!(messages(&block, &required)[0].1, ["value NULL on column 'must' is not Int64"]);
}

#[test]
fn a_default_expression_stands_for_null_too() {
    let at: ArrayRef = Arc::new(arrow::array::TimestampSecondArray::from(vec![Some(5), None]));
    let file = open(write(vec![("at", at)], 10));
    let column =
        Column { default: Some(ColumnDefault::Expression(Expr::Now)), ..Column::required("at", ColumnType::DateTime) };
    let block = read_plan(&file, vec![column], plan(vec![Some(0)], 1));
    let times = block.rows.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.values(), &[5_000_000, 1_709_208_000_000_000]);
}

#[test]
fn in_a_frozen_table_rows_with_a_value_in_an_unknown_column_are_rejected() {
    let columns = vec![Column::nullable("id", ColumnType::Int64)];
    let frozen = FilePlan { unknown: vec![(1, "name".to_owned())], ..plan(vec![Some(0)], 2) };
    let block = read_plan(&two_columns(), columns.clone(), frozen);
    assert_eq!(block.rejected.ordinals, [0], "NULL is no value");
    let message = "column 'name' is not in the table and may not be added (IMPORT_EVOLUTION freeze)".to_owned();
    assert_eq!(messages(&block, &columns), [(0, vec![message])]);
    assert_eq!(texts(&block), [[Some("1")]]);
}

#[test]
fn every_row_of_a_file_that_does_not_fit_is_rejected_with_its_causes_and_its_texts() {
    let odd = byte_arrays(
        "message m { required binary odd (BSON); required binary name (STRING); }",
        &[&[b"\x05\0\0\0\0", b"x"], &[b"a", b"\xFF"]],
    );
    let columns = vec![
        Column::nullable("odd", ColumnType::String),
        Column::nullable("name", ColumnType::Int64),
        Column::nullable("gone", ColumnType::Int64),
    ];
    let mut planner = Planner::new(TableSchema::new(columns.clone()), Vec::new(), None, EvolutionRules::default());
    let file = open(odd);
    let plan = planner.plan("k", &file.shape());
    let codes: Vec<&str> = plan.causes.iter().map(|cause: &FileCause| cause.code).collect();
    assert_eq!(codes, ["missing_column", "incompatible_type", "incompatible_type"]);
    let block = read_plan(&file, columns.clone(), plan);
    assert_eq!((block.records, block.rows.num_rows(), block.rejected.len()), (2, 0, 2));
    assert_eq!(texts(&block), [[None, Some("a"), None], [None, Some("\u{FFFD}"), None]], "what has no text has none");
    for (_, messages) in messages(&block, &columns) {
        assert!(
            messages[0].contains("lacks column 'gone'") && messages[1].contains("column 'odd' is bson"),
            "{messages:?}"
        );
    }
    let table = TableSchema::new(columns.clone());
    let named: Vec<&str> = block.rejected.errors_of(1).iter().map(|error| error.column_name(&table)).collect();
    assert_eq!(named, ["gone", "odd", "name"]);
}

#[test]
fn inference_says_what_the_footer_states() {
    let inferred = two_columns().infer().expect("infers");
    assert_eq!((inferred.file_columns, inferred.dialect), (vec!["id".to_owned(), "name".to_owned()], None));
    let evidence = &inferred.evidence;
    assert_eq!((evidence[0].column.as_str(), evidence[0].ty.as_str()), ("id", "Int64"));
    assert_eq!((evidence[0].values, evidence[0].nulls), (2, 1));
    assert_eq!((evidence[1].values, evidence[1].nulls), (1, 2));
    assert_eq!(evidence[0].because, "the file states INT64");
    assert!(evidence[1].because.contains("BYTE_ARRAY STRING"), "{}", evidence[1].because);
    let nested = open(write(nested(), 10)).infer().expect("infers").evidence;
    let counts: Vec<(u64, u64)> = nested.iter().map(|evidence| (evidence.values, evidence.nulls)).collect();
    assert_eq!(counts, [(1, 1), (2, 0), (2, 0)], "a list that is NULL is no value, and one with NULL in it is");
    assert_eq!(nested[0].because, "the file states group LIST");
    assert!(inferred.schema.columns.iter().all(|column| column.nullable && column.origin == Origin::Inferred));
    let uncounted = one::<ByteArrayType>("binary a (STRING)", &[b"x".to_vec().into()]);
    assert_eq!(uncounted.infer().expect("infers").evidence[0].values, 1);
}
