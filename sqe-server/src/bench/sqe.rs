//! SQE as its clients have it: Flight SQL over loopback.

use std::time::Instant;

use async_trait::async_trait;
use sqe_bench::{
    answer::Answer,
    contender::{Contender, Timed},
};
use sqe_core::{Result, Secret};
use sqe_flight::client::{Client, ConnectOptions};

/// SQE as one person.
#[derive(Debug)]
pub(super) struct Sqe {
    name: &'static str,
    client: Client,
}

impl Sqe {
    pub(super) async fn connect(name: &'static str, uri: &str, token: &Secret) -> Result<Self> {
        let mut client = Client::connect(&ConnectOptions::new(uri).with_token(token.clone())).await?;
        client.login().await?;
        Ok(Self { name, client })
    }
}

#[async_trait]
impl Contender for Sqe {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    async fn run(&self, sql: &str) -> Result<Timed> {
        let begin = Instant::now();
        let rows = self.client.execute(sql).await?;
        let schema = rows.schema();
        let batches = rows.collect().await?;
        let elapsed = begin.elapsed();
        Ok(Timed { answer: Answer::from_batches(&schema, &batches)?, elapsed })
    }

    async fn peak_memory(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}
