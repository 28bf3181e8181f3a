//! Tables written by PyIceberg read as PyIceberg reads them.
//!
//! Needs a Python with `pyiceberg[sql-sqlite,pyarrow,pyiceberg-core]`, named by `SQE_TEST_PYTHON`. Without it this does
//! nothing on a developer's machine, and fails where `CI=true`.

use std::{fs::File, process::Command, sync::Arc};

use arrow::ipc::reader::FileReader;
use iceberg::spec::TableMetadata;
use object_store::{ObjectStore, local::LocalFileSystem};
use serde::Deserialize;
use serde_json::Value;
use sqe_core::TableName;

use super::lake::{WAYS, query, to_json};
use crate::iceberg::{IcebergTable, io::file_io};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/written_by_pyiceberg.py");

#[derive(Deserialize)]
struct Written {
    name: String,
    metadata: String,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    filter: Option<String>,
    columns: Vec<String>,
    expected: String,
}

#[expect(clippy::disallowed_methods, reason = "tests find their tools by environment")]
fn python() -> Option<String> {
    let python = std::env::var("SQE_TEST_PYTHON").ok();
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(python.is_some() || !ci, "SQE_TEST_PYTHON must name a Python with PyIceberg");
    python
}

/// Timestamps with a zone are written `Z` by one library and `+00:00` by the other.
fn same_zone(rows: &mut Value) {
    match rows {
        Value::String(text) => *text = text.replace("+00:00", "Z"),
        Value::Array(items) => items.iter_mut().for_each(same_zone),
        Value::Object(fields) => fields.values_mut().for_each(same_zone),
        _ => {}
    }
}

#[tokio::test]
async fn tables_written_by_pyiceberg_read_as_it_reads_them() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python).arg(SCRIPT).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written: Vec<Written> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(written.len() > 14);
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let io = file_io(Arc::clone(&store));
    let (mut compared, mut found_rows) = (0, 0);
    for Written { name, metadata, checks } in written {
        let bytes = io.new_input(&metadata).unwrap().read().await.unwrap();
        let parsed: TableMetadata = serde_json::from_slice(&bytes).unwrap();
        let table =
            IcebergTable::try_new(TableName::new("l", "s", &name), Arc::new(parsed), &metadata, io.clone()).unwrap();
        for Check { filter, columns, expected } in checks {
            let reader = FileReader::try_new(File::open(expected).unwrap(), None).unwrap();
            let expected: Vec<_> = reader.map(Result::unwrap).collect();
            let mut expected = Value::Array(to_json(&expected));
            same_zone(&mut expected);
            let wanted = filter.as_deref().unwrap_or("true");
            let columns = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
            let sql = format!("SELECT {columns} FROM t WHERE {wanted} ORDER BY id");
            for how in [WAYS[1], WAYS[2]] {
                let mut found = Value::Array(to_json(&query(&table, &store, how, &sql).await));
                same_zone(&mut found);
                assert_eq!(found, expected, "{name}: {wanted} with {how:?}");
            }
            compared += 1;
            found_rows += expected.as_array().unwrap().len();
        }
    }
    // A comparison of nothing with nothing would pass.
    assert!(compared > 250 && found_rows > 2000, "{compared} comparisons of {found_rows} rows");
}
