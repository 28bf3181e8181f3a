//! Columns in both directions: an Iceberg schema as Arrow, and the columns of a new table as an Iceberg schema.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef, TimeUnit};
use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type};
use sqe_core::{Error, Result};

use super::error::from_iceberg;

/// Metadata key of a field's comment.
const COMMENT: [&str; 2] = ["doc", "comment"];

/// An Iceberg schema as Arrow. Every field, nested ones too, carries its field id as metadata `PARQUET:field_id`.
/// Top-level text and bytes are views, as DataFusion's Parquet source reads them.
///
/// # Errors
/// `Unsupported` for types without an Arrow counterpart.
pub fn arrow_schema(schema: &Schema) -> Result<SchemaRef> {
    let converted = iceberg::arrow::schema_to_arrow_schema(schema)
        .map_err(|error| from_iceberg(error, "read the table's columns"))?;
    let fields = converted.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::LargeBinary | DataType::Binary => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView))
        }
        _ => Arc::clone(field),
    });
    Ok(Arc::new(ArrowSchema::new(fields.collect::<Vec<FieldRef>>())))
}

/// The Iceberg schema of a new table with these columns. Field ids count from 1, top-level columns first; ids that the
/// fields bring along (from the table that they were selected from) mean nothing here.
///
/// # Errors
/// `InvalidInput` for names that are empty or given twice, `Unsupported` for types that the format cannot hold.
pub fn new_schema(schema: &ArrowSchema) -> Result<Schema> {
    if schema.fields().is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    let mut seen = HashSet::new();
    for field in schema.fields() {
        if !seen.insert(field.name().to_lowercase()) {
            return Err(Error::invalid(format!(
                "the column {:?} is given twice (letter case does not count)",
                field.name()
            )));
        }
    }
    let mut ids = Ids(0);
    let fields = ids.fields(schema.fields())?;
    Schema::builder()
        .with_schema_id(0)
        .with_fields(fields)
        .build()
        .map_err(|error| from_iceberg(error, "build the table's columns"))
}

/// Whether values of `given` are stored in a column of the type `wanted` as they are: both are the same type of the
/// format. `INT` from an 8-bit integer and text in any layout fit; what would have to be rounded or cut does not.
pub(crate) fn stored_alike(given: &DataType, wanted: &DataType) -> bool {
    if given.equals_datatype(wanted) {
        return true;
    }
    let normal = |ty: &DataType| {
        let converted = Ids(0).ty("", ty).ok()?;
        iceberg::arrow::type_to_arrow_type(&converted).ok()
    };
    match (normal(given), normal(wanted)) {
        (Some(given), Some(wanted)) => given.equals_datatype(&wanted),
        _ => false,
    }
}

/// Gives out field ids in order: all of one level before those inside of its types.
struct Ids(i32);

impl Ids {
    fn next(&mut self) -> i32 {
        self.0 += 1;
        self.0
    }

    fn fields(&mut self, fields: &[FieldRef]) -> Result<Vec<NestedFieldRef>> {
        let numbered: Vec<_> = fields.iter().map(|field| (self.next(), field)).collect();
        numbered
            .into_iter()
            .map(|(id, field)| {
                if field.name().is_empty() || field.name().chars().any(char::is_control) {
                    return Err(Error::invalid(format!("{:?} is not a name for a column", field.name())));
                }
                self.field(id, field.name(), field)
            })
            .collect()
    }

    fn field(&mut self, id: i32, name: &str, field: &Field) -> Result<NestedFieldRef> {
        let ty = self.ty(name, field.data_type())?;
        let mut nested = NestedField::new(id, name, ty, !field.is_nullable());
        nested.doc = COMMENT.iter().find_map(|key| field.metadata().get(*key)).cloned();
        Ok(Arc::new(nested))
    }

    fn ty(&mut self, name: &str, ty: &DataType) -> Result<Type> {
        Ok(match ty {
            DataType::Struct(fields) => Type::Struct(StructType::new(self.fields(fields)?)),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => {
                let id = self.next();
                Type::List(ListType { element_field: self.field(id, "element", item)? })
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(name, ty, "")) };
                let [key, value] = pair.as_ref() else { return Err(unsupported(name, ty, "")) };
                let (key_id, value_id) = (self.next(), self.next());
                let key = key.as_ref().clone().with_nullable(false);
                Type::Map(MapType {
                    key_field: self.field(key_id, "key", &key)?,
                    value_field: self.field(value_id, "value", value)?,
                })
            }
            DataType::Dictionary(_, value) => self.ty(name, value)?,
            primitive => Type::Primitive(primitive_type(name, primitive)?),
        })
    }
}

