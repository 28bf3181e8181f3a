//! What is known about a data file, for DataFusion: for its optimizer, and for the Parquet source, which replaces a
//! column by its only value where that is certain.

use std::collections::HashMap;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics, stats::Precision};
use iceberg::spec::{DataFile, PartitionSpec, PrimitiveLiteral, Transform};

use super::{
    field_id,
    prune::{is_float, partition},
    scalar,
};

/// Statistics of a whole file over the table's columns.
///
/// Row counts are exact, for files without deletes. Bounds are exact for types of fixed width without NaN; text and
/// bytes are cut by writers. The value of an identity partition is every row's value, also in files that do not store
/// the column (specification, "Column Projection").
pub(crate) fn of_file(file: &DataFile, spec: &PartitionSpec, schema: &SchemaRef) -> Statistics {
    let rows = usize::try_from(file.record_count()).ok();
    let identities: HashMap<i32, Option<&PrimitiveLiteral>> = partition(spec, file.partition())
        .filter(|((_, transform), _)| *transform == Transform::Identity)
        .map(|((source, _), value)| (source, value))
        .collect();
    let column_statistics = schema
        .fields()
        .iter()
        .map(|field| {
            let ty = field.data_type();
            let Some(id) = field_id(field).filter(|_| !ty.is_nested()) else {
                return ColumnStatistics::new_unknown();
            };
            let constant = identities.get(&id).and_then(|value| constant(*value, ty, rows));
            let mut found = constant.unwrap_or_else(|| measured(file, id, ty));
            found.byte_size = match (ty.primitive_width(), rows, file.column_sizes().get(&id)) {
                (Some(width), Some(rows), _) => Precision::Exact(width.saturating_mul(rows)),
                (None, _, Some(bytes)) => usize::try_from(*bytes).map_or(Precision::Absent, Precision::Inexact),
                _ => Precision::Absent,
            };
            found
        })
        .collect();
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        // DataFusion adds up the widths of the columns that are read, where all have one. Where texts are among them it
        // would take what stands here, and the size of the whole file makes a join deal out what it could hold at once.
        total_byte_size: Precision::Absent,
        column_statistics,
    }
}

/// A column that has the same value in all rows. `None` if the value does not fit the column's type.
fn constant(value: Option<&PrimitiveLiteral>, ty: &DataType, rows: Option<usize>) -> Option<ColumnStatistics> {
    let Some(literal) = value else {
        return Some(ColumnStatistics { null_count: Precision::Exact(rows?), ..ColumnStatistics::new_unknown() });
    };
    let value = Precision::Exact(scalar::default(literal, ty)?);
    Some(ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: value.clone(),
        max_value: value,
        ..ColumnStatistics::new_unknown()
    })
}

fn measured(file: &DataFile, id: i32, ty: &DataType) -> ColumnStatistics {
    let rows = file.record_count();
    let nulls = file.null_value_counts().get(&id).copied().filter(|nulls| *nulls <= rows);
    let bound = |datum: Option<&iceberg::spec::Datum>| datum.and_then(|datum| scalar::scalar(datum.literal(), ty));
    let (min, max) = (bound(file.lower_bounds().get(&id)), bound(file.upper_bounds().get(&id)));
    let sane = match (&min, &max) {
        (Some(min), Some(max)) => min <= max,
        _ => true,
    };
    let wrap = |value: Option<ScalarValue>| match value.filter(|_| sane) {
        None => Precision::Absent,
        Some(value) if ty.primitive_width().is_some() && !is_float(ty) => Precision::Exact(value),
        Some(value) if *ty == DataType::Boolean => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
    };
    ColumnStatistics {
        null_count: nulls.and_then(|nulls| usize::try_from(nulls).ok()).map_or(Precision::Absent, Precision::Exact),
        min_value: wrap(min),
        max_value: wrap(max),
        ..ColumnStatistics::new_unknown()
    }
}
