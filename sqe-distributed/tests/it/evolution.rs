//! Columns are found by field id on workers too: in files older than their names, or than the columns themselves.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    world::{Lake, rows, session},
};

/// Renames the second column and adds a third, as another engine would: the schema gets a successor.
fn evolve(metadata: &Path) {
    let files = std::fs::read_dir(metadata).unwrap().map(|entry| entry.unwrap().path());
    let latest = files.filter(|path| path.to_string_lossy().ends_with(".metadata.json")).max().unwrap();
    let mut table: Value = serde_json::from_slice(&std::fs::read(&latest).unwrap()).unwrap();
    let mut schema = table["schemas"].as_array().unwrap().last().unwrap().clone();
    schema["schema-id"] = json!(1);
    schema["fields"][1]["name"] = json!("town");
    schema["fields"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": 3, "name": "guests", "required": false, "type": "long"}));
    table["schemas"].as_array_mut().unwrap().push(schema);
    table["current-schema-id"] = json!(1);
    table["last-column-id"] = json!(3);
    std::fs::write(latest, serde_json::to_vec(&table).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_find_renamed_and_added_columns_by_field_id() {
    let lake = Lake::filled().await;
    let root = session(&lake.local(), "root").await;
    rows(&root, "CREATE TABLE visits (id BIGINT, place VARCHAR)").await.unwrap();
    for part in 0..6 {
        let sql = format!("SELECT value, concat('town ', value) FROM generate_series({part}01, {part}99)");
        rows(&root, &format!("INSERT INTO visits {sql}")).await.unwrap();
    }
    evolve(&lake.folder.path().join("wh/s/visits/metadata"));
    let lake = lake.opened_again().await;
    let root = session(&lake.local(), "root").await;
    for part in 6..12 {
        let sql =
            format!("SELECT value, concat('town ', value), value AS guests FROM generate_series({part}01, {part}99)");
        rows(&root, &format!("INSERT INTO visits {sql}")).await.unwrap();
    }

    let cluster = Cluster::start(lake.fitting()).await;
    for (person, visible) in [("auditor", 12 * 99), ("analyst", 6 * 99)] {
        let (here, there) = (session(&lake.local(), person).await, session(&lake.over(cluster.clone()), person).await);
        for sql in [
            "SELECT id, town, guests FROM visits",
            "SELECT id FROM visits WHERE (guests IS NULL OR guests % 2 = 0) AND town IS NOT NULL",
            "SELECT town, sum(guests) FROM visits WHERE town LIKE '%7%' GROUP BY town",
        ] {
            let (mut expected, mut found) = (rows(&here, sql).await.unwrap(), rows(&there, sql).await.unwrap());
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{person}: {sql}");
            assert!(cluster.work().iter().all(|(rows, _)| *rows > 0), "{person}: {sql}");
        }
        let found = rows(&there, "SELECT town, guests FROM visits").await.unwrap();
        assert_eq!(found.len(), visible);
        assert_eq!(
            found.iter().filter(|row| row.starts_with("town")).count(),
            if person == "auditor" { visible } else { 0 }
        );
        assert_eq!(
            found.iter().filter(|row| row.ends_with("NULL")).count(),
            if person == "auditor" { 6 * 99 } else { 0 }
        );
        assert!(rows(&there, "SELECT place FROM visits").await.is_err());
    }
}
