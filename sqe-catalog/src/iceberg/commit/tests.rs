use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures::TryStreamExt;
use iceberg::{
    TableCreation,
    io::FileIO,
    spec::{
        DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, MAIN_BRANCH, ManifestList,
        NestedField, PrimitiveType, Schema, SnapshotReference, SnapshotRetention, TableMetadata, TableMetadataBuilder,
        Type,
    },
};
use object_store::{ObjectStore, memory::InMemory};
use parking_lot::Mutex;
use rstest::rstest;
use sqe_core::{Error, ErrorKind, Result};
use uuid::Uuid;

use super::{Append, Base, Change, CommitClient, Outcome, append, create};
use crate::iceberg::io::file_io;

/// What the next commits come to; after that they are committed.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Conflict,
    /// The change takes effect and nobody says so.
    SilentlyDone,
    /// Nothing happens and nobody says so.
    SilentlyLost,
}

#[derive(Debug)]
struct Table {
    state: Mutex<Option<Base>>,
    answers: Mutex<Vec<Answer>>,
    updates: Mutex<usize>,
}

impl Table {
    fn new(metadata: Option<TableMetadata>, answers: &[Answer]) -> Self {
        let state =
            metadata.map(|metadata| Base::new(Arc::new(metadata), "file:///w/t/metadata/00000-x.metadata.json"));
        Self { state: Mutex::new(state), answers: Mutex::new(answers.to_vec()), updates: Mutex::new(0) }
    }

    fn put(&self, metadata: TableMetadata) {
        *self.state.lock() = Some(Base::new(Arc::new(metadata), format!("file:///w/t/metadata/{}", Uuid::new_v4())));
    }

    fn metadata(&self) -> Arc<TableMetadata> {
        Arc::clone(&self.state.lock().as_ref().unwrap().metadata)
    }
}

#[async_trait]
impl CommitClient for Table {
    async fn load(&self) -> Result<Base> {
        self.state.lock().clone().ok_or_else(|| Error::not_found("no such table"))
    }

    async fn commit(&self, base: Option<&Base>, change: Change) -> Result<Outcome> {
        for requirement in &change.requirements {
            requirement.check(base.map(|base| base.metadata.as_ref())).unwrap();
        }
        *self.updates.lock() = change.updates.len();
        let answer = self.answers.lock().pop();
        match answer {
            None => self.put(change.metadata),
            Some(Answer::SilentlyDone) => {
                self.put(change.metadata);
                return Ok(Outcome::Unknown(Error::unavailable("no answer")));
            }
            Some(Answer::SilentlyLost) => return Ok(Outcome::Unknown(Error::unavailable("no answer"))),
            Some(Answer::Conflict) => return Ok(Outcome::Conflict),
        }
        Ok(Outcome::Committed)
    }
}

fn metadata(version: FormatVersion) -> TableMetadata {
    let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)).into();
    let creation = TableCreation::builder()
        .name("t".to_owned())
        .location("file:///w/t".to_owned())
        .schema(Schema::builder().with_fields([id]).build().unwrap())
        .format_version(version)
        .build();
    TableMetadataBuilder::from_table_creation(creation).unwrap().build().unwrap().metadata
}

fn file(name: &str) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("file:///w/t/data/{name}"))
        .file_format(DataFileFormat::Parquet)
        .record_count(10)
        .file_size_in_bytes(100)
        .build()
        .unwrap()
}

fn change(metadata: &TableMetadata, name: &str) -> Append {
    let written_for = metadata.clone();
    Append { written_for, id: Uuid::new_v4(), files: vec![file(name)], summary: HashMap::new() }
}

fn storage() -> (Arc<dyn ObjectStore>, FileIO) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    (Arc::clone(&store), file_io(store))
}

async fn files(store: &Arc<dyn ObjectStore>) -> usize {
    store.list(None).try_collect::<Vec<_>>().await.unwrap().len()
}

/// The paths of the live data files of the current snapshot, with their sequence numbers.
async fn live(table: &Table, io: &FileIO) -> Vec<(String, i64)> {
    let metadata = table.metadata();
    let list = io.new_input(metadata.current_snapshot().unwrap().manifest_list()).unwrap().read().await.unwrap();
    let mut found = Vec::new();
    for manifest in ManifestList::parse_with_version(&list, metadata.format_version()).unwrap().entries() {
        for entry in manifest.load_manifest(io).await.unwrap().entries() {
            found.push((entry.file_path().to_owned(), entry.sequence_number().unwrap()));
        }
    }
    found.sort();
    found
}

