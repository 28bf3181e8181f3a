//! The files of the benchmark's own tables, for engines that read them without a catalog.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sqe_bench::suite::Suite;

/// Where a table's rows are.
#[derive(Debug)]
pub(super) struct Files {
    /// Its newest metadata file.
    pub(super) metadata: String,
    /// Its data files. Each table was written by one commit, so all of them count.
    pub(super) data: Vec<PathBuf>,
}

/// The tables of a suite below `folder`.
pub(super) fn tables(suite: &Suite, folder: &Path) -> Result<BTreeMap<String, Files>> {
    let tables = suite.tables().iter();
    tables.map(|table| Ok((table.name().to_owned(), files(&folder.join(table.name()))?))).collect()
}

fn files(folder: &Path) -> Result<Files> {
    let metadata = below(&folder.join("metadata"), ".metadata.json")?;
    // Their names begin with a running number.
    let metadata = metadata.into_iter().next_back().context("a table without metadata")?;
    let data = below(&folder.join("data"), ".parquet")?;
    Ok(Files { metadata: metadata.to_string_lossy().into_owned(), data })
}

/// All files below a folder whose names end like this, in order.
fn below(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_metadata_and_all_data_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "metadata/00000-a.metadata.json",
            "metadata/00001-b.metadata.json",
            "metadata/x.avro",
            "data/p=1/b.parquet",
            "data/a.parquet",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = files(folder.path()).unwrap();
        assert!(found.metadata.ends_with("00001-b.metadata.json"));
        assert_eq!(found.data.len(), 2);
    }
}
