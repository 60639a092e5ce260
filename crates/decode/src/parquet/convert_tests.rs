use arrow::array::ArrayData;
use arrow::array::{
    ArrayRef, BinaryArray, Decimal256Array, DictionaryArray, FixedSizeBinaryArray, Int64Array, StringArray,
    Time64MicrosecondArray, UnionArray, make_array, new_empty_array,
};
use arrow::datatypes::{IntervalUnit, TimeUnit, UnionMode, i256};
use connector_core::schema::ColumnDefault;
use connector_core::types::EnumType;

use super::*;

/// Every Arrow type that there is a rule for, and some for which there is none.
fn stated() -> Vec<DataType> {
    use DataType as D;
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let mut scalars = vec![D::Null, D::Boolean, D::Int8, D::Int16, D::Int32, D::Int64];
    scalars.extend([D::UInt8, D::UInt16, D::UInt32, D::UInt64, D::Float16, D::Float32, D::Float64]);
    scalars.extend([D::Date32, D::Date64, D::Utf8, D::LargeUtf8, D::Utf8View, D::Binary, D::LargeBinary]);
    scalars.extend([D::BinaryView, D::FixedSizeBinary(3), D::FixedSizeBinary(16)]);
    scalars.extend(units.map(|unit| D::Timestamp(unit, None)));
    scalars.extend(units.map(|unit| D::Timestamp(unit, Some("UTC".into()))));
    scalars.extend([D::Time32(units[0]), D::Time32(units[1]), D::Time64(units[2]), D::Time64(units[3])]);
    scalars.extend(units.map(D::Duration));
    scalars.extend([IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano].map(D::Interval));
    for (precision, scale) in [(1, 0), (9, 2), (20, 0), (38, 0), (38, 38)] {
        scalars.push(D::Decimal128(precision, scale));
    }
    scalars.extend([D::Decimal256(39, 0), D::Decimal256(76, 0), D::Decimal256(76, 10), D::Decimal256(76, 76)]);
    scalars.extend([D::Decimal128(3, 5), D::Decimal128(5, -2), D::Decimal32(9, 2), D::Decimal64(18, 2)]);
    scalars.push(compat::opaque("bson"));
    let mut all = scalars.clone();
    for inner in &scalars {
        let field = |name: &str| Arc::new(Field::new(name, inner.clone(), true));
        let list = D::List(field("item"));
        all.extend([list.clone(), D::LargeList(field("item")), D::FixedSizeList(field("item"), 2)]);
        all.push(D::Struct([field("a"), field("b")].into_iter().collect()));
        all.push(D::List(Arc::new(Field::new("item", list, true))));
        let key = Arc::new(Field::new("key", D::Utf8, false));
        let entries = D::Struct([key, field("value")].into_iter().collect());
        all.push(D::Map(Arc::new(Field::new("entries", entries, false)), false));
        if !matches!(inner, D::Null) {
            all.push(D::Dictionary(Box::new(D::Int32), Box::new(inner.clone())));
        }
    }
    all
}

/// Every column type, with the widths and the nesting that rules depend on.
pub(crate) fn wanted() -> Vec<ColumnType> {
    use ColumnType as T;
    let labels = [("a".to_owned(), 1), ("b".to_owned(), 2)];
    let mut all = vec![T::Int8, T::Int16, T::Int32, T::Int64, T::Int128, T::Int256];
    all.extend([T::UInt8, T::UInt16, T::UInt32, T::UInt64, T::UInt128, T::UInt256]);
    all.extend([T::Float32, T::Float64, T::Bool, T::Date, T::DateTime, T::String, T::FixedString(3), T::Uuid]);
    all.extend([T::Ipv4, T::Ipv6, T::Json, T::Enum(EnumType { wide: false, labels: Arc::new(labels) })]);
    all.extend((0..=9).map(|precision| T::DateTime64 { precision }));
    for (precision, scale) in [(1, 0), (3, 0), (9, 2), (10, 2), (19, 0), (20, 0), (38, 10), (39, 0), (76, 10), (76, 76)]
    {
        all.push(T::Decimal { precision, scale });
    }
    let arrays = all
        .iter()
        .flat_map(|element| [true, false].map(|nullable| T::Array { element: Box::new(element.clone()), nullable }));
    let arrays: Vec<T> = arrays.collect();
    all.extend(arrays);
    all
}

fn column(ty: &ColumnType) -> Column {
    let nullable = !matches!(ty, ColumnType::Array { .. });
    Column { nullable, ..Column::nullable("c", ty.clone()) }
}

