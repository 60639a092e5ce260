//! Default expressions over whole columns.

use connector_core::types::ColumnType;

use super::*;

const DATE_TIME: ColumnType = ColumnType::DateTime;

fn expression(text: &str) -> Option<ColumnDefault> {
    Some(ColumnDefault::Expression(Expr::parse(text).expect(text)))
}

fn with_default(name: &str, ty: ColumnType, default: &str) -> Column {
    Column { default: expression(default), ..Column::required(name, ty) }
}

fn times(values: &[Option<&str>]) -> ArrayRef {
    let micros = |text: &&str| text.parse::<Timestamp>().expect("a time").as_microsecond();
    let array: TimestampMicrosecondArray = values.iter().map(|value| value.as_ref().map(micros)).collect();
    Arc::new(array.with_data_type(DATE_TIME.arrow()))
}

fn now() -> Timestamp {
    "2024-02-29T13:14:15.678901Z".parse().expect("a time")
}

/// The values as texts.
fn shown(array: &ArrayRef) -> Vec<String> {
    // Arrow shows no time in a named zone without a library of zones.
    let naive = array.as_primitive_opt::<TimestampMicrosecondType>();
    let naive =
        naive.map(|times| Arc::new(times.clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, None))));
    let array = naive.map_or_else(|| Arc::clone(array), |times| times as ArrayRef);
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let formatter = arrow::util::display::ArrayFormatter::try_new(array.as_ref(), &options).expect("formats");
    (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
}

fn filled(
    columns: Vec<Column>,
    mut arrays: Vec<ArrayRef>,
    defaulted: &[&[u32]],
) -> (Vec<Vec<String>>, Vec<(u32, u32)>) {
    let defaulted: Vec<Vec<u32>> = defaulted.iter().map(|rows| rows.to_vec()).collect();
    let types: Vec<DataType> = columns.iter().map(|column| column.ty.arrow()).collect();
    let failed = fill(&TableSchema::new(columns), &mut arrays, &defaulted, now()).expect("fills");
    for (array, ty) in arrays.iter().zip(types) {
        assert_eq!(*array.data_type(), ty);
    }
    (arrays.iter().map(shown).collect(), failed)
}

#[test]
fn the_time_of_the_claim_is_put_where_a_value_is_missing_and_nowhere_else() {
    let old = Some("2020-01-01T00:00:00Z");
    let columns = vec![
        with_default("seen", DATE_TIME, "now()"),
        with_default("exact", ColumnType::DateTime64 { precision: 4 }, "now64(6)"),
        with_default("day", ColumnType::Date, "today() - INTERVAL 1 MONTH"),
    ];
    let days: ArrayRef = Arc::new(Date32Array::from(vec![None, None, Some(0)]));
    let arrays = vec![times(&[old, None, old]), times(&[None, None, None]), days];
    let (values, failed) = filled(columns, arrays, &[&[1], &[0, 1, 2], &[0, 1]]);
    assert_eq!(failed, []);
    assert_eq!(values[0], ["2020-01-01T00:00:00", "2024-02-29T13:14:15", "2020-01-01T00:00:00"]);
    assert_eq!(values[1], ["2024-02-29T13:14:15.678900"; 3]);
    assert_eq!(values[2], ["2024-01-29", "2024-01-29", "1970-01-01"]);
}

#[test]
fn columns_are_filled_after_those_that_they_refer_to() {
    let columns = vec![
        with_default("month", ColumnType::UInt32, "toYYYYMM(day)"),
        with_default("day", ColumnType::Date, "toDate(at)"),
        with_default("label", ColumnType::String, "toMonday(day)"),
        Column::nullable("at", DATE_TIME),
    ];
    let month: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(vec![None, None, Some(7)]));
    let day: ArrayRef = Arc::new(Date32Array::from(vec![None, Some(1), None]));
    let label: ArrayRef = Arc::new(StringArray::from(vec![None, None, Some("x")]));
    let at = times(&[Some("2024-03-31T23:59:59Z"), None, Some("2024-12-30T00:00:00Z")]);
    let (values, failed) = filled(columns, vec![month, day, label, at], &[&[0, 1], &[0, 2], &[0, 1], &[]]);
    assert_eq!(failed, []);
    assert_eq!(values[0], ["202403", "197001", "7"]);
    assert_eq!(values[1], ["2024-03-31", "1970-01-02", "2024-12-30"]);
    assert_eq!(values[2], ["2024-03-25", "1969-12-29", "x"]);
}

