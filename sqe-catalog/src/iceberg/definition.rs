//! The metadata of a table that is about to exist.

use std::{collections::HashMap, str::FromStr};

use arrow::datatypes::{DataType, Schema as ArrowSchema};
use iceberg::{
    TableCreation,
    spec::{FormatVersion, Schema, TableMetadata, TableMetadataBuilder, Transform, UnboundPartitionSpec},
};
use sqe_core::{Error, Result, catalog::NewTable};

use super::{
    error::from_iceberg,
    schema::new_schema,
    table::{OWNER_ISSUER, OWNER_SUBJECT, RESERVED},
};

/// Properties that would move a table's files to where its creator has no business.
const LOCATIONS: [&str; 5] =
    ["location", "write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path"];

/// How deep the types of a column may nest: `INT[][]` is two levels. Metadata is JSON, and what nests deeper than its
/// readers go would be a table that nobody can load again.
const DEEPEST: usize = 32;

/// The metadata of an empty table at `location`, format version 2.
///
/// # Errors
/// `InvalidInput` for columns, partitioning or properties that make no table or one that cannot be loaded, `Unsupported`
/// for types that the format cannot hold, `PermissionDenied` for properties that are the engine's own.
pub fn new_table(new: &NewTable, location: &str) -> Result<TableMetadata> {
    check_nesting(&new.schema)?;
    let schema = new_schema(&new.schema)?;
    let partitioning = partitioning(&schema, &new.partitioning)?;
    let mut properties = HashMap::new();
    for (key, value) in &new.properties {
        if key.starts_with(RESERVED) || LOCATIONS.contains(&key.as_str()) {
            return Err(Error::denied(format!("the table property {key:?} cannot be set here")));
        }
        if properties.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::invalid(format!("the table property {key:?} is given twice")));
        }
    }
    super::write::FileSettings::of(&properties)?;
    properties.insert(OWNER_ISSUER.to_owned(), new.owner.issuer.clone());
    properties.insert(OWNER_SUBJECT.to_owned(), new.owner.subject.clone());
    let creation = TableCreation::builder()
        .name(new.name.table.clone())
        .location(location.to_owned())
        .schema(schema)
        .partition_spec(partitioning)
        .properties(properties)
        .format_version(FormatVersion::V2)
        .build();
    let built = TableMetadataBuilder::from_table_creation(creation).and_then(TableMetadataBuilder::build);
    let metadata = built.map(|built| built.metadata).map_err(|error| match error.kind() {
        iceberg::ErrorKind::DataInvalid => {
            Error::invalid(format!("the table's definition is not possible: {}", error.message())).with_source(error)
        }
        _ => from_iceberg(error, "define the table"),
    })?;
    check_readable(&metadata)?;
    Ok(metadata)
}

/// # Errors
/// `InvalidInput` for a column whose type is too deep.
pub(crate) fn check_nesting(schema: &ArrowSchema) -> Result<()> {
    match schema.fields().iter().find(|field| nests_deeper(field.data_type(), DEEPEST)) {
        Some(field) => Err(Error::invalid(format!(
            "the type of column {:?} nests deeper than {DEEPEST} levels; flatten it",
            field.name()
        ))),
        None => Ok(()),
    }
}

fn nests_deeper(ty: &DataType, levels: usize) -> bool {
    let inner = |ty: &DataType| match levels.checked_sub(1) {
        Some(left) => nests_deeper(ty, left),
        None => true,
    };
    match ty {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => inner(item.data_type()),
        DataType::Struct(fields) => levels == 0 || fields.iter().any(|field| inner(field.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => levels == 0 || pair.iter().any(|field| inner(field.data_type())),
            other => inner(other),
        },
        DataType::Dictionary(_, value) => inner(value),
        _ => false,
    }
}

/// What is written must be read back as it is.
fn check_readable(metadata: &TableMetadata) -> Result<()> {
    let refuse = || Error::invalid("the table's definition could be written and not be read again; simplify it");
    let text = serde_json::to_vec(metadata).map_err(|error| refuse().with_source(error))?;
    let read: TableMetadata = serde_json::from_slice(&text).map_err(|error| refuse().with_source(error))?;
    if read == *metadata { Ok(()) } else { Err(refuse()) }
}

fn partitioning(schema: &Schema, fields: &[(String, String)]) -> Result<UnboundPartitionSpec> {
    let mut builder = UnboundPartitionSpec::builder();
    for (transform, column) in fields {
        let field = schema.field_by_name(column);
        let field = field.ok_or_else(|| Error::invalid(format!("there is no column {column:?} to partition by")))?;
        let parsed = parse(transform)?;
        parsed.result_type(&field.field_type).map_err(|error| {
            Error::invalid(format!("a table cannot be partitioned by {transform}({column}): the type does not fit"))
                .with_source(error)
        })?;
        let shown = avro_name(column);
        let name = match parsed {
            Transform::Identity => shown,
            Transform::Bucket(_) => format!("{shown}_bucket"),
            Transform::Truncate(_) => format!("{shown}_trunc"),
            other => format!("{shown}_{other}"),
        };
        builder = builder.add_partition_field(field.id, name, parsed).map_err(|error| {
            Error::invalid(format!("the partitioning {transform}({column}) is not possible")).with_source(error)
        })?;
    }
    Ok(builder.build())
}

/// Whether a partition field may have this name: manifests keep its values in an Avro record (Avro specification, "Names").
pub(crate) fn is_avro_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A column's name as the name of a partition field, with other characters as their numbers.
fn avro_name(column: &str) -> String {
    let mut name = String::new();
    for c in column.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '_' => name.push(c),
            '0'..='9' if !name.is_empty() => name.push(c),
            '0'..='9' => name.extend(['_', c]),
            other => name.push_str(&format!("_x{:X}", u32::from(other))),
        }
    }
    name
}

