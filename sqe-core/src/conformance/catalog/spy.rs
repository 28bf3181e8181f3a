//! Between the engine and the catalog under test: hands everything on, and notes each answer that breaks the contract.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    ErrorKind, FieldId, Result, TableId, TableName,
    catalog::{
        CatalogChange, CatalogProvider, CatalogSession, CatalogTable, OpenRequest, ScanRequest, TableWrite,
        WriteRequest, WriteTarget,
    },
    govern::{WriteGrant, field_id},
};

/// What the spy saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    faults: Vec<String>,
    /// The uuids that a name stood for, in the order in which they were seen first.
    uuids: BTreeMap<TableName, Vec<Uuid>>,
    /// The field ids of every table that was loaded.
    fields: BTreeMap<Uuid, Vec<(String, FieldId)>>,
}

impl Findings {
    /// The first fault.
    pub(super) fn verdict(&self) -> Result<(), String> {
        self.0.lock().faults.first().cloned().map_or(Ok(()), Err)
    }

    /// How many tables this name stood for, one after the other.
    pub(super) fn tables_named(&self, name: &TableName) -> usize {
        self.0.lock().uuids.get(name).map_or(0, Vec::len)
    }

    fn note(&self, finding: Result<(), String>) {
        if let Err(fault) = finding {
            self.0.lock().faults.push(fault);
        }
    }

    fn loaded(&self, name: &TableName, table: &dyn CatalogTable) {
        self.note(sound(name, table));
        let uuid = table.facts().id.uuid;
        let fields = table.facts().columns.iter().map(|column| (column.name.clone(), column.field_id)).collect();
        let mut seen = self.0.lock();
        let known = seen.uuids.entry(name.clone()).or_default();
        if !known.contains(&uuid) {
            known.push(uuid);
        }
        let other = seen.uuids.iter().find(|(other, uuids)| *other != name && uuids.contains(&uuid));
        let shared = other.map(|(other, _)| format!("{name} and {other} have the same uuid"));
        let before = seen.fields.entry(uuid).or_insert_with(|| Vec::clone(&fields));
        // A view that was replaced is the same view with other columns.
        let changed = (table.view().is_none() && *before != fields)
            .then(|| format!("the field ids of {name} change from one load to the next"));
        seen.faults.extend(shared.into_iter().chain(changed));
    }
}

/// What holds of every table that is loaded.
fn sound(name: &TableName, table: &dyn CatalogTable) -> Result<(), String> {
    let (facts, schema) = (table.facts(), table.schema());
    if facts.id.name != *name {
        return Err(format!("{name} was asked for and {} was loaded", facts.id.name));
    }
    if facts.id.uuid.is_nil() {
        return Err(format!("{name} has no uuid"));
    }
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let known: Vec<String> = facts.columns.iter().map(|column| column.name.clone()).collect();
    if names(&schema) != known {
        return Err(format!("{name} has the columns {:?} and the facts {known:?}", names(&schema)));
    }
    for (field, column) in schema.fields().iter().zip(&facts.columns) {
        if field_id(field) != Some(column.field_id) {
            return Err(format!("column {} of {name} does not carry its field id {}", column.name, column.field_id));
        }
        if field.is_nullable() != column.nullable {
            return Err(format!("column {} of {name} is nullable in one place and not in the other", column.name));
        }
    }
    let ids: HashSet<FieldId> = facts.columns.iter().map(|column| column.field_id).collect();
    if ids.len() != facts.columns.len() {
        return Err(format!("two columns of {name} have the same field id"));
    }
    if let Some(prefix) = table.prefixes().iter().find(|prefix| !prefix.ends_with('/')) {
        return Err(format!("{name} needs a lease on {prefix}, which does not end in /"));
    }
    match table.statistics() {
        Some(statistics) if statistics.column_statistics.len() != schema.fields().len() => {
            Err(format!("the statistics of {name} are about another number of columns"))
        }
        _ => Ok(()),
    }
}

fn same_columns(what: &str, found: &Schema, expected: &Schema) -> Result<(), String> {
    let shape = |schema: &Schema| {
        let columns = schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone()));
        columns.collect::<Vec<_>>()
    };
    if shape(found) == shape(expected) {
        return Ok(());
    }
    Err(format!("{what} has the columns {:?} instead of {:?}", shape(found), shape(expected)))
}

#[derive(Debug)]
pub(super) struct Spy<P> {
    provider: P,
    findings: Findings,
}

impl<P> Spy<P> {
    pub(super) fn new(provider: P, findings: Findings) -> Self {
        Self { provider, findings }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: CatalogProvider> CatalogProvider for Spy<P> {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        let inner = self.provider.open(request).await?;
        Ok(Arc::new(SpySession { inner, findings: self.findings.clone() }))
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        self.provider.codec()
    }
}

#[derive(Debug)]
struct SpySession {
    inner: Arc<dyn CatalogSession>,
    findings: Findings,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CatalogSession for SpySession {
    async fn schemas(&self) -> Result<Vec<String>> {
        self.inner.schemas().await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        let tables = self.inner.tables(schema).await?;
        if let Some(other) = tables.iter().find(|table| table.schema != schema) {
            self.findings.note(Err(format!("the listing of schema {schema} names {other}")));
        }
        Ok(tables)
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        let loaded = self.inner.load(names).await;
        if loaded.len() != names.len() {
            let fault = format!("{} tables were asked for and {} answers given", names.len(), loaded.len());
            self.findings.note(Err(fault));
        }
        for (name, table) in names.iter().zip(&loaded) {
            if let Ok(table) = table {
                self.findings.loaded(name, &**table);
            }
        }
        loaded
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = request.table.schema();
        let expected = match request.projection {
            Some(projection) => Arc::new(schema.project(projection)?),
            None => schema,
        };
        let name = request.table.facts().id.name.clone();
        let plan = self.inner.scan(request).await?;
        self.findings.note(same_columns(&format!("a scan of {name}"), &plan.schema(), &expected));
        Ok(plan)
    }

    async fn write_prefixes(&self, target: &WriteTarget) -> Result<Vec<String>> {
        let prefixes = self.inner.write_prefixes(target).await?;
        if let Some(prefix) = prefixes.iter().find(|prefix| !prefix.ends_with('/')) {
            self.findings.note(Err(format!("a write needs a lease on {prefix}, which does not end in /")));
        }
        Ok(prefixes)
    }

    async fn begin(&self, request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        let wanted: Option<SchemaRef> = match &request.target {
            WriteTarget::Append(table) => Some(table.schema()),
            WriteTarget::Create(_) | WriteTarget::Replace(..) => None,
        };
        let write = self.inner.begin(request).await?;
        if let Some(wanted) = wanted {
            self.findings.note(same_columns("a write", &write.schema(), &wanted));
        }
        Ok(write)
    }

    /// Before a table is dropped, another one of its name is asked for: it must not be taken for the first.
    async fn change(&self, change: CatalogChange, grant: &WriteGrant) -> Result<()> {
        if let CatalogChange::DropTable { table } = &change {
            let other = TableId::new(table.name.clone(), Uuid::new_v4());
            let dropped = self.inner.change(CatalogChange::DropTable { table: other }, grant).await;
            self.findings.note(match dropped.map_err(|error| error.kind()) {
                Err(ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Unsupported) => Ok(()),
                Err(kind) => Err(format!("a table that is not there any more is dropped with {kind}")),
                Ok(()) => Err(format!("{} is dropped in the place of another table of its name", table.name)),
            });
        }
        self.inner.change(change, grant).await
    }
}
