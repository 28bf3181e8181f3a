//! The description of a written file on its way from the machine that wrote it to the commit.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray, StringArray},
    datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef},
    record_batch::RecordBatch,
};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, PartitionSpec, PrimitiveType, Schema,
    Struct,
};
use serde::{Deserialize, Serialize};
use sqe_core::{Error, Result};

use crate::iceberg::error::from_iceberg;

/// Binary single-value serialization of the format's specification, by field id.
pub(super) type Bounds = BTreeMap<i32, Vec<u8>>;

/// One written data file. Counts are by field id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StagedFile {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// One value a field of the partition spec, single-value serialized; `None` is NULL.
    pub(super) partition: Vec<Option<Vec<u8>>>,
    pub(super) column_bytes: BTreeMap<i32, u64>,
    pub(super) values: BTreeMap<i32, u64>,
    pub(super) nulls: BTreeMap<i32, u64>,
    pub(super) nans: BTreeMap<i32, u64>,
    pub(super) lower: Bounds,
    pub(super) upper: Bounds,
    /// Where row groups begin.
    pub(super) offsets: Vec<i64>,
}

/// The schema of the sink's output: one JSON text a file.
pub(super) fn schema() -> SchemaRef {
    Arc::new(ArrowSchema::new(vec![Field::new("file", DataType::Utf8, false)]))
}

/// One row for one file.
pub(super) fn encode(file: &StagedFile) -> Result<RecordBatch> {
    let text = serde_json::to_string(file)
        .map_err(|error| Error::internal("a written file cannot be described").with_source(error))?;
    Ok(RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(vec![text]))])?)
}

/// All files of a sink's output.
pub(super) fn decode(batches: &[RecordBatch]) -> Result<Vec<StagedFile>> {
    let broken = || Error::internal("a description of a written file cannot be understood");
    let mut files = Vec::new();
    for batch in batches {
        let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>()).ok_or_else(broken)?;
        if column.null_count() > 0 {
            return Err(broken());
        }
        for text in column.iter().flatten() {
            files.push(serde_json::from_str(text).map_err(|error| broken().with_source(error))?);
        }
    }
    Ok(files)
}

impl StagedFile {
    /// The manifest's form of this description.
    pub(super) fn data_file(self, schema: &Schema, spec: &PartitionSpec) -> Result<DataFile> {
        let partition = self.partition_values(schema, spec)?;
        let (lower, upper) = (bounds(schema, self.lower)?, bounds(schema, self.upper)?);
        let mut builder = DataFileBuilder::default();
        builder
            .content(DataContentType::Data)
            .file_path(self.path)
            .file_format(DataFileFormat::Parquet)
            .partition_spec_id(spec.spec_id())
            .partition(partition)
            .record_count(self.rows)
            .file_size_in_bytes(self.bytes)
            .column_sizes(self.column_bytes.into_iter().collect())
            .value_counts(self.values.into_iter().collect())
            .null_value_counts(self.nulls.into_iter().collect())
            .nan_value_counts(self.nans.into_iter().collect())
            .lower_bounds(lower)
            .upper_bounds(upper)
            .split_offsets(Some(self.offsets));
        builder.build().map_err(|error| Error::internal("a written file cannot be described").with_source(error))
    }

    fn partition_values(&self, schema: &Schema, spec: &PartitionSpec) -> Result<Struct> {
        let what = "describe the partition of a written file";
        let ty = spec.partition_type(schema).map_err(|error| from_iceberg(error, what))?;
        if ty.fields().len() != self.partition.len() {
            return Err(Error::internal("a written file is not of the partitioning that was asked for"));
        }
        let literals = self.partition.iter().zip(ty.fields()).map(|(value, field)| {
            let Some(bytes) = value else { return Ok(None) };
            let primitive = field.field_type.as_primitive_type();
            let primitive = primitive.ok_or_else(|| Error::internal("a partition value must be primitive"))?;
            let datum = datum(bytes, primitive)?;
            Ok(Some(Literal::Primitive(datum.literal().clone())))
        });
        Ok(Struct::from_iter(literals.collect::<Result<Vec<_>>>()?))
    }
}

fn bounds(schema: &Schema, bounds: Bounds) -> Result<std::collections::HashMap<i32, Datum>> {
    bounds
        .into_iter()
        .map(|(id, bytes)| {
            let field = schema.field_by_id(id).and_then(|field| field.field_type.as_primitive_type());
            let ty = field.ok_or_else(|| Error::internal("a written file describes a column that the table lacks"))?;
            Ok((id, datum(&bytes, ty)?))
        })
        .collect()
}

fn datum(bytes: &[u8], ty: &PrimitiveType) -> Result<Datum> {
    Datum::try_from_bytes(bytes, ty.clone()).map_err(|error| from_iceberg(error, "describe a written file"))
}
