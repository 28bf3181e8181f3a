//! The catalog as one person sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectStore;
use sqe_core::{
    Error, Identity, QueryId, Result, TableId, TableName,
    catalog::{
        CatalogChange, CatalogSession, CatalogTable, NewTable, ScanRequest, StoreOpener, StoreRef, TableWrite,
        WriteRequest, WriteTarget,
    },
    credentials::{CredentialVendor, Operation, VendRequest},
    govern::WriteGrant,
};

use super::{
    commit::{SqlTable, read_metadata},
    database::{Entries, Entry, Kind},
    names::{check_schema, check_table, location},
    views::{self, iceberg_view},
};
use crate::iceberg::{
    IcebergTable, IcebergView,
    commit::create,
    definition::new_table,
    io::file_io,
    scan,
    table::{folder_url, table_folder},
    write::{Destination, IcebergWrite},
};

/// Attempts before somebody else's commits are reported as a conflict.
const DROP_ATTEMPTS: usize = 30;

/// Everything here is done as `identity`: each file access goes through a lease of this person.
#[derive(Debug)]
pub(super) struct SqlSession {
    catalog: String,
    identity: Identity,
    vendor: Arc<dyn CredentialVendor>,
    stores: Arc<dyn StoreOpener>,
    pub(super) entries: Entries,
    warehouse: String,
}

impl SqlSession {
    pub(super) fn new(
        catalog: &str,
        identity: &Identity,
        (vendor, stores): (&Arc<dyn CredentialVendor>, &Arc<dyn StoreOpener>),
        entries: Entries,
        warehouse: &str,
    ) -> Self {
        Self {
            catalog: catalog.to_owned(),
            identity: identity.clone(),
            vendor: Arc::clone(vendor),
            stores: Arc::clone(stores),
            entries,
            warehouse: warehouse.to_owned(),
        }
    }

    pub(super) async fn store(
        &self,
        name: &TableName,
        prefixes: &[String],
        operation: Operation,
    ) -> Result<Arc<dyn ObjectStore>> {
        let lease = self.vendor.vend(&VendRequest::new(&self.identity, name, prefixes, operation)).await?;
        self.stores.open(&lease).await
    }

