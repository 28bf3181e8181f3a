//! Rows to the files of their partitions, with a bounded number of open files.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
    },
    record_batch::RecordBatch,
    row::{OwnedRow, RowConverter, SortField},
};
use iceberg::{
    spec::{Datum, PartitionField, PrimitiveType, Type},
    transform::{BoxedTransformFunction, create_transform_function},
};
use object_store::ObjectStore;
use sqe_core::{Error, Result};

use super::{WriteSpec, file::OpenFile, staged::StagedFile};
use crate::iceberg::error::from_iceberg;

/// More partitions than this at once close the file that was written to the longest ago.
const OPEN_FILES: usize = 64;
/// Unfinished row groups of all open files together.
const MEMORY: usize = 256 * 1024 * 1024;
/// Bytes of a partition value that a folder's name shows. The value itself is in the manifest.
const SHOWN: usize = 80;

/// Writes the rows of one task to data files.
pub(super) struct Fanout {
    spec: Arc<WriteSpec>,
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    task: usize,
    begun: usize,
    clock: u64,
    split: Option<Split>,
    open: HashMap<Option<OwnedRow>, (u64, OpenFile)>,
}

/// How a batch is split by partition.
struct Split {
    fields: Vec<SplitField>,
    converter: RowConverter,
}

struct SplitField {
    field: PartitionField,
    column: usize,
    transform: BoxedTransformFunction,
    ty: PrimitiveType,
}

impl Fanout {
    /// `task` is the number of the input partition; it is part of the files' names.
    pub(super) fn try_new(
        spec: Arc<WriteSpec>,
        schema: SchemaRef,
        store: Arc<dyn ObjectStore>,
        task: usize,
    ) -> Result<Self> {
        let split = match spec.partitioning.is_unpartitioned() {
            true => None,
            false => Some(Split::try_new(&spec, &schema)?),
        };
        Ok(Self { spec, schema, store, task, begun: 0, clock: 0, split, open: HashMap::new() })
    }

    /// Writes a batch; returns the files that are complete now.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<Vec<StagedFile>> {
        let mut complete = Vec::new();
        let Some(split) = &mut self.split else {
            self.write_part(None, Vec::new(), batch, &mut complete).await?;
            return Ok(complete);
        };
        for (key, values, part) in split.apply(batch)? {
            self.write_part(Some(key), values, &part, &mut complete).await?;
        }
        Ok(complete)
    }

    /// Completes all open files.
    pub(super) async fn finish(&mut self) -> Result<Vec<StagedFile>> {
        let mut complete = Vec::new();
        for (_, (_, file)) in self.open.drain() {
            complete.push(file.close(&self.spec).await?);
        }
        Ok(complete)
    }

    async fn write_part(
        &mut self,
        key: Option<OwnedRow>,
        values: Vec<Option<Datum>>,
        part: &RecordBatch,
        complete: &mut Vec<StagedFile>,
    ) -> Result<()> {
        self.clock += 1;
        let (clock, target) = (self.clock, self.spec.settings.target_bytes);
        if !self.open.contains_key(&key) {
            if self.open.len() >= OPEN_FILES {
                self.close_oldest(complete).await?;
            }
            let file = self.begin(&values)?;
            self.open.insert(key.clone(), (clock, file));
        }
        if let Some((used, file)) = self.open.get_mut(&key) {
            *used = clock;
            file.write(part).await?;
            if file.bytes() >= target
                && let Some((_, file)) = self.open.remove(&key)
            {
                complete.push(file.close(&self.spec).await?);
            }
        }
        self.bound_memory().await
    }

    async fn close_oldest(&mut self, complete: &mut Vec<StagedFile>) -> Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
        if let Some((_, file)) = oldest.and_then(|key| self.open.remove(&key)) {
            complete.push(file.close(&self.spec).await?);
        }
        Ok(())
    }

    /// Many open files with half-filled row groups: the largest is written out first.
    async fn bound_memory(&mut self) -> Result<()> {
        if self.open.len() > 1 && self.open.values().map(|(_, file)| file.memory()).sum::<usize>() > MEMORY {
            let largest = self.open.values_mut().max_by_key(|(_, file)| file.memory());
            if let Some((_, file)) = largest {
                file.flush().await?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, values: &[Option<Datum>]) -> Result<OpenFile> {
        let mut folder = self.spec.folder.clone();
        if let Some(split) = &self.split {
            for (field, value) in split.fields.iter().zip(values) {
                let shown = value.as_ref().map_or_else(|| "null".to_owned(), |value| human(&field.field, value));
                folder = format!("{folder}/{}={}", escaped(&field.field.name), escaped(&shown));
            }
        }
        let location = format!("{folder}/{:05}-{:05}-{}.parquet", self.task, self.begun, self.spec.id);
        self.begun += 1;
        let encoded = values.iter().map(|value| {
            let bytes = value.as_ref().map(Datum::to_bytes).transpose();
            bytes
                .map(|bytes| bytes.map(|bytes| bytes.into_vec()))
                .map_err(|error| from_iceberg(error, "partition rows"))
        });
        let partition = encoded.collect::<Result<_>>()?;
        OpenFile::create(&self.spec, &self.schema, &self.store, location, partition)
    }
}

impl Split {
    fn try_new(spec: &WriteSpec, schema: &SchemaRef) -> Result<Self> {
        let what = "partition rows";
        let columns = spec.schema.as_struct();
        let fields = spec.partitioning.fields().iter().map(|field| {
            let column = columns.fields().iter().position(|column| column.id == field.source_id).ok_or_else(|| {
                Error::unsupported(format!(
                    "the table is partitioned by a column inside of another one ({}), which cannot be written here",
                    field.name
                ))
            })?;
            let source = columns.fields().get(column).map(|column| column.field_type.as_ref());
            let source = source.ok_or_else(|| Error::internal("a partition column is missing"))?;
            let ty = field.transform.result_type(source).map_err(|error| from_iceberg(error, what))?;
            let Type::Primitive(ty) = ty else {
                return Err(Error::unsupported("a table cannot be partitioned by a nested column"));
            };
            let transform = create_transform_function(&field.transform).map_err(|error| from_iceberg(error, what))?;
            Ok(SplitField { field: field.clone(), column, transform, ty })
        });
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let sorts = fields.iter().map(|field| {
            let ty = iceberg::arrow::type_to_arrow_type(&Type::Primitive(field.ty.clone()));
            let source = schema.fields().get(field.column).map(|column| column.data_type().clone());
            let void = matches!(field.field.transform, iceberg::spec::Transform::Void);
            let ty = ty.map_err(|error| from_iceberg(error, what))?;
            Ok(SortField::new(if void { plain(&source.unwrap_or(DataType::Null)) } else { plain(&ty) }))
        });
        let converter = RowConverter::new(sorts.collect::<Result<_>>()?)?;
        Ok(Self { fields, converter })
    }

    /// The batch's parts, each with its partition's key and values.
    #[expect(clippy::type_complexity, reason = "the three belong together only on this way")]
    fn apply(&mut self, batch: &RecordBatch) -> Result<Vec<(OwnedRow, Vec<Option<Datum>>, RecordBatch)>> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let source = batch.columns().get(field.column);
            let source = source.ok_or_else(|| Error::internal("a partition column is missing"))?;
            let source = cast(source, &plain(source.data_type()))?;
            let values = field.transform.transform(source).map_err(|error| from_iceberg(error, "partition rows"))?;
            columns.push(cast(&values, &plain(values.data_type()))?);
        }
        let rows = self.converter.convert_columns(&columns)?;
        let mut groups: HashMap<OwnedRow, Vec<u32>> = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            let index = u32::try_from(index).map_err(|_| Error::internal("a batch has too many rows"))?;
            groups.entry(row.owned()).or_default().push(index);
        }
        let whole = groups.len() == 1;
        let mut parts = Vec::with_capacity(groups.len());
        for (key, indices) in groups {
            let first = indices.first().copied().unwrap_or_default() as usize;
            let values = self.fields.iter().zip(&columns).map(|(field, column)| field.value(column, first));
            let values = values.collect::<Result<_>>()?;
            let part = if whole { batch.clone() } else { take_record_batch(batch, &UInt32Array::from(indices))? };
            parts.push((key, values, part));
        }
        Ok(parts)
    }
}

