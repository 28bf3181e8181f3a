use std::sync::Arc;

use arrow::{
    array::{Int64Array, StringArray},
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use datafusion::{
    physical_plan::{ExecutionPlanProperties, collect},
    prelude::SessionContext,
};
use rstest::rstest;
use sqe_core::{
    ErrorKind, Principal, TableName,
    catalog::{CatalogChange, CatalogSession, NewTable, TableWrite, WriteTarget},
};

use super::{MemoryCatalog, MemorySession, table::MemoryTable};

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names: Vec<String> = ids.clone().map(|id| format!("n{id}")).collect();
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(StringArray::from(names))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn name(table: &str) -> TableName {
    TableName::new("mem", "s", table)
}

fn catalog() -> (MemoryCatalog, MemorySession) {
    let catalog = MemoryCatalog::new();
    catalog.create_schema("s").unwrap();
    catalog.insert_table("s", "t", vec![batch(0..10)]).unwrap();
    let session = MemorySession::new(catalog.clone(), "mem", Principal::new("idp", "alice"));
    (catalog, session)
}

async fn ids(session: &MemorySession, table: &str) -> Vec<i64> {
    let loaded = session.load(&[name(table)]).await.remove(0).unwrap();
    let table = loaded.as_any().downcast_ref::<MemoryTable>().unwrap();
    let plan = table.plan(4, Some(&[0])).unwrap();
    let batches = collect(plan, SessionContext::new().task_ctx()).await.unwrap();
    let column = |batch: &RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    let mut all: Vec<i64> = batches.iter().flat_map(column).collect();
    all.sort_unstable();
    all
}

async fn write(session: &MemorySession, target: WriteTarget, rows: RecordBatch) -> sqe_core::Result<u64> {
    let write = session.begin_write(&target)?;
    write.commit(vec![rows]).await
}

#[tokio::test]
async fn a_loaded_table_has_field_ids_a_uuid_and_the_engines_name_for_the_catalog() {
    let (catalog, session) = catalog();
    catalog.tag_column("s", "t", "name", ["pii"]).unwrap();
    let table = session.load(&[name("t"), name("missing")]).await;
    assert_eq!(table[1].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    let table = table[0].as_ref().unwrap();
    assert_eq!(table.facts().id.name, name("t"));
    assert!(!table.facts().id.uuid.is_nil());
    assert_eq!(table.schema().field(1).metadata()["PARQUET:field_id"], "2");
    assert!(table.facts().columns[1].tags.contains("pii"));
    assert_eq!(table.statistics().unwrap().num_rows.get_value(), Some(&10));
}

#[rstest]
#[case(0, 1)]
#[case(8192, 1)]
#[case(100_000, 4)]
fn a_scan_spreads_rows_over_the_target_partitions(#[case] rows: i64, #[case] partitions: usize) {
    let catalog = MemoryCatalog::new();
    catalog.create_schema("s").unwrap();
    catalog.insert_table("s", "t", vec![batch(0..rows)]).unwrap();
    let table = Arc::clone(&catalog.schemas.read().of("s").unwrap()["t"]);
    let plan = table.plan(4, None).unwrap();
    assert_eq!(plan.output_partitioning().partition_count(), partitions);
}

#[tokio::test]
async fn appended_rows_are_seen_by_later_loads_only() {
    let (_catalog, session) = catalog();
    let before = session.load(&[name("t")]).await.remove(0).unwrap();
    assert_eq!(write(&session, WriteTarget::Append(Arc::clone(&before)), batch(10..13)).await.unwrap(), 3);
    assert_eq!(ids(&session, "t").await, (0..13).collect::<Vec<_>>());
    assert_eq!(before.statistics().unwrap().num_rows.get_value(), Some(&10));
    assert_ne!(session.load(&[name("t")]).await.remove(0).unwrap().snapshot(), before.snapshot());
}

#[tokio::test]
async fn concurrent_appends_lose_nothing() {
    let (catalog, session) = catalog();
    let table = session.load(&[name("t")]).await.remove(0).unwrap();
    let tasks = (1..=20).map(|task| {
        let session = MemorySession::new(catalog.clone(), "mem", Principal::new("idp", "alice"));
        let table = Arc::clone(&table);
        tokio::spawn(async move {
            write(&session, WriteTarget::Append(table), batch(task * 10..task * 10 + 10)).await.unwrap()
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 10);
    }
    assert_eq!(ids(&session, "t").await, (0..210).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_table_made_from_rows_appears_with_its_commit_and_has_its_creator_as_owner() {
    let (_catalog, session) = catalog();
    let bob = Principal::new("idp", "bob");
    let new = NewTable::new(name("made"), batch(0..0).schema(), bob.clone());
    let write = session.begin_write(&WriteTarget::Create(new.clone())).unwrap();
    assert!(session.load(&[name("made")]).await.remove(0).is_err());
    assert_eq!(write.commit(vec![batch(0..4)]).await.unwrap(), 4);
    assert_eq!(ids(&session, "made").await, [0, 1, 2, 3]);
    assert_eq!(session.load(&[name("made")]).await.remove(0).unwrap().facts().owner, Some(bob));
    assert_eq!(write.commit(vec![batch(0..4)]).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(session.begin_write(&WriteTarget::Create(new)).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn rows_for_a_table_that_was_replaced_are_refused_and_so_is_a_drop_of_it() {
    let (_catalog, session) = catalog();
    let table = session.load(&[name("t")]).await.remove(0).unwrap();
    let id = table.facts().id.clone();
    session.apply(CatalogChange::DropTable { table: id.clone() }).unwrap();
    let again = session.apply(CatalogChange::DropTable { table: id.clone() }).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    let gone = write(&session, WriteTarget::Append(Arc::clone(&table)), batch(0..1)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let new = NewTable::new(name("t"), batch(0..0).schema(), Principal::new("idp", "alice"));
    session.apply(CatalogChange::CreateTable(new)).unwrap();
    let other = write(&session, WriteTarget::Append(table), batch(0..1)).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    let other = session.apply(CatalogChange::DropTable { table: id }).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    let now = session.load(&[name("t")]).await.remove(0).unwrap().facts().id.clone();
    session.apply(CatalogChange::DropTable { table: now }).unwrap();
}

#[tokio::test]
async fn schemas_are_created_listed_and_dropped_when_empty() {
    let (_catalog, session) = catalog();
    let owner = Principal::new("idp", "alice");
    let create = |schema: &str| CatalogChange::CreateSchema { schema: schema.to_owned(), owner: owner.clone() };
    let drop = |schema: &str| CatalogChange::DropSchema { schema: schema.to_owned() };
    session.apply(create("u")).unwrap();
    assert_eq!(session.apply(create("u")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(session.schemas().await.unwrap(), ["s", "u"]);
    assert_eq!(session.tables("s").await.unwrap(), [name("t")]);
    assert_eq!(session.tables("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(session.apply(drop("s")).unwrap_err().kind(), ErrorKind::Conflict);
    session.apply(drop("u")).unwrap();
    assert_eq!(session.apply(drop("u")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn null_in_a_required_column_and_foreign_columns_are_refused() {
    let (_catalog, session) = catalog();
    let table = session.load(&[name("t")]).await.remove(0).unwrap();
    let nullable = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["x"]))];
    let rows = RecordBatch::try_new(Arc::new(nullable), columns).unwrap();
    let error = write(&session, WriteTarget::Append(Arc::clone(&table)), rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let short = batch(0..1).project(&[0]).unwrap();
    assert_eq!(write(&session, WriteTarget::Append(table), short).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(ids(&session, "t").await.len(), 10);
}
