//! One state of one table in memory.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::Array,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::Statistics,
    datasource::memory::MemorySourceConfig,
    physical_plan::{ExecutionPlan, common::compute_record_batch_statistics},
};
use sqe_core::{
    Column, ColumnType, Error, FieldId, Principal, Result, TableId, TableName,
    catalog::{CatalogTable, NewView, ViewDefinition},
    policy::TableFacts,
};
use uuid::Uuid;

const FIELD_ID: &str = "PARQUET:field_id";
/// Rows of the smallest piece that a partition of a scan gets.
const PIECE: usize = 8192;

/// A table at one of its snapshots.
#[derive(Debug, Clone)]
pub(super) struct MemoryTable {
    facts: TableFacts,
    schema: SchemaRef,
    batches: Arc<Vec<RecordBatch>>,
    snapshot: i64,
    view: Option<ViewDefinition>,
}

impl MemoryTable {
    pub(super) fn new(name: TableName, schema: SchemaRef, batches: Vec<RecordBatch>, owner: Option<Principal>) -> Self {
        let columns = schema.fields().iter().zip(1..);
        let columns = columns.map(|(field, id)| {
            Column::new(FieldId(id), field.name(), column_type(field.data_type()), field.is_nullable())
        });
        let facts = TableFacts::new(TableId::new(name, Uuid::new_v4()), columns.collect()).with_owner(owner);
        Self { facts, schema, batches: Arc::new(batches), snapshot: 1, view: None }
    }

    /// A view, which has columns and no rows.
    pub(super) fn view(name: TableName, new: &NewView) -> Self {
        let mut view = Self::new(name, numbered(&new.schema), Vec::new(), Some(new.owner.clone()));
        view.view = Some(new.definition.clone());
        view
    }

    /// The same view with another query.
    pub(super) fn redefined(&self, new: &NewView) -> Self {
        let mut next = Self::view(self.facts.id.name.clone(), new);
        next.facts.id.uuid = self.facts.id.uuid;
        next.facts.owner.clone_from(&self.facts.owner);
        next.snapshot = self.snapshot + 1;
        next
    }

    pub(super) fn is_view(&self) -> bool {
        self.view.is_some()
    }

    pub(super) fn id(&self) -> Uuid {
        self.facts.id.uuid
    }

    /// The same state under the name that the engine gave the catalog.
    pub(super) fn of_catalog(&self, catalog: &str) -> Self {
        let mut named = self.clone();
        catalog.clone_into(&mut named.facts.id.name.catalog);
        named
    }

    /// The next state, with further rows.
    pub(super) fn with_rows(&self, rows: &[RecordBatch]) -> Self {
        let mut next = self.clone();
        let batches = self.batches.iter().chain(rows).filter(|batch| batch.num_rows() > 0);
        next.batches = Arc::new(batches.cloned().collect());
        next.snapshot += 1;
        next
    }

    pub(super) fn with_tags(&self, column: &str, tags: BTreeSet<String>) -> Result<Self> {
        let mut next = self.clone();
        let found = next.facts.columns.iter_mut().find(|candidate| candidate.name == column);
        found.ok_or_else(|| Error::not_found(format!("there is no column {column:?}")))?.tags = tags;
        Ok(next)
    }

    /// A plan over the rows in about equal parts, one a target partition.
    pub(super) fn plan(&self, partitions: usize, projection: Option<&[usize]>) -> Result<Arc<dyn ExecutionPlan>> {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let piece = rows.div_ceil(partitions.max(1)).max(PIECE);
        let mut parts: Vec<Vec<RecordBatch>> = vec![Vec::new()];
        let mut filled = 0;
        for batch in self.batches.iter() {
            let mut start = 0;
            while start < batch.num_rows() {
                if filled == piece {
                    parts.push(Vec::new());
                    filled = 0;
                }
                let taken = (piece - filled).min(batch.num_rows() - start);
                if let Some(last) = parts.last_mut() {
                    last.push(batch.slice(start, taken));
                }
                (start, filled) = (start + taken, filled + taken);
            }
        }
        let projection = projection.map(<[usize]>::to_vec);
        Ok(MemorySourceConfig::try_new_exec(&parts, Arc::clone(&self.schema), projection)?)
    }
}

impl CatalogTable for MemoryTable {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn snapshot(&self) -> Option<i64> {
        Some(self.snapshot)
    }

    fn prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(compute_record_batch_statistics(&[self.batches.as_ref().clone()], &self.schema, None))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn view(&self) -> Option<&ViewDefinition> {
        self.view.as_ref()
    }
}

/// The columns with field ids from 1. Ids that they bring along mean nothing here.
pub(super) fn numbered(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().zip(1_i32..).map(|(field, id)| {
        let metadata = HashMap::from([(FIELD_ID.to_owned(), id.to_string())]);
        Field::new(field.name(), field.data_type().clone(), field.is_nullable()).with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The batch under the table's columns.
pub(super) fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::invalid(format!(
            "the table has {} columns and {} are given",
            schema.fields().len(),
            batch.num_columns()
        )));
    }
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::invalid(format!("column {:?} must not be NULL", field.name())));
        }
        if !column.data_type().equals_datatype(field.data_type()) {
            return Err(Error::invalid(format!(
                "column {:?} has the type {} and {} is given",
                field.name(),
                field.data_type(),
                column.data_type()
            )));
        }
        Ok(cast(column, field.data_type())?)
    });
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<_>>>()?)?)
}

fn column_type(ty: &DataType) -> ColumnType {
    match ty {
        DataType::Boolean => ColumnType::Boolean,
        ty if ty.is_integer() => ColumnType::Integer,
        ty if ty.is_floating() => ColumnType::Float,
        ty if ty.is_decimal() => ColumnType::Decimal,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Timestamp(_, _) => ColumnType::Timestamp,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Binary
        }
        _ => ColumnType::Other,
    }
}