    pub(super) async fn load_one(&self, name: &TableName) -> Result<Arc<dyn CatalogTable>> {
        let found = self.entries.entry(&name.schema, &name.table).await?;
        let Entry { kind, location } = found.ok_or_else(|| Error::not_found(format!("table {name} does not exist")))?;
        let store = self.store(name, &[table_folder(&location)?], Operation::ReadMetadata).await?;
        if kind == Kind::View {
            return Ok(Arc::new(IcebergView::try_new(name.clone(), views::read(&store, &location).await?, &location)?));
        }
        let metadata = read_metadata(&store, &location).await?;
        let table = IcebergTable::try_new(name.clone(), Arc::new(metadata), &location, file_io(store))?;
        Ok(Arc::new(table))
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> Entries {
        self.entries.clone()
    }

    /// A grant is good for the person that it was given to.
    fn own(&self, grant: &WriteGrant) -> Result<()> {
        match grant.principal() == &self.identity.principal {
            true => Ok(()),
            false => Err(Error::internal("a change was to be made with somebody else's grant")),
        }
    }

    pub(super) fn new_location(&self, name: &TableName) -> Result<String> {
        check_table(name)?;
        Ok(location(&self.warehouse, name))
    }

    fn client(&self, name: &TableName, store: &Arc<dyn ObjectStore>) -> Arc<SqlTable> {
        Arc::new(SqlTable {
            entries: self.entries.clone(),
            name: name.clone(),
            store: Arc::clone(store),
            replaces: None,
        })
    }

    pub(super) async fn refuse_existing(&self, name: &TableName) -> Result<()> {
        match self.entries.location(&name.schema, &name.table).await? {
            None => Ok(()),
            Some(_) => Err(Error::already_exists(format!("table {name} exists already"))),
        }
    }

    pub(super) fn begin_append(
        &self,
        table: &Arc<dyn CatalogTable>,
        destination: Destination,
        query: QueryId,
    ) -> Result<IcebergWrite> {
        let table = iceberg_table(table)?;
        let client = self.client(&table.facts().id.name, &destination.store);
        IcebergWrite::append(table.metadata().clone(), client, destination, query)
    }

    pub(super) async fn begin_create(
        &self,
        new: &NewTable,
        destination: Destination,
        query: QueryId,
    ) -> Result<IcebergWrite> {
        let metadata = new_table(new, &self.new_location(&new.name)?)?;
        self.refuse_existing(&new.name).await?;
        if !self.entries.schema_exists(&new.name.schema).await? {
            return Err(Error::not_found(format!("schema {}.{} does not exist", self.catalog, new.name.schema)));
        }
        let client = self.client(&new.name, &destination.store);
        IcebergWrite::create(metadata, client, destination, query)
    }

    /// The commit swaps the entry of the old table, if it is still the one that was loaded.
    pub(super) fn begin_replace(
        &self,
        old: &Arc<dyn CatalogTable>,
        new: &NewTable,
        destination: Destination,
        query: QueryId,
    ) -> Result<IcebergWrite> {
        if old.facts().id.name != new.name {
            return Err(Error::internal("a table was to be replaced by one of another name"));
        }
        let metadata = new_table(new, &self.new_location(&new.name)?)?;
        let client = SqlTable {
            entries: self.entries.clone(),
            name: new.name.clone(),
            store: Arc::clone(&destination.store),
            replaces: Some(iceberg_table(old)?.metadata_location().to_owned()),
        };
        IcebergWrite::create(metadata, Arc::new(client), destination, query)
    }

    pub(super) async fn create_table(&self, new: &NewTable) -> Result<()> {
        let location = self.new_location(&new.name)?;
        let metadata = new_table(new, &location)?;
        self.refuse_existing(&new.name).await?;
        let store = self.store(&new.name, &[folder_url(&location)], Operation::Write).await?;
        let client = self.client(&new.name, &store);
        create(client.as_ref(), &file_io(store), metadata, None).await.map_err(|failure| failure.error)
    }

    /// Removes the entry of exactly this table or view. Changes that get in between do not make it another one, so it is
    /// looked at again.
    pub(super) async fn remove(&self, kind: Kind, id: &TableId) -> Result<()> {
        let TableName { schema, table, .. } = &id.name;
        for _ in 0..DROP_ATTEMPTS {
            let loaded = self.load_one(&id.name).await?;
            if loaded.facts().id.uuid != id.uuid {
                return Err(Error::conflict("it was replaced by another of the same name; try again"));
            }
            let location = match kind {
                Kind::Table => iceberg_table(&loaded)?.metadata_location(),
                Kind::View => iceberg_view(&loaded)?.metadata_location(),
            };
            if self.entries.delete(kind, schema, table, location).await? {
                return Ok(());
            }
        }
        Err(Error::conflict("others changed it faster than it could be dropped; try again"))
    }
}

fn iceberg_table(table: &Arc<dyn CatalogTable>) -> Result<&IcebergTable> {
    let found = table.as_any().downcast_ref::<IcebergTable>();
    found.ok_or_else(|| Error::internal("the table is another catalog's"))
}

fn leased(store: Option<&StoreRef>) -> Result<Destination> {
    let store = store.ok_or_else(|| Error::internal("no store was leased for the table"))?;
    Ok(Destination { store: Arc::clone(&store.store), url: store.url.as_str().to_owned() })
}

#[async_trait]
impl CatalogSession for SqlSession {
    async fn schemas(&self) -> Result<Vec<String>> {
        self.entries.schemas().await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        let tables = self.entries.tables(schema).await?;
        if tables.is_empty() && !self.entries.schema_exists(schema).await? {
            return Err(Error::not_found(format!("schema {}.{schema} does not exist", self.catalog)));
        }
        Ok(tables.into_iter().map(|table| TableName::new(&self.catalog, schema, table)).collect())
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        futures::future::join_all(names.iter().map(|name| self.load_one(name))).await
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = iceberg_table(request.table)?;
        let grant = request.grant;
        if grant.principal() != &self.identity.principal || grant.table() != &request.table.facts().id {
            return Err(Error::internal("a table was to be read with another grant"));
        }
        scan::scan(&request, table).await
    }

    async fn write_prefixes(&self, target: &WriteTarget) -> Result<Vec<String>> {
        match target {
            WriteTarget::Append(table) => Ok(iceberg_table(table)?.prefixes()),
            WriteTarget::Create(new) | WriteTarget::Replace(_, new) => {
                Ok(vec![folder_url(&self.new_location(&new.name)?)])
            }
            _ => Err(Error::unsupported("this kind of write is not offered")),
        }
    }

    async fn begin(&self, request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        self.own(request.grant)?;
        let destination = leased(request.store)?;
        let query = request.grant.query();
        match &request.target {
            WriteTarget::Append(table) => Ok(Arc::new(self.begin_append(table, destination, query)?)),
            WriteTarget::Create(new) => Ok(Arc::new(self.begin_create(new, destination, query).await?)),
            WriteTarget::Replace(old, new) => Ok(Arc::new(self.begin_replace(old, new, destination, query)?)),
            _ => Err(Error::unsupported("this kind of write is not offered")),
        }
    }

    async fn change(&self, change: CatalogChange, grant: &WriteGrant) -> Result<()> {
        self.own(grant)?;
        match change {
            CatalogChange::CreateSchema { schema, owner } => {
                check_schema(&schema)?;
                self.entries.create_schema(&schema, &owner).await
            }
            CatalogChange::DropSchema { schema } => self.entries.drop_schema(&schema).await,
            CatalogChange::CreateTable(new) => self.create_table(&new).await,
            CatalogChange::DropTable { table } => self.remove(Kind::Table, &table).await,
            CatalogChange::CreateView(new) => self.create_view(&new).await,
            CatalogChange::ReplaceView(old, new) => self.replace_view(&old, &new).await,
            CatalogChange::DropView { view } => self.remove(Kind::View, &view).await,
            _ => Err(Error::unsupported("this kind of change is not offered")),
        }
    }
}
