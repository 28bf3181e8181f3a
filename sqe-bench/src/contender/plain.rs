use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use datafusion::{
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    prelude::{SessionConfig, SessionContext},
};
use sqe_core::{Error, Result};

use super::{Contender, Timed};
use crate::answer::Answer;

/// DataFusion as it comes, in this process, over Parquet files: what an engine built on it is measured against.
/// Reports call it `datafusion`.
pub struct PlainDataFusion {
    context: SessionContext,
}

/// What the engine under test and plain DataFusion must have in common for their times to be comparable.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// On how many partitions a query runs, and so on how many cores.
    pub target_partitions: usize,
    /// Rows of a batch.
    pub batch_size: usize,
    /// Other options of DataFusion, by their full names.
    pub options: BTreeMap<String, String>,
}

impl Settings {
    /// As many partitions, batches of 8192 rows, and DataFusion's defaults otherwise.
    #[must_use]
    pub fn new(target_partitions: usize) -> Self {
        Self { target_partitions, batch_size: 8192, options: BTreeMap::new() }
    }

    /// Sets an option by its full name, such as `datafusion.execution.parquet.pushdown_filters`.
    #[must_use]
    pub fn with_option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    fn session(&self) -> Result<SessionConfig> {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.target_partitions.max(1))
            .with_batch_size(self.batch_size.max(1));
        for (name, value) in &self.options {
            config.options_mut().set(name, value)?;
        }
        Ok(config)
    }
}

impl PlainDataFusion {
    /// Opens tables, each made of all these Parquet files.
    ///
    /// # Errors
    /// `InvalidInput` if a path is not absolute, a table has no files, or an option does not exist; `Internal` if a
    /// file cannot be read.
    pub async fn open(tables: &BTreeMap<String, Vec<PathBuf>>, settings: &Settings) -> Result<Self> {
        let context = SessionContext::new_with_config(settings.session()?);
        for (name, files) in tables {
            if files.is_empty() {
                return Err(Error::invalid(format!("table {name} has no files")));
            }
            let urls = files.iter().map(|file| url_of(file)).collect::<Result<Vec<_>>>()?;
            let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
                .with_session_config_options(&context.copied_config());
            let config = ListingTableConfig::new_with_multi_paths(urls)
                .with_listing_options(options)
                .infer_schema(&context.state())
                .await?;
            context.register_table(name.as_str(), Arc::new(ListingTable::try_new(config)?))?;
        }
        Ok(Self { context })
    }
}

/// As a URL, so that no character of the path is taken for a pattern.
fn url_of(file: &Path) -> Result<ListingTableUrl> {
    let url = url::Url::from_file_path(file)
        .map_err(|()| Error::invalid(format!("{} is not an absolute path", file.display())))?;
    Ok(ListingTableUrl::try_new(url, None)?)
}

#[async_trait]
impl Contender for PlainDataFusion {
    fn name(&self) -> &str {
        "datafusion"
    }

    fn version(&self) -> String {
        datafusion::DATAFUSION_VERSION.to_owned()
    }

    async fn run(&self, sql: &str) -> Result<Timed> {
        let begin = Instant::now();
        let frame = self.context.sql(sql).await?;
        let schema = Arc::clone(frame.schema().inner());
        let batches = frame.collect().await?;
        let elapsed = begin.elapsed();
        Ok(Timed { answer: Answer::from_batches(&schema, &batches)?, elapsed })
    }

    async fn peak_memory(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

impl std::fmt::Debug for PlainDataFusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainDataFusion").field("session", &self.context.session_id()).finish_non_exhaustive()
    }
}
