use arrow::datatypes::DataType;
use sqe_core::{
    ErrorKind, TableName,
    catalog::{CatalogSession, NewTable},
};

use super::{
    super::database::Kind,
    bed::{Bed, alice, columns, name},
};
use crate::{SqlCatalog, SqlOptions};

#[tokio::test]
async fn schemas_are_created_listed_and_dropped_when_empty() {
    let bed = Bed::new().await;
    let (session, entries) = (bed.session(), bed.session().entries());
    entries.create_schema("a.b", &alice()).await.unwrap();
    assert_eq!(entries.create_schema("a.b", &alice()).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(session.schemas().await.unwrap(), ["a.b", "s"]);
    let new = NewTable::new(name("t"), columns(&[("id", DataType::Int64)]), alice());
    session.create_table(&new).await.unwrap();
    assert_eq!(session.tables("s").await.unwrap(), [name("t")]);
    assert_eq!(session.tables("a.b").await.unwrap(), []);
    assert_eq!(session.tables("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(entries.drop_schema("s").await.unwrap_err().kind(), ErrorKind::Conflict);
    session.remove(Kind::Table, &bed.table("t").await.facts().id).await.unwrap();
    entries.drop_schema("s").await.unwrap();
    assert_eq!(entries.drop_schema("s").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_created_table_has_its_owner_columns_and_folder() {
    let bed = Bed::new().await;
    let mut new = NewTable::new(name("t"), columns(&[("id", DataType::Int64), ("s", DataType::Utf8View)]), alice());
    new.partitioning = vec![("bucket[4]".to_owned(), "id".to_owned())];
    bed.session().create_table(&new).await.unwrap();
    let table = bed.table("t").await;
    assert_eq!(table.facts().owner, Some(alice()));
    assert_eq!(table.facts().id.name, name("t"));
    assert_eq!(table.snapshot(), None);
    assert_eq!(table.prefixes(), [format!("file://{}/wh/s/t/", bed.root.display())]);
    let ids: Vec<_> = table.facts().columns.iter().map(|column| (column.field_id.0, column.name.as_str())).collect();
    assert_eq!(ids, [(1, "id"), (2, "s")]);
    assert_eq!(bed.rows("t").await.num_rows(), 0);
    assert_eq!(bed.session().create_table(&new).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let files = bed.files("s/t");
    assert!(files.len() == 1 && files[0].starts_with("metadata/00000-"), "{files:?}");
}

#[tokio::test]
async fn a_table_in_a_schema_that_is_missing_is_not_found_and_leaves_no_entry() {
    let bed = Bed::new().await;
    let new = NewTable::new(TableName::new("lake", "u", "t"), columns(&[("id", DataType::Int64)]), alice());
    assert_eq!(bed.session().create_table(&new).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bed.session().schemas().await.unwrap(), ["s"]);
    assert_eq!(bed.files("u/t"), [""; 0]);
}

#[tokio::test]
async fn names_that_make_paths_are_refused_and_odd_ones_get_folders_of_their_own() {
    let bed = Bed::new().await;
    for bad in ["", "..", "a/b", "a.b"] {
        let new = NewTable::new(name(bad), columns(&[("id", DataType::Int64)]), alice());
        assert_eq!(bed.session().create_table(&new).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    for odd in ["T", "t", "drop table", "tëst", "%2e%2e", "a'b\"c"] {
        let new = NewTable::new(name(odd), columns(&[("id", DataType::Int64)]), alice());
        bed.session().create_table(&new).await.unwrap();
        assert_eq!(bed.table(odd).await.facts().id.name.table, odd);
    }
    assert_eq!(bed.session().tables("s").await.unwrap().len(), 6);
    assert!(bed.files("").iter().all(|file| file.starts_with("s/") && file.matches('/').count() == 3));
}

#[tokio::test]
async fn a_missing_or_broken_catalog_file_is_unavailable_and_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let options = |file: &str| SqlOptions::new(dir.path().join(file), "file:///wh");
    assert_eq!(SqlCatalog::open(options("missing.db")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    std::fs::write(dir.path().join("broken.db"), vec![7; 4096]).unwrap();
    assert_eq!(SqlCatalog::open(options("broken.db")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let bed = Bed::new().await;
    let session = bed.session();
    assert_eq!(session.schemas().await.unwrap(), ["s"]);
    bed.catalog.database.close().await;
    assert_eq!(session.schemas().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.tables("s").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.load(&[name("t")]).await.remove(0).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn two_catalogs_in_one_file_do_not_see_each_other() {
    let bed = Bed::new().await;
    let new = NewTable::new(name("t"), columns(&[("id", DataType::Int64)]), alice());
    bed.session().create_table(&new).await.unwrap();
    let other = bed.catalog.database.entries("other".to_owned());
    assert_eq!(other.schemas().await.unwrap(), [""; 0]);
    assert_eq!(other.location("s", "t").await.unwrap(), None);
    assert!(bed.session().entries().location("s", "t").await.unwrap().is_some());
}
