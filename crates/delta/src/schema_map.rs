//! Column types to Delta types and back.
//!
//! Delta knows fewer types than a data source does (`UInt8` is a `short`, `DateTime` a `timestamp`), so each field also
//! carries what it was made from. The field's metadata is the place, and not a table property, because a column that is
//! added later brings its own. What a field says counts only as long as it agrees with the field's Delta type: another
//! program may have widened the column since.
//!
//! Every data column is nullable for Delta. Whether rows must have a value is said in the metadata instead, and kept by
//! the writer: so a data source can be relaxed to `Nullable` without the table being rewritten.

use std::path::Path;

use connector_core::expr::Expr;
use connector_core::schema::{Column, ColumnDefault, Origin, PROVENANCE_COLUMNS, TableSchema};
use connector_core::types::ColumnType;
use delta_kernel::schema::{ArrayType, DataType, MetadataValue, PrimitiveType, StructField, StructType};

use crate::error::{DeltaError, one_line};

/// The column's type, as [`ColumnType`] prints it.
const TYPE_KEY: &str = "s3_connector.type";
/// The column's name in files, where it differs from its name in the table.
const SOURCE_KEY: &str = "s3_connector.source";
/// `false` if every row has a value. Tables of earlier versions have NOT NULL fields instead.
const NULLABLE_KEY: &str = "s3_connector.nullable";
/// How the column came into the table.
const ORIGIN_KEY: &str = "s3_connector.origin";
/// The literal for empty cells.
const DEFAULT_KEY: &str = "s3_connector.default";
/// The expression for empty cells.
const EXPRESSION_KEY: &str = "s3_connector.default_expression";
/// What other programs show as the column's comment.
const COMMENT_KEY: &str = "comment";

/// The Delta schema of a table: its data columns, then the provenance columns.
pub(crate) fn to_delta(table: &Path, schema: &TableSchema) -> Result<StructType, DeltaError> {
    let columns = schema.columns.iter().map(|column| field(table, column));
    let mut fields = columns.collect::<Result<Vec<_>, _>>()?;
    for name in PROVENANCE_COLUMNS {
        let delta = if name == "_s3_row" { DataType::LONG } else { DataType::STRING };
        fields.push(StructField::nullable(name, delta));
    }
    let bad = |error| DeltaError::BadSchema { table: table.to_owned(), why: one_line(&error) };
    StructType::try_new(fields).map_err(bad)
}

/// The Delta field of one data column.
pub(crate) fn field(table: &Path, column: &Column) -> Result<StructField, DeltaError> {
    let delta = delta_type(&column.ty).ok_or_else(|| DeltaError::BadSchema {
        table: table.to_owned(),
        why: format!("column '{}' is {}, for which Delta Lake has no type", column.name, column.ty),
    })?;
    Ok(StructField::nullable(&column.name, delta).with_metadata(field_metadata(column)))
}

/// The data columns of a Delta schema. A column whose type no data source has (another program added it) is left out;
/// data files that lack it are valid, and its rows read as NULL there.
pub(crate) fn from_delta(schema: &StructType, partition: Option<&str>) -> TableSchema {
    let fields = schema.fields().filter(|field| !PROVENANCE_COLUMNS.contains(&field.name().as_str()));
    TableSchema { columns: fields.filter_map(column).collect(), partition: partition.map(str::to_owned) }
}

fn field_metadata(column: &Column) -> Vec<(&'static str, MetadataValue)> {
    let text = |text: &str| MetadataValue::String(text.to_owned());
    let mut metadata = vec![
        (TYPE_KEY, MetadataValue::String(column.ty.to_string())),
        (ORIGIN_KEY, text(column.origin.as_str())),
        (NULLABLE_KEY, text(if column.nullable { "true" } else { "false" })),
    ];
    if column.source != column.name {
        metadata.push((SOURCE_KEY, text(&column.source)));
        metadata.push((COMMENT_KEY, text(&column.source)));
    }
    match &column.default {
        Some(ColumnDefault::Literal(literal)) => metadata.push((DEFAULT_KEY, text(literal))),
        Some(ColumnDefault::Expression(expr)) => metadata.push((EXPRESSION_KEY, text(&expr.to_string()))),
        None => {}
    }
    metadata
}

