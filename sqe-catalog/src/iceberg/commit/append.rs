//! Appending, with further attempts on top of what others committed meanwhile.

use std::{collections::HashMap, time::Duration};

use iceberg::{
    TableRequirement,
    io::FileIO,
    spec::{DataFile, TableMetadata},
};
use sqe_core::{Error, Result};
use uuid::Uuid;

use super::{Base, Change, CommitClient, Outcome, snapshot::Producer};

/// Attempts before somebody else's commits are reported as a conflict. Each takes a few files of a few kilobytes.
const ATTEMPTS: u32 = 30;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 40 } else { 1000 });

/// Data files to add to a table.
#[derive(Debug)]
pub struct Append {
    /// The metadata that the files were written for.
    pub written_for: TableMetadata,
    /// The statement's id, part of the names of its metadata files.
    pub id: Uuid,
    /// The files.
    pub files: Vec<DataFile>,
    /// Further entries of the snapshot's summary.
    pub summary: HashMap<String, String>,
}

/// A commit that failed, and whether it is certain that it did.
#[derive(Debug)]
pub struct CommitFailure {
    /// Why.
    pub error: Error,
    /// Whether the change is certainly not in effect, so that its files may be removed.
    pub certain: bool,
}

impl From<Error> for CommitFailure {
    fn from(error: Error) -> Self {
        Self { error, certain: true }
    }
}

/// Appends data files to an existing table. `io` must be able to write below the table's location.
///
/// # Errors
/// `Conflict` if the table's definition changed since the files were written or others were faster all the time,
/// `NotFound` if the table is gone, `Unavailable`.
pub async fn append(client: &dyn CommitClient, io: &FileIO, append: Append) -> Result<(), CommitFailure> {
    let Append { written_for, id, files, summary } = append;
    let mut producer = Producer::new(io.clone(), id, files, summary);
    let result = attempts(client, &written_for, &mut producer).await;
    finish(io, &producer, result).await
}

async fn attempts(
    client: &dyn CommitClient,
    written_for: &TableMetadata,
    producer: &mut Producer,
) -> Result<(), CommitFailure> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..ATTEMPTS {
        let base = client.load().await?;
        same_definition(written_for, &base.metadata)?;
        let change = producer.change(&base.metadata, Some(&base)).await?;
        match client.commit(Some(&base), change).await? {
            Outcome::Committed => return Ok(()),
            Outcome::Conflict => {}
            Outcome::Unknown(error) => return settle(client, producer.snapshot_id(), error).await,
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(Error::conflict("others committed to the table faster than this statement; try again").into())
}

/// Creates a table, with the files as its first snapshot if there are any.
///
/// # Errors
/// `AlreadyExists`, `Unavailable`.
pub async fn create(
    client: &dyn CommitClient,
    io: &FileIO,
    metadata: TableMetadata,
    first: Option<Append>,
) -> Result<(), CommitFailure> {
    let (id, files, summary) = match first {
        Some(append) => (append.id, append.files, append.summary),
        None => (Uuid::new_v4(), Vec::new(), HashMap::new()),
    };
    let empty = files.is_empty();
    let uuid = metadata.uuid();
    let mut producer = Producer::new(io.clone(), id, files, summary);
    let result = async {
        let change = match empty {
            false => producer.change(&metadata, None).await?,
            true => Change { requirements: vec![TableRequirement::NotExist], updates: Vec::new(), metadata },
        };
        match client.commit(None, change).await? {
            Outcome::Committed => Ok(()),
            Outcome::Conflict => Err(Error::already_exists("the table exists already").into()),
            Outcome::Unknown(error) => match client.load().await {
                Ok(base) if base.metadata.uuid() == uuid => Ok(()),
                _ => Err(CommitFailure { error, certain: false }),
            },
        }
    }
    .await;
    finish(io, &producer, result).await
}

/// Asks again what became of a commit that nobody answered for.
async fn settle(client: &dyn CommitClient, snapshot: i64, error: Error) -> Result<(), CommitFailure> {
    match client.load().await {
        Ok(base) if base.metadata.snapshot_by_id(snapshot).is_some() => Ok(()),
        // It may still arrive.
        _ => Err(CommitFailure { error, certain: false }),
    }
}

/// Removes the metadata files that no snapshot refers to: all of a commit that certainly failed, those of the lost attempts
/// of one that succeeded. What became of an unknown one is nobody's to touch.
async fn finish(io: &FileIO, producer: &Producer, result: Result<(), CommitFailure>) -> Result<(), CommitFailure> {
    let unused = match &result {
        Ok(()) => producer.superseded(),
        Err(failure) if failure.certain => producer.written(),
        Err(_) => &[],
    };
    for location in unused {
        if let Err(error) = io.delete(location).await {
            tracing::warn!(%error, %location, "an unused metadata file was left behind");
        }
    }
    result
}

/// Files written for one definition of a table are not added to another.
fn same_definition(written_for: &TableMetadata, now: &TableMetadata) -> Result<()> {
    if written_for.uuid() != now.uuid() {
        return Err(Error::conflict("the table was replaced by another of the same name; try again"));
    }
    let schema = written_for.current_schema_id() == now.current_schema_id();
    if schema && written_for.default_partition_spec_id() == now.default_partition_spec_id() {
        return Ok(());
    }
    Err(Error::conflict("the table's columns or partitioning changed while rows were written; try again"))
}

/// Half of the pause and a random part of the other half: two writers do not stay in step.
fn jittered(pause: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let share = u32::try_from(random % 1000).unwrap_or(0);
    pause / 2 + pause * share / 2000
}

impl Base {
    /// A state.
    #[must_use]
    pub fn new(metadata: std::sync::Arc<TableMetadata>, location: impl Into<String>) -> Self {
        Self { metadata, location: location.into() }
    }
}