#[test]
fn a_conversion_exists_exactly_where_planning_accepts_the_type() {
    let (mut fit, mut unfit) = (0, 0);
    for stated in stated() {
        for wanted in wanted() {
            let plan = plan(&stated, &wanted);
            assert_eq!(plan.is_some(), compat::accepts(&stated, &wanted), "{stated} into {wanted}");
            let Some(plan) = plan else {
                unfit += 1;
                continue;
            };
            fit += 1;
            // And it works, on nothing and on nulls.
            let node = Node::plain(&Field::new("c", stated.clone(), true));
            let mut arrays = vec![new_empty_array(&stated)];
            if !matches!(stated, DataType::FixedSizeList(..)) {
                arrays.push(make_array(ArrayData::new_null(&stated, 3)));
            }
            for array in arrays {
                let values = Values { node: &node, array: &array, seconds: None };
                let built = convert(&values, &column(&wanted), &plan)
                    .unwrap_or_else(|error| panic!("{stated} into {wanted}: {error}"));
                assert_eq!(*built.values.data_type(), wanted.arrow(), "{stated} into {wanted}");
                assert_eq!(built.values.len(), array.len());
            }
        }
    }
    assert!(fit > 500 && unfit > 5_000, "{fit}, {unfit}");
}

#[test]
fn every_type_has_a_column_type_that_accepts_it_or_none() {
    for stated in stated() {
        for nullable in [true, false] {
            let node = Node::plain(&Field::new("c", stated.clone(), nullable));
            match node.column_type() {
                Some(ty) => assert!(compat::accepts(&stated, &ty), "{stated}: {ty}"),
                None => assert!(!compat::accepts(&stated, &ColumnType::String), "{stated}"),
            }
        }
    }
}

fn built(array: ArrayRef, column: &Column) -> Built {
    let node = Node::plain(&Field::new("c", array.data_type().clone(), true));
    let plan = plan(&node.stated, &column.ty).expect("fits");
    convert(&Values { node: &node, array: &array, seconds: None }, column, &plan).expect("converts")
}

fn texts(built: &Built) -> Vec<Option<&str>> {
    built.values.as_string::<i32>().iter().collect()
}

#[test]
fn texts_are_judged_by_the_rules_of_their_column() {
    let id = "00000000-0000-0000-0000-0000000000AB";
    let array: ArrayRef = Arc::new(StringArray::from(vec![Some(id), Some("x"), None, Some("")]));
    let uuids = built(Arc::clone(&array), &column(&ColumnType::Uuid));
    assert_eq!(texts(&uuids)[0], Some("00000000-0000-0000-0000-0000000000ab"));
    assert_eq!(uuids.errors, [1, 3], "an empty text is no UUID, and not NULL either");
    assert!(uuids.values.is_null(1) && uuids.values.is_null(2));
    let fixed = built(array, &column(&ColumnType::FixedString(3)));
    assert_eq!((fixed.errors, texts(&Built { errors: vec![], ..fixed })[3]), (vec![0], Some("")));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"ok"[..], b"\xFF", b"{}"]));
    assert_eq!(built(Arc::clone(&bytes), &column(&ColumnType::String)).errors, [1]);
    assert_eq!(built(bytes, &column(&ColumnType::Json)).errors, [0, 1]);
    let keys: DictionaryArray<Int32Type> = vec![Some("::1"), None, Some("x")].into_iter().collect();
    let addresses = built(Arc::new(keys), &column(&ColumnType::Ipv6));
    assert_eq!((texts(&addresses), &addresses.errors), (vec![Some("::1"), None, None], &vec![2]));
}

#[test]
fn sixteen_bytes_are_a_uuid_where_the_table_wants_one() {
    let bytes: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[0xABu8; 16]].iter()).expect("bytes"));
    let ids = built(bytes, &column(&ColumnType::Uuid));
    assert_eq!(texts(&ids), [Some("abababab-abab-abab-abab-abababababab")]);
    let text: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab\xFF", b"abc"].iter()).expect("bytes"));
    assert_eq!(built(text, &column(&ColumnType::String)).errors, [0]);
}

#[test]
fn wide_numbers_keep_their_digits() {
    let int: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
    assert_eq!(
        texts(&built(int, &column(&ColumnType::Int256))),
        [i64::MIN, i64::MAX].map(|n| n.to_string()).each_ref().map(|t| Some(t.as_str()))
    );
    let digits = "1234567890123456789012345678901234567890123456789012345678901234567890123456";
    let value: i256 = digits.parse().expect("256 bits");
    let wide = Decimal256Array::from(vec![value, value.wrapping_neg()]).with_precision_and_scale(76, 10).expect("fits");
    let kept = built(Arc::new(wide), &column(&ColumnType::Decimal { precision: 76, scale: 10 }));
    let spelled = format!("{}.{}", &digits[..66], &digits[66..]);
    assert_eq!(texts(&kept), [Some(spelled.as_str()), Some(format!("-{spelled}").as_str())]);
}