#[rstest]
#[case(FormatVersion::V1, [0, 0])]
#[case(FormatVersion::V2, [1, 2])]
#[case(FormatVersion::V3, [1, 2])]
#[tokio::test]
async fn appends_add_up_in_every_format_version(#[case] version: FormatVersion, #[case] sequence: [i64; 2]) {
    let (store, io) = storage();
    let table = Table::new(Some(metadata(version)), &[]);
    for name in ["a", "b"] {
        append(&table, &io, change(&table.metadata(), name)).await.unwrap();
    }
    let expected = [("a", sequence[0]), ("b", sequence[1])].map(|(name, n)| (format!("file:///w/t/data/{name}"), n));
    assert_eq!(live(&table, &io).await, expected);
    assert_eq!(files(&store).await, 4);
    let metadata = table.metadata();
    let current = metadata.current_snapshot().unwrap();
    assert_eq!(current.summary().additional_properties["total-records"], "20");
    assert_eq!(current.row_range(), (version == FormatVersion::V3).then_some((10, 10)));
    assert_eq!(metadata.next_row_id(), if version == FormatVersion::V3 { 20 } else { 0 });
    assert_eq!(*table.updates.lock(), 2);
}

#[tokio::test]
async fn lost_attempts_are_built_again_and_leave_no_file() {
    let (store, io) = storage();
    let table = Table::new(Some(metadata(FormatVersion::V2)), &[Answer::Conflict; 3]);
    append(&table, &io, change(&table.metadata(), "a")).await.unwrap();
    assert_eq!(live(&table, &io).await.len(), 1);
    assert_eq!(files(&store).await, 2);
}

#[tokio::test]
async fn conflicts_without_end_are_a_conflict_and_leave_no_file() {
    let (store, io) = storage();
    let table = Table::new(Some(metadata(FormatVersion::V2)), &[Answer::Conflict; 100]);
    let failure = append(&table, &io, change(&table.metadata(), "a")).await.unwrap_err();
    assert_eq!((failure.error.kind(), failure.certain), (ErrorKind::Conflict, true));
    assert_eq!(files(&store).await, 0);
}

#[tokio::test]
async fn an_unanswered_commit_is_looked_for_and_its_files_are_never_removed() {
    let (store, io) = storage();
    let table = Table::new(Some(metadata(FormatVersion::V2)), &[Answer::SilentlyDone]);
    append(&table, &io, change(&table.metadata(), "a")).await.unwrap();
    assert_eq!(live(&table, &io).await.len(), 1);

    table.answers.lock().push(Answer::SilentlyLost);
    let failure = append(&table, &io, change(&table.metadata(), "b")).await.unwrap_err();
    assert_eq!((failure.error.kind(), failure.certain), (ErrorKind::Unavailable, false));
    assert_eq!(files(&store).await, 4);
    assert_eq!(live(&table, &io).await.len(), 1);
}

#[tokio::test]
async fn an_unanswered_creation_is_looked_for_too() {
    let (store, io) = storage();
    let fresh = metadata(FormatVersion::V2);
    let table = Table::new(None, &[Answer::SilentlyDone]);
    create(&table, &io, fresh.clone(), Some(change(&fresh, "a"))).await.unwrap();
    assert_eq!(live(&table, &io).await.len(), 1);
    let lost = Table::new(None, &[Answer::SilentlyLost]);
    let failure = create(&lost, &io, fresh.clone(), Some(change(&fresh, "a"))).await.unwrap_err();
    assert!(!failure.certain);
    assert_eq!(files(&store).await, 4);
}

#[tokio::test]
async fn the_branch_keeps_its_retention() {
    let (_, io) = storage();
    let table = Table::new(Some(metadata(FormatVersion::V2)), &[]);
    append(&table, &io, change(&table.metadata(), "a")).await.unwrap();
    let before = table.metadata();
    let retention = SnapshotRetention::branch(Some(7), Some(8), None);
    let reference = SnapshotReference::new(before.current_snapshot_id().unwrap(), retention.clone());
    let kept = TableMetadata::clone(&before).into_builder(None).set_ref(MAIN_BRANCH, reference).unwrap();
    table.put(kept.build().unwrap().metadata);
    append(&table, &io, change(&table.metadata(), "b")).await.unwrap();
    let json = serde_json::to_value(table.metadata().as_ref()).unwrap();
    assert_eq!(json["refs"]["main"]["min-snapshots-to-keep"], 7);
    assert_eq!(json["refs"]["main"]["max-snapshot-age-ms"], 8);
    assert_eq!(live(&table, &io).await.len(), 2);
}

#[tokio::test]
async fn rows_for_older_columns_are_a_conflict_and_for_the_present_ones_are_added() {
    let (store, io) = storage();
    let table = Table::new(Some(metadata(FormatVersion::V2)), &[]);
    let written_for = table.metadata();
    let further = NestedField::optional(2, "more", Type::Primitive(PrimitiveType::Long)).into();
    let schema = written_for.current_schema().as_ref().clone().into_builder().with_fields([further]).build().unwrap();
    let evolved = TableMetadata::clone(&written_for).into_builder(None).add_current_schema(schema).unwrap();
    table.put(evolved.build().unwrap().metadata);
    let failure = append(&table, &io, change(&written_for, "a")).await.unwrap_err();
    assert_eq!((failure.error.kind(), failure.certain), (ErrorKind::Conflict, true));
    assert_eq!(files(&store).await, 0);
    append(&table, &io, change(&table.metadata(), "a")).await.unwrap();
    assert_eq!(live(&table, &io).await.len(), 1);
}
