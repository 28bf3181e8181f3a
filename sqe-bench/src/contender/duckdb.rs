use async_trait::async_trait;
use sqe_core::Result;

use super::{Contender, Timed};
use crate::oracle::{Options, Oracle};

/// DuckDB in a process of its own; reports call it `duckdb`.
#[derive(Debug)]
pub struct DuckDb {
    oracle: Oracle,
}

impl DuckDb {
    /// Starts it.
    ///
    /// # Errors
    /// As [`Oracle::start`].
    pub async fn start(options: &Options) -> Result<Self> {
        Ok(Self { oracle: Oracle::start(options).await? })
    }
}

#[async_trait]
impl Contender for DuckDb {
    fn name(&self) -> &str {
        "duckdb"
    }

    fn version(&self) -> String {
        self.oracle.version().to_owned()
    }

    async fn run(&self, sql: &str) -> Result<Timed> {
        let (answer, elapsed) = self.oracle.query(sql).await?;
        Ok(Timed { answer, elapsed })
    }

    async fn peak_memory(&self) -> Result<Option<u64>> {
        self.oracle.peak_memory().await.map(Some)
    }
}