#[test]
fn a_decimal_with_more_digits_than_its_column_says_is_bad() {
    let array = Decimal128Array::from(vec![999, 1_000, -1_000]).with_data_type(DataType::Decimal128(3, 1));
    let kept = built(Arc::new(array), &column(&ColumnType::Decimal { precision: 3, scale: 1 }));
    assert_eq!((kept.errors, kept.values.null_count()), (vec![1, 2], 2));
}

#[test]
fn times_of_day_beyond_a_day_are_bad() {
    let times: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![0, 86_399_999_999, 86_400_000_000, -1]));
    let kept = built(times, &column(&ColumnType::String));
    assert_eq!(texts(&kept), [Some("00:00:00.000000"), Some("23:59:59.999999"), None, None]);
    assert_eq!(kept.errors, [2, 3]);
}

fn lists() -> ArrayRef {
    let rows = [Some(vec![Some(1), Some(2)]), Some(vec![]), None, Some(vec![None]), Some(vec![Some(300)])];
    Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(rows))
}

#[test]
fn lists_keep_their_rows_and_null_is_never_an_empty_list() {
    let array = |nullable| ColumnType::Array { element: Box::new(ColumnType::Int64), nullable };
    let kept = built(lists(), &column(&array(true)));
    assert_eq!(kept.errors, [2], "NULL is not []");
    let row = |row| {
        kept.values.as_list::<i32>().value(row).as_primitive::<arrow::datatypes::Int64Type>().iter().collect::<Vec<_>>()
    };
    assert_eq!((row(0), row(1), row(3)), (vec![Some(1), Some(2)], vec![], vec![None]));
    assert_eq!(built(lists(), &column(&array(false))).errors, [2, 3], "an element that may not be NULL");
    // Unless the column says so.
    let default = Some(ColumnDefault::Literal("[7]".to_owned()));
    let defaulted = built(lists(), &Column { default, ..column(&array(true)) });
    assert_eq!(defaulted.errors, [0u32; 0]);
    assert_eq!(defaulted.values.as_list::<i32>().value(2).len(), 1);
    // A list that is part of a larger array.
    let tail = built(lists().slice(3, 2), &column(&array(true)));
    assert_eq!((tail.values.len(), tail.errors.len()), (2, 0));
    assert_eq!(tail.values.as_list::<i32>().value(1).as_primitive::<arrow::datatypes::Int64Type>().values(), &[300]);
}

#[test]
fn a_bad_element_is_an_error_of_its_row_and_of_no_other() {
    let texts: Vec<Option<Vec<Option<&str>>>> =
        vec![Some(vec![Some("::1")]), Some(vec![]), Some(vec![Some("::2"), Some("x"), Some("y")]), Some(vec![None])];
    let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    texts.into_iter().for_each(|row| builder.append_option(row));
    let array = ColumnType::Array { element: Box::new(ColumnType::Ipv6), nullable: true };
    let kept = built(Arc::new(builder.finish()), &column(&array));
    assert_eq!(kept.errors, [2]);
    assert_eq!(kept.values.as_list::<i32>().value(0).as_string::<i32>().value(0), "::1");
}

#[test]
fn null_becomes_the_default_or_is_an_error() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let required = |default| Column { nullable: false, default, ..Column::nullable("c", ColumnType::Int64) };
    assert_eq!(built(Arc::clone(&numbers), &required(None)).errors, [1]);
    let literal = built(Arc::clone(&numbers), &required(Some(ColumnDefault::Literal("7".to_owned()))));
    assert_eq!(literal.values.as_primitive::<arrow::datatypes::Int64Type>().values(), &[1, 7]);
    let wrong = built(Arc::clone(&numbers), &required(Some(ColumnDefault::Literal("x".to_owned()))));
    assert_eq!(wrong.errors, [1]);
    let expression = ColumnDefault::Expression(connector_core::expr::Expr::Now);
    let expressed = built(numbers, &required(Some(expression)));
    assert_eq!((expressed.errors, expressed.defaulted), (vec![], vec![1]));
}

#[test]
fn an_opaque_type_is_a_union_and_nothing_else_is_one() {
    let DataType::Union(fields, UnionMode::Sparse) = compat::opaque("bson") else { panic!("a union") };
    let array = UnionArray::try_new(fields, vec![0i8].into(), None, vec![Arc::new(BinaryArray::from(vec![&b"x"[..]]))]);
    let array: ArrayRef = Arc::new(array.expect("a union"));
    let node = Node::plain(&Field::new("c", array.data_type().clone(), true));
    let values = Values { node: &node, array: &array, seconds: None };
    let mut out = String::new();
    assert!(!spell::write(&values, 0, &mut out), "it has no text");
}
