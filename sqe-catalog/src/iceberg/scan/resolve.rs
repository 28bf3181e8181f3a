//! Gives the columns of a data file the names that their field ids have in the table's schema, so that everything which
//! later goes by name (projection, row-group and page pruning, bloom filters, nested casts) goes by field id.
//!
//! Apache Iceberg specification, "Column Projection" and "Name Mapping Serialization".

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::{DataType, Fields, Schema};
use iceberg::spec::{MappedField, NameMapping};
use parquet::{
    arrow::PARQUET_FIELD_ID_META_KEY,
    basic::{ConvertedType, LogicalType},
    errors::{ParquetError, Result},
    file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData},
    schema::types::{SchemaDescriptor, Type, TypePtr},
};

/// Starts the names of columns that the table does not know (any more). No schema can hold it: control characters are
/// no part of column names, and a name that did would only be read as absent.
const UNKNOWN: &str = "\u{1}unknown ";

/// The names of a table's fields by id, and the table's name mapping for files without ids.
#[derive(Debug)]
pub(crate) struct FieldNames {
    names: HashMap<i32, String>,
    mapping: Option<NameMapping>,
    fingerprint: u64,
}

impl FieldNames {
    /// Takes the ids from the `PARQUET:field_id` metadata of `schema`; `mapping` is the JSON text of the table property
    /// `schema.name-mapping.default`.
    pub(crate) fn try_new(schema: &Schema, mapping: Option<&str>) -> Result<Self> {
        let mut names = HashMap::new();
        collect(schema.fields(), &mut names);
        let parsed = mapping.map(serde_json::from_str::<NameMapping>).transpose().map_err(|_| {
            ParquetError::General("the table property schema.name-mapping.default is not a name mapping".into())
        })?;
        let mut hasher = DefaultHasher::new();
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort();
        (sorted, mapping).hash(&mut hasher);
        Ok(Self { names, mapping: parsed, fingerprint: hasher.finish() })
    }

    /// Tells apart what one process resolves differently.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The file's metadata under the table's names. Key-value metadata is dropped: an embedded Arrow schema would bind
    /// by position and name to the file's own names, and read types that the table does not have.
    ///
    /// # Errors
    /// If the file carries no field ids and the table has no name mapping.
    pub(crate) fn resolve(&self, metadata: ParquetMetaData) -> Result<ParquetMetaData> {
        let file = metadata.file_metadata();
        let root = file.schema_descr().root_schema();
        let ids = if has_ids(root) {
            Ids::Embedded
        } else if let Some(mapping) = &self.mapping {
            Ids::Mapped(mapping.fields().iter().collect())
        } else {
            return Err(ParquetError::General(
                "a data file carries no field ids and the table has no schema.name-mapping.default; set one".into(),
            ));
        };
        let renamed = self.children(root.get_fields(), &ids)?;
        let descriptor = match renamed {
            None => file.schema_descr_ptr(),
            Some(fields) => Arc::new(SchemaDescriptor::new(Arc::new(
                Type::group_type_builder(root.name()).with_fields(fields).build()?,
            ))),
        };
        let renamed = !Arc::ptr_eq(&descriptor, &file.schema_descr_ptr());
        let resolved = FileMetaData::new(
            file.version(),
            file.num_rows(),
            file.created_by().map(str::to_owned),
            None,
            Arc::clone(&descriptor),
            file.column_orders().cloned(),
        );
        let mut from = metadata.into_builder();
        let mut groups = from.take_row_groups();
        if renamed {
            groups = groups.into_iter().map(|group| regroup(group, &descriptor)).collect::<Result<_>>()?;
        }
        Ok(ParquetMetaDataBuilder::new(resolved)
            .set_row_groups(groups)
            .set_column_index(from.take_column_index())
            .set_offset_index(from.take_offset_index())
            .build())
    }

    /// The fields of a struct under the table's names; `None` if they have them already.
    fn children(&self, fields: &[TypePtr], ids: &Ids<'_>) -> Result<Option<Vec<TypePtr>>> {
        let mut taken = HashSet::with_capacity(fields.len());
        let mut changed = false;
        let mut out = Vec::with_capacity(fields.len());
        for (position, field) in fields.iter().enumerate() {
            let (id, below) = ids.of(field);
            // A second field with the same id is as unknown as one without.
            let name = id.and_then(|id| self.names.get(&id)).filter(|name| taken.insert(name.as_str()));
            let new = match name {
                Some(name) => self.field(field, name, id, &below)?,
                None => Some(rename(field, &format!("{UNKNOWN}{position}"), None, None)?),
            };
            changed |= new.is_some();
            out.push(new.unwrap_or_else(|| Arc::clone(field)));
        }
        Ok(changed.then_some(out))
    }

    /// A field called `name`, and everything below it; `None` if nothing changes.
    fn field(&self, field: &TypePtr, name: &str, id: Option<i32>, ids: &Ids<'_>) -> Result<Option<TypePtr>> {
        let below = if field.is_primitive() { None } else { self.group(field, ids)? };
        // Ids from a name mapping are written into the type: readers of nested types look at them.
        let same_id = id.is_none() || embedded(field) == id;
        if below.is_none() && field.name() == name && same_id {
            return Ok(None);
        }
        rename(field, name, id.or(embedded(field)), below).map(Some)
    }

