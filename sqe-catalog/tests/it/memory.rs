use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    record_batch::RecordBatch,
};
use sqe_catalog::MemoryCatalog;
use sqe_core::ErrorKind;

use crate::world::{engine_over, rows, session};

pub fn catalog() -> MemoryCatalog {
    let people = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, false),
        ("name", Arc::new(StringArray::from(vec!["ann", "bob", "cid"])) as ArrayRef, true),
    ]);
    let catalog = MemoryCatalog::new();
    catalog.create_schema("s").unwrap();
    catalog.insert_table("s", "people", vec![people.unwrap()]).unwrap();
    catalog
}

#[tokio::test]
async fn tables_in_memory_are_queried_changed_and_made_from_queries() {
    let engine = engine_over(catalog());
    let alice = session(&engine, "alice").await;
    assert_eq!(rows(&alice, "SELECT name FROM people WHERE id >= 2").await.unwrap(), ["bob", "cid"]);
    assert_eq!(rows(&alice, "SELECT count(*) FROM people").await.unwrap(), ["3"]);
    assert_eq!(rows(&alice, "INSERT INTO people VALUES (4, 'dee'), (5, NULL)").await.unwrap(), ["2"]);
    assert_eq!(rows(&alice, "SELECT name, id FROM people WHERE id > 3").await.unwrap(), ["NULL|5", "dee|4"]);
    rows(&alice, "CREATE TABLE made AS SELECT id * 10 AS ten, name FROM people WHERE id < 3").await.unwrap();
    assert_eq!(rows(&alice, "SELECT * FROM made").await.unwrap(), ["10|ann", "20|bob"]);
    rows(&alice, "CREATE SCHEMA u").await.unwrap();
    rows(&alice, "CREATE TABLE u.empty (a BIGINT NOT NULL, b VARCHAR)").await.unwrap();
    assert_eq!(rows(&alice, "SELECT * FROM u.empty").await.unwrap(), [""; 0]);
    rows(&alice, "DROP TABLE u.empty").await.unwrap();
    rows(&alice, "DROP SCHEMA u").await.unwrap();
    let gone = rows(&alice, "SELECT * FROM u.empty").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn two_sessions_share_the_tables_and_two_catalogs_do_not() {
    let shared = catalog();
    let (first, second) = (engine_over(shared.clone()), engine_over(shared));
    let other = engine_over(catalog());
    rows(&session(&first, "alice").await, "INSERT INTO people VALUES (4, 'dee')").await.unwrap();
    assert_eq!(rows(&session(&second, "bob").await, "SELECT count(*) FROM people").await.unwrap(), ["4"]);
    assert_eq!(rows(&session(&other, "bob").await, "SELECT count(*) FROM people").await.unwrap(), ["3"]);
}
