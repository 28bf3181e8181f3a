//! DuckDB as the engine that knows the right answers, in a process of its own.
//!
//! The process is a Python with the package `duckdb` and, for Iceberg tables, `duckdb-extension-iceberg` and
//! `duckdb-extension-avro` of the same version. It runs a script that is part of this crate, reads no environment, and
//! loads extensions only from these packages, so it needs no network. It answers until it is dropped, so that its runs
//! can alternate with those of other engines.

mod process;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqe_core::{Error, Result};
use tokio::sync::Mutex;

use crate::answer::{Answer, Cells};
use process::Process;

/// A running DuckDB.
#[derive(Debug)]
pub struct Oracle {
    process: Mutex<Process>,
    version: String,
}

/// Where a table's rows are, for DuckDB to read itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Source {
    /// The location of an Iceberg table's `….metadata.json`.
    Iceberg(String),
    /// All Parquet files of the table.
    Parquet(Vec<PathBuf>),
}

/// How to start DuckDB.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The Python interpreter.
    pub python: PathBuf,
    /// How many threads DuckDB uses. Its memory limit stays at its default, four fifths of the machine's.
    pub threads: usize,
    /// Views to create, by name.
    pub tables: BTreeMap<String, Source>,
    /// More extensions to load. What the tables need is loaded anyway.
    pub extensions: Vec<String>,
    /// How long one statement may take before the process is ended.
    pub deadline: Duration,
}

impl Options {
    /// DuckDB in this Python, with as many threads, no tables, and ten minutes a statement.
    pub fn new(python: impl AsRef<Path>, threads: usize) -> Self {
        Self {
            python: python.as_ref().to_owned(),
            threads,
            tables: BTreeMap::new(),
            extensions: Vec::new(),
            deadline: Duration::from_secs(600),
        }
    }

    /// Adds a table.
    #[must_use]
    pub fn with_table(mut self, name: impl Into<String>, source: Source) -> Self {
        self.tables.insert(name.into(), source);
        self
    }

    /// Loads an extension, such as `tpch`, from the package `duckdb-extension-…`.
    #[must_use]
    pub fn with_extension(mut self, name: impl Into<String>) -> Self {
        self.extensions.push(name.into());
        self
    }

    fn all_extensions(&self) -> Vec<&str> {
        let iceberg = self.tables.values().any(|source| matches!(source, Source::Iceberg(_)));
        let needed: &[&str] = if iceberg { &["avro", "iceberg"] } else { &[] };
        needed.iter().copied().chain(self.extensions.iter().map(String::as_str)).collect()
    }
}

impl Oracle {
    /// Starts the process and makes the tables known to it.
    ///
    /// # Errors
    /// `Unavailable` if the Python does not start; `InvalidInput` with DuckDB's own words if a package or a table is
    /// missing.
    pub async fn start(options: &Options) -> Result<Self> {
        let mut process = Process::spawn(&options.python, options.deadline)?;
        let extensions = options.all_extensions();
        let open = Request::Open { threads: options.threads.max(1), extensions, tables: &options.tables };
        let Opened { version } = process.ask(&open).await?;
        Ok(Self { process: Mutex::new(process), version })
    }

    /// DuckDB's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs a query. The time is DuckDB's own: from text to the whole answer in its memory, without handing it over.
    ///
    /// # Errors
    /// `InvalidInput` with DuckDB's own words; `DeadlineExceeded`; `Unavailable` if the process has ended.
    pub async fn query(&self, sql: &str) -> Result<(Answer, Duration)> {
        let answer: Timed = self.process.lock().await.ask(&Request::Query { sql }).await?;
        let elapsed = Duration::try_from_secs_f64(answer.seconds)
            .map_err(|_| Error::internal("duckdb answered with a time that is none"))?;
        Ok((answer.cells.try_into()?, elapsed))
    }

    /// Runs a statement that is not a query, such as `CALL dbgen(sf = 1)`.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str) -> Result<Answer> {
        let cells: Cells = self.process.lock().await.ask(&Request::Execute { sql }).await?;
        cells.try_into()
    }

    /// The most memory that the process has used, in bytes.
    ///
    /// # Errors
    /// `Unavailable` if the process has ended.
    pub async fn peak_memory(&self) -> Result<u64> {
        let Memory { peak_bytes } = self.process.lock().await.ask(&Request::Memory).await?;
        Ok(peak_bytes)
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request<'a> {
    Open { threads: usize, extensions: Vec<&'a str>, tables: &'a BTreeMap<String, Source> },
    Query { sql: &'a str },
    Execute { sql: &'a str },
    Memory,
}

#[derive(Debug, Deserialize)]
struct Opened {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Timed {
    seconds: f64,
    #[serde(flatten)]
    cells: Cells,
}

#[derive(Debug, Deserialize)]
struct Memory {
    peak_bytes: u64,
}