fn primitive_type(name: &str, ty: &DataType) -> Result<PrimitiveType> {
    Ok(match ty {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => PrimitiveType::Int,
        DataType::Int64 | DataType::UInt32 => PrimitiveType::Long,
        DataType::UInt64 => return Err(unsupported(name, ty, "; cast it to BIGINT or to DECIMAL(20, 0)")),
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => match u32::try_from(*scale) {
            Ok(scale) => PrimitiveType::Decimal { precision: u32::from(*precision), scale },
            Err(_) => return Err(unsupported(name, ty, "; a negative scale cannot be stored")),
        },
        DataType::Decimal256(_, _) => return Err(unsupported(name, ty, "; cast it to DECIMAL(38, n)")),
        DataType::Date32 => PrimitiveType::Date,
        DataType::Date64 => return Err(unsupported(name, ty, "; cast it to DATE")),
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond) => PrimitiveType::Time,
        DataType::Time64(_) => return Err(unsupported(name, ty, "; cast it to a time of microseconds")),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            return Err(unsupported(name, ty, "; cast it to TIMESTAMP(6), which keeps microseconds"));
        }
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(width) => match u64::try_from(*width) {
            Ok(width) => PrimitiveType::Fixed(width),
            Err(_) => return Err(unsupported(name, ty, "")),
        },
        DataType::Null => return Err(unsupported(name, ty, "; cast the NULL to the type that is meant")),
        _ => return Err(unsupported(name, ty, "")),
    })
}

fn unsupported(name: &str, ty: &DataType, advice: &str) -> Error {
    Error::unsupported(format!("column {name:?} cannot be stored with the type {ty}{advice}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn id(field: &Field) -> i32 {
        field.metadata()["PARQUET:field_id"].parse().unwrap()
    }

    #[test]
    fn new_tables_get_fresh_ids_top_level_first_and_keep_comments() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let pair = DataType::Struct(vec![Field::new("x", DataType::Int8, false), Field::new("l", list, true)].into());
        let stale = [("PARQUET:field_id".to_owned(), "77".to_owned()), ("doc".to_owned(), "the pair".to_owned())];
        let columns = ArrowSchema::new(vec![
            Field::new("p", pair, false).with_metadata(stale.into()),
            Field::new("t", DataType::Timestamp(TimeUnit::Second, Some("Europe/Oslo".into())), true),
        ]);
        let schema = new_schema(&columns).unwrap();
        let arrow = arrow_schema(&schema).unwrap();
        assert_eq!((id(arrow.field(0)), id(arrow.field(1))), (1, 2));
        let DataType::Struct(inner) = arrow.field(0).data_type() else { panic!("not a struct") };
        assert_eq!((id(&inner[0]), id(&inner[1])), (3, 4));
        assert_eq!(inner[0].data_type(), &DataType::Int32);
        let DataType::List(element) = inner[1].data_type() else { panic!("not a list") };
        assert_eq!((element.name().as_str(), id(element)), ("element", 5));
        assert_eq!(arrow.field(1).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())));
        assert_eq!(schema.field_by_id(1).unwrap().doc.as_deref(), Some("the pair"));
        assert!(schema.field_by_id(1).unwrap().required);
    }

    #[rstest]
    #[case(DataType::UInt64, "DECIMAL(20, 0)")]
    #[case(DataType::Timestamp(TimeUnit::Nanosecond, None), "TIMESTAMP(6)")]
    #[case(DataType::Decimal256(50, 2), "DECIMAL(38, n)")]
    #[case(DataType::Null, "cast the NULL")]
    #[case(DataType::Duration(TimeUnit::Second), "cannot be stored")]
    fn types_that_the_format_lacks_are_refused_with_advice(#[case] ty: DataType, #[case] advice: &str) {
        let error = new_schema(&ArrowSchema::new(vec![Field::new("c", ty, true)])).unwrap_err();
        assert_eq!(error.kind(), sqe_core::ErrorKind::Unsupported);
        assert!(error.message().contains(advice), "{error}");
    }

    #[rstest]
    #[case(DataType::Utf8, DataType::Utf8View, true)]
    #[case(DataType::Int8, DataType::Int32, true)]
    #[case(DataType::Timestamp(TimeUnit::Second, None), DataType::Timestamp(TimeUnit::Microsecond, None), true)]
    #[case(DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Timestamp(TimeUnit::Microsecond, None), false)]
    #[case(DataType::Int64, DataType::Int32, false)]
    #[case(DataType::Int32, DataType::Utf8View, false)]
    #[case(DataType::Decimal128(10, 2), DataType::Decimal128(10, 3), false)]
    fn only_what_is_stored_unchanged_fits_a_column(
        #[case] given: DataType,
        #[case] wanted: DataType,
        #[case] fits: bool,
    ) {
        assert_eq!(stored_alike(&given, &wanted), fits);
    }

    #[rstest]
    #[case(&["a", "A"])]
    #[case(&[""])]
    #[case(&[])]
    fn bad_column_names_are_refused(#[case] names: &[&str]) {
        let fields: Vec<_> = names.iter().map(|name| Field::new(*name, DataType::Int32, true)).collect();
        let error = new_schema(&ArrowSchema::new(fields)).unwrap_err();
        assert_eq!(error.kind(), sqe_core::ErrorKind::InvalidInput);
    }
}