fn parse(transform: &str) -> Result<Transform> {
    let refuse = || {
        Error::invalid(format!(
            "{transform:?} is not a partition transform; use identity, bucket[n], truncate[n], year, month, day or hour"
        ))
    };
    match Transform::from_str(transform).map_err(|error| refuse().with_source(error))? {
        Transform::Unknown | Transform::Void => Err(refuse()),
        Transform::Bucket(n) | Transform::Truncate(n) if n == 0 || i32::try_from(n).is_err() => Err(refuse()),
        parsed => Ok(parsed),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};
    use rstest::rstest;
    use sqe_core::{ErrorKind, Principal, TableName};

    use super::*;

    fn definition(partitioning: &[(&str, &str)], properties: &[(&str, &str)]) -> Result<TableMetadata> {
        let columns = vec![
            Field::new("id", DataType::Int64, false),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("name", DataType::Utf8View, true),
            Field::new("price", DataType::Float64, true),
        ];
        let name = TableName::new("lake", "s", "t");
        let mut new = NewTable::new(name, Arc::new(ArrowSchema::new(columns)), Principal::new("idp", "alice"));
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        new.partitioning = owned(partitioning);
        new.properties = owned(properties);
        new_table(&new, "file:///w/s/t")
    }

    #[test]
    fn every_transform_becomes_a_partition_field() {
        let spec = [("bucket[16]", "id"), ("day", "at"), ("truncate[2]", "name"), ("identity", "name")];
        let metadata = definition(&spec, &[("comment", "x")]).unwrap();
        let names: Vec<_> =
            metadata.default_partition_spec().fields().iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["id_bucket", "at_day", "name_trunc", "name"]);
        assert_eq!(metadata.format_version(), FormatVersion::V2);
        assert_eq!(metadata.properties()[OWNER_SUBJECT], "alice");
        for unit in ["year", "month", "hour"] {
            assert!(definition(&[(unit, "at")], &[]).is_ok(), "{unit}");
        }
    }

    #[rstest]
    #[case("bucket[0]", "id")]
    #[case("truncate[0]", "name")]
    #[case("bucket[4294967295]", "id")]
    #[case("void", "id")]
    #[case("zorder", "id")]
    #[case("bucket[4]", "price")]
    #[case("hour", "id")]
    #[case("identity", "missing")]
    fn impossible_partitioning_is_refused(#[case] transform: &str, #[case] column: &str) {
        assert_eq!(definition(&[(transform, column)], &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    fn nested(levels: usize, wrap: fn(Field) -> DataType) -> Result<TableMetadata> {
        let ty = (0..levels).fold(DataType::Int32, |ty, _| wrap(Field::new("item", ty, true)));
        let schema = Arc::new(ArrowSchema::new(vec![Field::new("c", ty, true)]));
        let name = TableName::new("lake", "s", "t");
        new_table(&NewTable::new(name, schema, Principal::new("idp", "alice")), "file:///w/s/t")
    }

    #[rstest]
    #[case::lists(|item| DataType::List(Arc::new(item)))]
    #[case::structs(|item: Field| DataType::Struct(vec![item].into()))]
    #[case::maps(|item: Field| {
        let pair = vec![Field::new("key", DataType::Int32, false), item.with_name("value")];
        DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
    })]
    fn types_nest_as_deep_as_metadata_can_be_read_again(#[case] wrap: fn(Field) -> DataType) {
        assert!(nested(DEEPEST, wrap).is_ok());
        for levels in [DEEPEST + 1, 150, 1000] {
            let error = nested(levels, wrap).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{levels}");
            assert!(error.message().contains("32 levels"), "{error}");
        }
    }

    #[rstest]
    #[case("sqe.owner.subject", ErrorKind::PermissionDenied)]
    #[case("sqe.tags.1", ErrorKind::PermissionDenied)]
    #[case("write.data.path", ErrorKind::PermissionDenied)]
    #[case("format-version", ErrorKind::InvalidInput)]
    #[case("write.parquet.compression-codec", ErrorKind::Unsupported)]
    fn properties_that_are_not_the_creators_are_refused(#[case] key: &str, #[case] kind: ErrorKind) {
        assert_eq!(definition(&[], &[(key, "x")]).unwrap_err().kind(), kind);
    }
}