    /// What lies below a group: a struct's fields, or the inside of a list or map, whose own structure has fixed names.
    fn group(&self, group: &TypePtr, ids: &Ids<'_>) -> Result<Option<Vec<TypePtr>>> {
        let info = group.get_basic_info();
        let list =
            matches!(info.logical_type_ref(), Some(LogicalType::List)) || info.converted_type() == ConvertedType::LIST;
        let map = matches!(info.logical_type_ref(), Some(LogicalType::Map))
            || matches!(info.converted_type(), ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE);
        let [inner] = group.get_fields() else {
            return self.children(group.get_fields(), ids);
        };
        if !list && !map {
            return self.children(group.get_fields(), ids);
        }
        if inner.is_primitive() {
            return Ok(None);
        }
        // Two-level lists (Parquet format, "Backward-compatibility rules"): the repeated group is the element itself.
        let two_level = list
            && (inner.get_fields().len() != 1
                || inner.name() == "array"
                || inner.name() == format!("{}_tuple", group.name()));
        let new = if two_level {
            self.children(inner.get_fields(), &ids.inside("element"))?
        } else {
            let mut changed = false;
            let mut out = Vec::with_capacity(2);
            for (position, part) in inner.get_fields().iter().enumerate() {
                let role = match (list, position) {
                    (true, _) => "element",
                    (false, 0) => "key",
                    (false, _) => "value",
                };
                let (id, below) = ids.part(part, role);
                let new = self.field(part, part.name(), id, &below)?;
                changed |= new.is_some();
                out.push(new.unwrap_or_else(|| Arc::clone(part)));
            }
            changed.then_some(out)
        };
        new.map(|fields| Ok(vec![rename(inner, inner.name(), embedded(inner), Some(fields))?])).transpose()
    }
}

/// Where ids come from.
enum Ids<'a> {
    /// The file's own.
    Embedded,
    /// A name mapping's fields at this level.
    Mapped(Vec<&'a MappedField>),
}

impl<'a> Ids<'a> {
    /// A field's id, and where the ids below it come from.
    fn of(&self, field: &Type) -> (Option<i32>, Ids<'a>) {
        match self {
            Self::Embedded => (embedded(field), Self::Embedded),
            Self::Mapped(fields) => Self::mapped(fields, field.name()),
        }
    }

    /// The same for a part of a list or map, which a mapping calls by its role.
    fn part(&self, part: &Type, role: &str) -> (Option<i32>, Ids<'a>) {
        match self {
            Self::Embedded => (embedded(part), Self::Embedded),
            Self::Mapped(fields) => Self::mapped(fields, role),
        }
    }

    fn inside(&self, role: &str) -> Ids<'a> {
        match self {
            Self::Embedded => Self::Embedded,
            Self::Mapped(fields) => Self::mapped(fields, role).1,
        }
    }

    fn mapped(fields: &[&'a MappedField], name: &str) -> (Option<i32>, Ids<'a>) {
        match fields.iter().find(|mapped| mapped.names().iter().any(|known| known == name)) {
            Some(mapped) => (mapped.field_id(), Self::Mapped(mapped.fields().iter().map(AsRef::as_ref).collect())),
            None => (None, Self::Mapped(Vec::new())),
        }
    }
}

/// Names of top-level columns and of struct fields. Elements, keys and values have none of their own.
fn collect(fields: &Fields, names: &mut HashMap<i32, String>) {
    for field in fields {
        if let Some(id) = field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok()) {
            names.insert(id, field.name().clone());
        }
        inside(field.data_type(), names);
    }
}

fn inside(ty: &DataType, names: &mut HashMap<i32, String>) {
    match ty {
        DataType::Struct(fields) => collect(fields, names),
        DataType::List(item) | DataType::LargeList(item) => inside(item.data_type(), names),
        DataType::Map(entries, _) => {
            if let DataType::Struct(pair) = entries.data_type() {
                pair.iter().for_each(|part| inside(part.data_type(), names));
            }
        }
        _ => {}
    }
}

fn embedded(field: &Type) -> Option<i32> {
    let info = field.get_basic_info();
    info.has_id().then(|| info.id())
}

fn has_ids(group: &Type) -> bool {
    group.get_fields().iter().any(|field| embedded(field).is_some() || (!field.is_primitive() && has_ids(field)))
}

/// The same type under another name, with another id, and for groups possibly with other fields.
fn rename(field: &Type, name: &str, id: Option<i32>, fields: Option<Vec<TypePtr>>) -> Result<TypePtr> {
    let info = field.get_basic_info();
    let built = match field {
        Type::PrimitiveType { physical_type, type_length, scale, precision, .. } => {
            Type::primitive_type_builder(name, *physical_type)
                .with_repetition(info.repetition())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_length(*type_length)
                .with_precision(*precision)
                .with_scale(*scale)
                .with_id(id)
                .build()?
        }
        Type::GroupType { fields: old, .. } => Type::group_type_builder(name)
            .with_repetition(info.repetition())
            .with_converted_type(info.converted_type())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_fields(fields.unwrap_or_else(|| old.clone()))
            .with_id(id)
            .build()?,
    };
    Ok(Arc::new(built))
}

/// A row group under the new schema; its column chunks are told apart by position.
fn regroup(group: RowGroupMetaData, descriptor: &Arc<SchemaDescriptor>) -> Result<RowGroupMetaData> {
    let mut builder = RowGroupMetaData::builder(Arc::clone(descriptor))
        .set_num_rows(group.num_rows())
        .set_total_byte_size(group.total_byte_size())
        .set_sorting_columns(group.sorting_columns().cloned());
    if let Some(ordinal) = group.ordinal() {
        builder = builder.set_ordinal(ordinal);
    }
    if let Some(offset) = group.file_offset() {
        builder = builder.set_file_offset(offset);
    }
    builder.set_column_metadata(group.into_builder().take_columns()).build()
}
