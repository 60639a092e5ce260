//! Column types to Delta types and back.
//!
//! Delta knows fewer types than a data source does (`UInt8` is a `short`, `DateTime` a `timestamp`), so each field also
//! carries what it was made from. The field's metadata is the place, and not a table property, because a column that is
//! added later brings its own. What a field says counts only as long as it agrees with the field's Delta type: another
//! program may have widened the column since.

use std::path::Path;

use connector_core::schema::{Column, PROVENANCE_COLUMNS, TableSchema};
use connector_core::types::ColumnType;
use delta_kernel::schema::{DataType, MetadataValue, PrimitiveType, StructField, StructType};

use crate::error::DeltaError;

/// The column's type, as [`ColumnType`] prints it.
const TYPE_KEY: &str = "s3_connector.type";
/// The column's name in files, where it differs from its name in the table.
const SOURCE_KEY: &str = "s3_connector.source";
/// The literal for empty cells.
const DEFAULT_KEY: &str = "s3_connector.default";
/// What other programs show as the column's comment.
const COMMENT_KEY: &str = "comment";

/// The Delta schema of a table: its data columns, then the provenance columns.
pub(crate) fn to_delta(table: &Path, schema: &TableSchema) -> Result<StructType, DeltaError> {
    let bad = |why: String| DeltaError::BadSchema { table: table.to_owned(), why };
    let mut fields = Vec::with_capacity(schema.columns.len() + PROVENANCE_COLUMNS.len());
    for column in &schema.columns {
        let delta = delta_type(column.ty).ok_or_else(|| {
            bad(format!("column '{}' is {}, for which Delta Lake has no type", column.name, column.ty))
        })?;
        let field = StructField::new(&column.name, delta, column.nullable);
        fields.push(field.with_metadata(field_metadata(column)));
    }
    // Nullable for the sake of other programs that append to the table; the connector always fills them.
    for name in PROVENANCE_COLUMNS {
        let delta = if name == "_s3_row" { DataType::LONG } else { DataType::STRING };
        fields.push(StructField::nullable(name, delta));
    }
    StructType::try_new(fields).map_err(|error| bad(crate::error::one_line(&error)))
}

/// The data columns of a Delta schema. A column whose type no data source has (another program added it) is left out;
/// data files that lack it are valid, and its rows read as NULL there.
pub(crate) fn from_delta(schema: &StructType) -> TableSchema {
    let fields = schema.fields().filter(|field| !PROVENANCE_COLUMNS.contains(&field.name().as_str()));
    TableSchema::new(fields.filter_map(column).collect())
}

fn field_metadata(column: &Column) -> Vec<(&'static str, MetadataValue)> {
    let mut metadata = vec![(TYPE_KEY, MetadataValue::String(column.ty.to_string()))];
    if column.source != column.name {
        metadata.push((SOURCE_KEY, MetadataValue::String(column.source.clone())));
        metadata.push((COMMENT_KEY, MetadataValue::String(column.source.clone())));
    }
    if let Some(default) = &column.default {
        metadata.push((DEFAULT_KEY, MetadataValue::String(default.clone())));
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
        .filter(|said| delta_type(*said).as_ref() == Some(field.data_type()));
    Some(Column {
        name: field.name().clone(),
        source: text(SOURCE_KEY).unwrap_or_else(|| field.name().clone()),
        ty: said.or_else(|| widest_type(field.data_type()))?,
        nullable: field.is_nullable(),
        default: text(DEFAULT_KEY),
    })
}

/// The Delta type of a column type; the one that [`ColumnType::arrow`] is written as. `None` for a decimal that Delta
/// cannot hold.
fn delta_type(ty: ColumnType) -> Option<DataType> {
    Some(match ty {
        ColumnType::Int8 => DataType::BYTE,
        ColumnType::Int16 | ColumnType::UInt8 => DataType::SHORT,
        ColumnType::Int32 | ColumnType::UInt16 => DataType::INTEGER,
        ColumnType::Int64 | ColumnType::UInt32 => DataType::LONG,
        ColumnType::UInt64 => DataType::decimal(20, 0).ok()?,
        ColumnType::Float32 => DataType::FLOAT,
        ColumnType::Float64 => DataType::DOUBLE,
        ColumnType::Bool => DataType::BOOLEAN,
        ColumnType::Date => DataType::DATE,
        ColumnType::DateTime | ColumnType::DateTime64 { .. } => DataType::TIMESTAMP,
        ColumnType::Decimal { precision, scale } => DataType::decimal(precision, u8::try_from(scale).ok()?).ok()?,
        ColumnType::String => DataType::STRING,
    })
}

/// The column type that holds every value of a Delta type.
fn widest_type(delta: &DataType) -> Option<ColumnType> {
    let DataType::Primitive(primitive) = delta else { return None };
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