fn column(field: &StructField) -> Option<Column> {
    let text = |key: &str| match field.metadata().get(key) {
        Some(MetadataValue::String(text)) => Some(text.clone()),
        // The log holds JSON: a text that looks like a number or a boolean may come back as one.
        Some(other) => Some(other.to_string()),
        None => None,
    };
    let said = text(TYPE_KEY)
        .and_then(|text| ColumnType::parse_canonical(&text))
        .filter(|said| delta_type(said).as_ref() == Some(field.data_type()));
    let expression = text(EXPRESSION_KEY).and_then(|text| expression(field.name(), &text));
    Some(Column {
        name: field.name().clone(),
        source: text(SOURCE_KEY).unwrap_or_else(|| field.name().clone()),
        ty: said.or_else(|| widest_type(field.data_type()))?,
        nullable: field.is_nullable() && text(NULLABLE_KEY).is_none_or(|said| said != "false"),
        default: expression.or_else(|| text(DEFAULT_KEY).map(ColumnDefault::Literal)),
        origin: text(ORIGIN_KEY).and_then(|said| Origin::parse(&said)).unwrap_or(Origin::Declared),
    })
}

/// Only declared columns have expressions, and SCHEMA says them anew: one that does not parse (a newer version wrote it)
/// does no harm.
fn expression(column: &str, text: &str) -> Option<ColumnDefault> {
    match Expr::parse(text) {
        Ok(expr) => Some(ColumnDefault::Expression(expr)),
        Err(error) => {
            tracing::warn!(column, expression = text, %error, "a default in the table's log is not understood");
            None
        }
    }
}

/// The Delta type of a column type, by the one table of the project. `None` for a type that Delta cannot hold.
fn delta_type(ty: &ColumnType) -> Option<DataType> {
    parse(&ty.mapping().delta)
}

/// A Delta type by its name in the protocol, and `array<…>` of one.
fn parse(name: &str) -> Option<DataType> {
    if let Some(element) = name.strip_prefix("array<").and_then(|rest| rest.strip_suffix('>')) {
        return Some(ArrayType::new(parse(element)?, true).into());
    }
    serde_json::from_value::<PrimitiveType>(name.into()).ok().map(DataType::Primitive)
}

/// The column type that holds every value of a Delta type.
pub(crate) fn widest_type(delta: &DataType) -> Option<ColumnType> {
    let primitive = match delta {
        DataType::Primitive(primitive) => primitive,
        DataType::Array(array) if matches!(array.element_type(), DataType::Primitive(_)) => {
            let element = Box::new(widest_type(array.element_type())?);
            return Some(ColumnType::Array { element, nullable: array.contains_null() });
        }
        _ => return None,
    };
    Some(match primitive {
        PrimitiveType::Byte => ColumnType::Int8,
        PrimitiveType::Short => ColumnType::Int16,
        PrimitiveType::Integer => ColumnType::Int32,
        PrimitiveType::Long => ColumnType::Int64,
        PrimitiveType::Float => ColumnType::Float32,
        PrimitiveType::Double => ColumnType::Float64,
        PrimitiveType::Boolean => ColumnType::Bool,
        PrimitiveType::Date => ColumnType::Date,
        PrimitiveType::Timestamp => ColumnType::DateTime64 { precision: 6 },
        PrimitiveType::Decimal(decimal) => {
            ColumnType::Decimal { precision: decimal.precision(), scale: i8::try_from(decimal.scale()).ok()? }
        }
        PrimitiveType::String => ColumnType::String,
        _ => return None,
    })
}
