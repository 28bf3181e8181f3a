//! Casts structs, lists and maps of a file to those of the table. Fields have the table's names by then, so going by
//! name is going by field id.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, LargeListArray, ListArray, MapArray, StructArray, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, FieldRef, Fields, Schema},
    record_batch::RecordBatch,
    util::display::FormatOptions,
};
use datafusion::{
    common::{exec_err, not_impl_err},
    error::Result,
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
};

/// Whether values of type `file` may be read as `table` (Apache Iceberg specification, "Schema Evolution"), apart from
/// differences of representation, such as views and lengths of offsets.
pub(crate) fn readable(file: &DataType, table: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Decimal32, Decimal64, Decimal128, Dictionary, FixedSizeBinary, Float16, Float32,
        Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeList, LargeUtf8, List, Map, Struct, Time32, Time64,
        Timestamp, UInt8, UInt16, UInt32, Utf8, Utf8View,
    };
    match (file, table) {
        (file, table) if file == table => true,
        (Int8 | Int16 | UInt8 | UInt16, Int32 | Int64) | (Int32 | UInt32, Int64) => true,
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s), Decimal128(to, scale)) => s == scale && p <= to,
        (Date32, Timestamp(_, None)) => true,
        // Writers of whole milliseconds or seconds; and nanoseconds of INT96, whose unit the file does not choose.
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        (Time32(_) | Time64(_), Time64(_)) => true,
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        // Text of old writers lacks its annotation; text that is none makes the read fail.
        (Binary | LargeBinary | BinaryView, Utf8 | LargeUtf8 | Utf8View) => true,
        (Utf8 | LargeUtf8 | Utf8View, Binary | LargeBinary | BinaryView) => true,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (FixedSizeBinary(_), Binary | LargeBinary | BinaryView) => true,
        (Dictionary(_, value), table) => readable(value, table),
        (List(from) | LargeList(from), List(to) | LargeList(to)) => readable(from.data_type(), to.data_type()),
        (Map(from, _), Map(to, _)) => match (from.data_type(), to.data_type()) {
            (Struct(from), Struct(to)) => {
                from.len() == 2
                    && to.len() == 2
                    && from.iter().zip(to).all(|(from, to)| readable(from.data_type(), to.data_type()))
            }
            _ => false,
        },
        (Struct(from), Struct(to)) => to.iter().all(|field| match from.find(field.name()) {
            Some((_, inner)) => readable(inner.data_type(), field.data_type()),
            None => field.is_nullable(),
        }),
        _ => false,
    }
}

/// Casts `input` to the table's type of a column.
#[derive(Debug, Clone, Eq)]
pub(crate) struct NestedCast {
    pub(crate) input: Arc<dyn PhysicalExpr>,
    pub(crate) field: FieldRef,
}

impl PartialEq for NestedCast {
    fn eq(&self, other: &Self) -> bool {
        self.input.eq(&other.input) && self.field == other.field
    }
}

impl Hash for NestedCast {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.field.hash(state);
    }
}

impl fmt::Display for NestedCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "READ({} AS {})", self.input, self.field.data_type())
    }
}

impl PhysicalExpr for NestedCast {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.input.nullable(input_schema)
    }

    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(cast(&array, self.field.data_type())?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, field: Arc::clone(&self.field) })),
            _ => exec_err!("a nested cast has exactly one input"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match to {
        DataType::Struct(fields) => match array.as_struct_opt() {
            Some(from) => structs(from, fields),
            None => not_impl_err!("a column of type {} cannot be read as {to}", array.data_type()),
        },
        DataType::List(item) => {
            // Longer offsets are narrowed by arrow; the items go below.
            let lists = match array.as_list_opt::<i32>() {
                Some(lists) => lists.clone(),
                None => plain(array, &same_items(array.data_type(), false)?)?.as_list::<i32>().clone(),
            };
            let (_, offsets, items, nulls) = lists.into_parts();
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, cast(&items, item.data_type())?, nulls)?))
        }
        DataType::LargeList(item) => {
            let lists = match array.as_list_opt::<i64>() {
                Some(lists) => lists.clone(),
                None => plain(array, &same_items(array.data_type(), true)?)?.as_list::<i64>().clone(),
            };
            let (_, offsets, items, nulls) = lists.into_parts();
            Ok(Arc::new(LargeListArray::try_new(Arc::clone(item), offsets, cast(&items, item.data_type())?, nulls)?))
        }
        DataType::Map(entries, ordered) => {
            let (Some(from), DataType::Struct(pair)) = (array.as_map_opt(), entries.data_type()) else {
                return not_impl_err!("a column of type {} cannot be read as {to}", array.data_type());
            };
            let (_, offsets, old, nulls, _) = from.clone().into_parts();
            let (_, columns, entry_nulls) = old.into_parts();
            // Keys and values are told apart by position: their names differ between writers.
            let columns = columns
                .iter()
                .zip(pair)
                .map(|(column, field)| cast(column, field.data_type()))
                .collect::<Result<Vec<_>>>()?;
            let new = StructArray::try_new(pair.clone(), columns, entry_nulls)?;
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, new, nulls, *ordered)?))
        }
        _ => plain(array, to),
    }
}

fn structs(from: &StructArray, fields: &Fields) -> Result<ArrayRef> {
    let columns = fields
        .iter()
        .map(|field| match from.column_by_name(field.name()) {
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), from.len())),
        })
        .collect::<Result<Vec<_>>>()?;
    let made = if fields.is_empty() {
        StructArray::new_empty_fields(from.len(), from.nulls().cloned())
    } else {
        StructArray::try_new(fields.clone(), columns, from.nulls().cloned())?
    };
    Ok(Arc::new(made))
}

/// The list type with the items of `list` and other offsets.
fn same_items(list: &DataType, large: bool) -> Result<DataType> {
    match list {
        DataType::List(item) | DataType::LargeList(item) if large => Ok(DataType::LargeList(Arc::clone(item))),
        DataType::List(item) | DataType::LargeList(item) => Ok(DataType::List(Arc::clone(item))),
        other => not_impl_err!("a column of type {other} cannot be read as a list"),
    }
}

fn plain(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    // Not "safe": a value that does not fit is an error and never a NULL.
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    Ok(cast_with_options(array, to, &options)?)
}
