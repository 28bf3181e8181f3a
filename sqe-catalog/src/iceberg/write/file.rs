//! One open data file.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float32Type, Float64Type, SchemaRef},
    record_batch::RecordBatch,
};
use object_store::{ObjectStore, buffered::BufWriter};
use parquet::{
    arrow::{
        ArrowSchemaConverter, AsyncArrowWriter, arrow_writer::ArrowWriterOptions, async_writer::ParquetObjectWriter,
    },
    errors::ParquetError,
};
use sqe_core::{Error, Result};

use super::{WriteSpec, metrics::describe, staged::StagedFile};
use crate::iceberg::{error::from_store, io::store_path};

/// A data file that rows are being written to. Dropping it abandons the upload: no file appears.
pub(super) struct OpenFile {
    writer: AsyncArrowWriter<ParquetObjectWriter>,
    location: String,
    partition: Vec<Option<Vec<u8>>>,
    nans: BTreeMap<i32, u64>,
}

impl OpenFile {
    pub(super) fn create(
        spec: &WriteSpec,
        schema: &SchemaRef,
        store: &Arc<dyn ObjectStore>,
        location: String,
        partition: Vec<Option<Vec<u8>>>,
    ) -> Result<Self> {
        let sink = ParquetObjectWriter::from_buf_writer(BufWriter::new(Arc::clone(store), store_path(&location)?));
        // Readers take the columns' types from the table: an embedded Arrow schema would only tell them of views.
        let columns = ArrowSchemaConverter::new().schema_root("table").convert(schema).map_err(failed)?;
        let options = ArrowWriterOptions::new()
            .with_properties(spec.settings.writer_properties()?)
            .with_parquet_schema(columns)
            .with_skip_arrow_metadata(true);
        let writer = AsyncArrowWriter::try_new_with_options(sink, Arc::clone(schema), options).map_err(failed)?;
        let nans = schema.fields().iter().filter(|field| field.data_type().is_floating()).filter_map(field_id);
        Ok(Self { writer, location, partition, nans: nans.map(|id| (id, 0)).collect() })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let Some(count) = field_id(field).and_then(|id| self.nans.get_mut(&id)) else { continue };
            *count += nans(column.as_ref());
        }
        self.writer.write(batch).await.map_err(failed)
    }

    /// Bytes on their way to the storage and an estimate of those not encoded yet.
    pub(super) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Bytes of memory that the file's unfinished row group holds.
    pub(super) fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    /// Ends the present row group and so frees its memory.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.writer.flush().await.map_err(failed)
    }

    /// Completes the file and describes it.
    pub(super) async fn close(mut self, spec: &WriteSpec) -> Result<StagedFile> {
        let footer = self.writer.finish().await.map_err(failed)?;
        let mut file = describe(&footer, &spec.schema)?;
        file.path = self.location;
        file.bytes = self.writer.bytes_written() as u64;
        file.partition = self.partition;
        file.nans = self.nans;
        Ok(file)
    }
}

fn field_id(field: &Arc<arrow::datatypes::Field>) -> Option<i32> {
    field.metadata().get(parquet::arrow::PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

fn nans(column: &dyn Array) -> u64 {
    let count = match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().flatten().filter(|v| v.is_nan()).count(),
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().flatten().filter(|v| v.is_nan()).count(),
        _ => 0,
    };
    count as u64
}

fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
            Ok(store) => from_store(*store, "write a data file"),
            Err(inner) => match inner.downcast::<std::io::Error>() {
                Ok(io) => from_io(*io),
                Err(inner) => Error::unavailable("a data file cannot be written").with_source(inner),
            },
        },
        other => Error::internal("a data file cannot be encoded").with_source(other),
    }
}

/// The buffered writer hands a store's errors over as those of files.
fn from_io(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Error::denied("the storage refused to write a data file"),
        _ => Error::unavailable("a data file cannot be written to the storage").with_source(error),
    }
}