#[test]
fn a_column_of_any_type_can_be_copied() {
    let list = ColumnType::Array { element: Box::new(ColumnType::String), nullable: false };
    let list_of = |rows: &[Option<&[&str]>]| -> ArrayRef {
        let DataType::List(field) = list.arrow() else { panic!("a list") };
        let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new()).with_field(field);
        for row in rows {
            row.unwrap_or_default().iter().for_each(|text| builder.values().append_value(text));
            builder.append(row.is_some());
        }
        Arc::new(builder.finish())
    };
    let columns = vec![with_default("a", list.clone(), "b"), Column::nullable("b", list.clone())];
    let arrays = vec![list_of(&[Some(&["x"]), None, None]), list_of(&[Some(&[]), Some(&["y", "z"]), None])];
    let (values, failed) = filled(columns, arrays, &[&[1, 2], &[]]);
    assert_eq!(values[0], ["[x]", "[y, z]", "NULL"]);
    assert_eq!(failed, [(0, 2)]);
}

#[test]
fn null_goes_into_a_nullable_column_and_makes_the_row_of_another_bad() {
    let nullable = Column { nullable: true, ..with_default("n", DATE_TIME, "at + toIntervalDay(1)") };
    let columns =
        vec![nullable, with_default("r", DATE_TIME, "at + toIntervalDay(1)"), Column::nullable("at", DATE_TIME)];
    let at = times(&[None, Some("2024-02-28T00:00:00Z")]);
    let arrays = vec![times(&[None, None]), times(&[None, None]), at];
    let (values, failed) = filled(columns, arrays, &[&[0, 1], &[0, 1], &[]]);
    assert_eq!(values[0], ["NULL", "2024-02-29T00:00:00"]);
    assert_eq!(values[1], ["NULL", "2024-02-29T00:00:00"]);
    assert_eq!(failed, [(1, 0)]);
}

#[test]
fn what_leaves_the_calendar_makes_its_row_bad_even_in_a_nullable_column() {
    let late = Column { nullable: true, ..with_default("late", ColumnType::Date, "d + INTERVAL 1 DAY") };
    let never = with_default("never", ColumnType::Date, "today() + INTERVAL 9000 YEAR");
    let columns = vec![late, never, Column::required("d", ColumnType::Date)];
    let last = 2_932_896;
    let days = |values: Vec<Option<i32>>| -> ArrayRef { Arc::new(Date32Array::from(values)) };
    let arrays = vec![days(vec![None; 2]), days(vec![None; 2]), days(vec![Some(last), Some(last - 1)])];
    let (values, failed) = filled(columns, arrays, &[&[0, 1], &[1], &[]]);
    assert_eq!(values[0], ["NULL", "9999-12-31"]);
    assert_eq!(failed, [(0, 0), (1, 1)]);
}

#[test]
fn unsigned_numbers_go_where_they_fit_and_into_texts() {
    let columns = vec![
        with_default("u64", ColumnType::UInt64, "toYYYYMMDD(d)"),
        with_default("u16", ColumnType::UInt16, "toYear(d)"),
        with_default("text", ColumnType::String, "toYear(d)"),
        with_default("copy", ColumnType::UInt64, "small"),
        Column::required("d", ColumnType::Date),
        Column::required("small", ColumnType::UInt8),
    ];
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Decimal128Array::from(vec![None]).with_data_type(ColumnType::UInt64.arrow())),
        Arc::new(PrimitiveArray::<Int32Type>::from(vec![None])),
        Arc::new(StringArray::from(vec![None::<&str>])),
        Arc::new(Decimal128Array::from(vec![None]).with_data_type(ColumnType::UInt64.arrow())),
        Arc::new(Date32Array::from(vec![Some(19_782)])),
        Arc::new(PrimitiveArray::<Int16Type>::from(vec![Some(200)])),
    ];
    let (values, failed) = filled(columns, arrays, &[&[0], &[0], &[0], &[0], &[], &[]]);
    assert_eq!(failed, []);
    assert_eq!(values[..4], [["20240229"], ["2024"], ["2024"], ["200"]]);
}

#[test]
fn expressions_that_no_configuration_has_are_bugs_and_no_panics() {
    for (ty, default) in [
        (ColumnType::Date, "other"),
        (ColumnType::Date, "toYear(d)"),
        (ColumnType::Float64, "toYear(d)"),
        (ColumnType::Date, "a"),
        (ColumnType::Date, "toDate('soon')"),
    ] {
        let columns = vec![with_default("a", ty.clone(), default), Column::required("d", ColumnType::Date)];
        let empty = |ty: &ColumnType| arrow::array::new_null_array(&ty.arrow(), 1);
        let mut arrays = vec![empty(&ty), Arc::new(Date32Array::from(vec![Some(0)])) as ArrayRef];
        let failure = fill(&TableSchema::new(columns), &mut arrays, &[vec![0], vec![]], now());
        assert_eq!(failure.map_err(|failure| failure.code), Err("decode_bug"), "{default}");
    }
}