impl SplitField {
    fn value(&self, column: &ArrayRef, row: usize) -> Result<Option<Datum>> {
        let single = column.slice(row, 1);
        if single.is_null(0) {
            return Ok(None);
        }
        let expected = iceberg::arrow::type_to_arrow_type(&Type::Primitive(self.ty.clone()))
            .map_err(|error| from_iceberg(error, "partition rows"))?;
        let single = cast(&single, &plain(&expected))?;
        let bytes = single_value(&single).ok_or_else(|| {
            Error::unsupported(format!("a partition value of the type {} cannot be written here", self.ty))
        })?;
        Datum::try_from_bytes(&bytes, self.ty.clone()).map(Some).map_err(|error| from_iceberg(error, "partition rows"))
    }
}

/// The first value, in the specification's binary single-value serialization.
fn single_value(array: &ArrayRef) -> Option<Vec<u8>> {
    let array = array.as_ref();
    Some(match array.data_type() {
        DataType::Boolean => vec![u8::from(array.as_boolean().value(0))],
        DataType::Int32 => array.as_primitive::<Int32Type>().value(0).to_le_bytes().to_vec(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(0).to_le_bytes().to_vec(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(0).to_le_bytes().to_vec(),
        DataType::Time64(TimeUnit::Microsecond) => {
            array.as_primitive::<Time64MicrosecondType>().value(0).to_le_bytes().to_vec()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().value(0).to_le_bytes().to_vec()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().value(0).to_le_bytes().to_vec()
        }
        DataType::Float32 => array.as_primitive::<Float32Type>().value(0).to_le_bytes().to_vec(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(0).to_le_bytes().to_vec(),
        DataType::Decimal128(_, _) => array.as_primitive::<Decimal128Type>().value(0).to_be_bytes().to_vec(),
        DataType::Utf8 => array.as_string::<i32>().value(0).as_bytes().to_vec(),
        DataType::Binary => array.as_binary::<i32>().value(0).to_vec(),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(0).to_vec(),
        _ => return None,
    })
}

/// The types that transforms know: no views and no large offsets.
fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        other => other.clone(),
    }
}

fn human(field: &PartitionField, value: &Datum) -> String {
    let ty = Type::Primitive(value.data_type().clone());
    let literal = iceberg::spec::Literal::Primitive(value.literal().clone());
    field.transform.to_human_string(&ty, Some(&literal))
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3), so that no value makes a path, and cuts
/// what would be too long for a folder's name.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if out.len() >= SHOWN {
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
