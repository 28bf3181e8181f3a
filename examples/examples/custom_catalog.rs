//! A catalog of one's own: CSV texts as read-only tables.

use std::{any::Any, io::Cursor, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::{compute::concat_batches, csv::ReaderBuilder, csv::reader::Format, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion::{common::Statistics, datasource::memory::MemorySourceConfig, physical_plan::ExecutionPlan};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use sqe_auth::DevPerson;
use sqe_core::catalog::{CatalogChange, CatalogProvider, CatalogSession, CatalogTable, OpenRequest, ScanRequest};
use sqe_core::catalog::{TableWrite, WriteRequest, WriteTarget, columns};
use sqe_core::conformance::catalog::{CatalogFixture, check};
use sqe_core::{Error, Result, TableId, TableName, govern::FIELD_ID_KEY, govern::WriteGrant, policy::TableFacts};
use sqe_examples::{People, ask};
use uuid::Uuid;

// ANCHOR: catalog
/// One schema, `files`, of tables that never change.
#[derive(Debug, Clone)]
struct CsvFiles(Arc<Vec<(String, RecordBatch)>>);

/// Reads a text. Each field carries the id by which policies, masks and grants know the column.
fn parse(text: &str) -> Result<RecordBatch> {
    let (schema, _) = Format::default().with_header(true).infer_schema(Cursor::new(text), None)?;
    let id = |id: i32| [(FIELD_ID_KEY.to_owned(), id.to_string())].into();
    let fields = schema.fields().iter().zip(1..).map(|(field, place)| Field::clone(field).with_metadata(id(place)));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(Cursor::new(text))?;
    Ok(concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>()?)?)
}

#[async_trait]
impl CatalogProvider for CsvFiles {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        // A catalog that knows people would log in to it here, as `request.identity`.
        Ok(Arc::new(Opened(request.catalog.to_owned(), self.clone())))
    }
    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None // Queries run in this process, where the rows are.
    }
}

#[derive(Debug)]
struct CsvTable(TableFacts, RecordBatch);

impl CatalogTable for CsvTable {
    fn facts(&self) -> &TableFacts {
        &self.0
    }
    fn schema(&self) -> SchemaRef {
        self.1.schema()
    }
    fn snapshot(&self) -> Option<i64> {
        None
    }
    fn prefixes(&self) -> Vec<String> {
        Vec::new() // No files, so no lease.
    }
    fn statistics(&self) -> Option<Statistics> {
        None
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct Opened(String, CsvFiles);

#[async_trait]
impl CatalogSession for Opened {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec!["files".to_owned()])
    }
    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        let names = self.1.0.iter().map(|(table, _)| TableName::new(&self.0, schema, table));
        if schema == "files" { Ok(names.collect()) } else { Err(Error::not_found("there is no such schema")) }
    }
    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        let load = |name: &TableName| {
            let found = self.1.0.iter().find(|(table, _)| name.schema == "files" && *table == name.table);
            let (_, rows) = found.ok_or_else(|| Error::not_found(format!("table {name} does not exist")))?;
            // The same at every start: grants and the audit trail bind to it.
            let id = TableId::new(name.clone(), Uuid::new_v5(&Uuid::NAMESPACE_OID, name.to_string().as_bytes()));
            Ok(Arc::new(CsvTable(TableFacts::new(id, columns(&rows.schema())?), rows.clone())) as _)
        };
        names.iter().map(load).collect()
    }
    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = request.table.as_any().downcast_ref::<CsvTable>();
        // The grant says which table may be read; this must be the one.
        let table = table.filter(|table| table.0.id == *request.grant.table());
        let CsvTable(_, rows) = table.ok_or_else(|| Error::internal("the grant is for another table"))?;
        let projection = request.projection.map(<[usize]>::to_vec);
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows.clone()]], rows.schema(), projection)?)
    }
    async fn write_prefixes(&self, _: &WriteTarget) -> Result<Vec<String>> {
        Err(Error::unsupported("these files are only read"))
    }
    async fn begin(&self, _: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        Err(Error::unsupported("these files are only read"))
    }
    async fn change(&self, _: CatalogChange, _: &WriteGrant) -> Result<()> {
        Err(Error::unsupported("these files are only read"))
    }
}
// ANCHOR_END: catalog

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cities = parse("city,river,people\nRome,Tiber,2800000\nOslo,,700000\nBern,Aare,130000\n")?;
    let (people, catalog) = (People::default(), CsvFiles(Arc::new(vec![("cities".to_owned(), cities)])));
    let engine = people.builder()?.catalog("csv", catalog.clone()).build()?;
    let ana = people.session(&engine, &DevPerson::new("ana")).await?;
    let found = ask(&ana, "SELECT city, people FROM csv.files.cities WHERE river IS NOT NULL ORDER BY 2").await?;
    anyhow::ensure!(found == ["Bern|130000", "Rome|2800000"], "the cities on rivers are {found:?}");
    check(catalog, &CatalogFixture::read_only("files", "cities", 3)).await.map_err(anyhow::Error::msg)
}
