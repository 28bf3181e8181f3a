//! What several tests need once: TPC-H as Parquet files, and the Python with DuckDB.

use std::{collections::BTreeMap, fs::File, path::PathBuf, sync::LazyLock};

use parquet::arrow::ArrowWriter;
use sqe_bench::{
    oracle::{Options, Source},
    suite::{Scale, data},
    tpch,
};
use tempfile::TempDir;

pub(crate) static TPCH: LazyLock<Files> = LazyLock::new(|| Files::write(Scale::new(0.01).unwrap()));

/// Every table as two Parquet files, so that whoever takes one file for the table is found out.
pub(crate) struct Files {
    pub(crate) scale: Scale,
    pub(crate) tables: BTreeMap<String, Vec<PathBuf>>,
    _folder: TempDir,
}

impl Files {
    fn write(scale: Scale) -> Self {
        // A folder whose name is not a pattern and not a URL, however much it looks like one.
        let folder = tempfile::Builder::new().prefix("tp[c]h %41 ").tempdir().unwrap();
        let mut tables = BTreeMap::new();
        for table in tpch::SUITE.tables().iter().copied() {
            let mut files = Vec::new();
            for number in 1..=2 {
                let path = folder.path().join(format!("{table}-{number}.parquet"));
                let file = File::create(&path).unwrap();
                let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
                for batch in data::part(table, scale, 8192, data::Part::new(number, 2).unwrap()).unwrap() {
                    writer.write(&batch.unwrap()).unwrap();
                }
                writer.close().unwrap();
                files.push(path);
            }
            tables.insert(table.name().to_owned(), files);
        }
        Self { scale, tables, _folder: folder }
    }

    pub(crate) fn duckdb(&self, python: PathBuf) -> Options {
        self.tables.iter().fold(Options::new(python, 2), |options, (name, files)| {
            options.with_table(name, Source::Parquet(files.clone()))
        })
    }
}

/// The Python of `SQE_TEST_PYTHON`. Without it the tests that need DuckDB do nothing, except under `CI=true`, where
/// they fail.
#[expect(clippy::disallowed_methods, reason = "tests find their tools by environment")]
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SQE_TEST_PYTHON").filter(|path| !path.is_empty()).map(PathBuf::from);
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(python.is_some() || !in_ci, "set SQE_TEST_PYTHON to a python with duckdb and duckdb-extension-tpch");
    if python.is_none() {
        eprintln!("skipped: SQE_TEST_PYTHON is not set");
    }
    python
}
