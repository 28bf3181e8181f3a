//! One append snapshot on top of a table's present state.

use std::{collections::HashMap, sync::Arc};

use iceberg::{
    TableRequirement,
    io::FileIO,
    spec::{
        DataFile, FormatVersion, MAIN_BRANCH, ManifestFile, ManifestList, ManifestListWriter, ManifestWriterBuilder,
        Operation, Snapshot, SnapshotSummaryCollector, Summary, TableMetadata,
    },
};
use sqe_core::{Error, Result};
use uuid::Uuid;

use super::{Base, Change};
use crate::iceberg::error::from_iceberg;

const WHAT: &str = "commit the written files";

/// Running totals of a snapshot's summary: total, what adds to it and what takes from it.
const TOTALS: [(&str, &str, &str); 6] = [
    ("total-data-files", "added-data-files", "deleted-data-files"),
    ("total-delete-files", "added-delete-files", "removed-delete-files"),
    ("total-records", "added-records", "deleted-records"),
    ("total-files-size", "added-files-size", "removed-files-size"),
    ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
    ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
];

/// Builds the append snapshot of one statement, again on each attempt.
pub(super) struct Producer {
    io: FileIO,
    id: Uuid,
    snapshot_id: i64,
    files: Vec<DataFile>,
    summary: HashMap<String, String>,
    manifest: Option<ManifestFile>,
    attempts: u32,
    written: Vec<String>,
}

impl Producer {
    pub(super) fn new(io: FileIO, id: Uuid, files: Vec<DataFile>, summary: HashMap<String, String>) -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // Snapshot ids are positive; 63 random bits do not meet twice in a table.
        let snapshot_id = i64::try_from((high ^ low) >> 1).unwrap_or(i64::MAX).max(1);
        Self { io, id, snapshot_id, files, summary, manifest: None, attempts: 0, written: Vec::new() }
    }

    pub(super) fn snapshot_id(&self) -> i64 {
        self.snapshot_id
    }

    /// The metadata files that were written so far: the manifest, then a manifest list an attempt.
    pub(super) fn written(&self) -> &[String] {
        &self.written
    }

    /// The manifest lists of all attempts but the last.
    pub(super) fn superseded(&self) -> &[String] {
        match self.written.as_slice() {
            [_manifest, lost @ .., _last] => lost,
            _ => &[],
        }
    }

    /// The change that appends the files to `metadata`. `base` is `None` for a table that does not exist yet.
    pub(super) async fn change(&mut self, metadata: &TableMetadata, base: Option<&Base>) -> Result<Change> {
        if metadata.encryption_keys_iter().len() > 0 {
            return Err(Error::unsupported("encrypted tables cannot be written"));
        }
        let parent = metadata.current_snapshot();
        let mut manifests = match parent {
            None => Vec::new(),
            Some(parent) => self.manifests_of(parent.manifest_list(), metadata.format_version()).await?,
        };
        manifests.push(self.added(metadata).await?);
        let (list, rows) = self.write_list(metadata, manifests).await?;
        let now = chrono::Utc::now().timestamp_millis().max(metadata.last_updated_ms());
        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.snapshot_id)
            .with_parent_snapshot_id(metadata.current_snapshot_id())
            .with_sequence_number(metadata.next_sequence_number())
            .with_timestamp_ms(now)
            .with_manifest_list(list)
            .with_summary(self.summarize(metadata))
            .with_schema_id(metadata.current_schema_id());
        let snapshot = match rows {
            None => snapshot.build(),
            Some(assigned) => snapshot.with_row_range(metadata.next_row_id(), assigned).build(),
        };
        // `set_branch_snapshot` keeps the branch's retention.
        let built = metadata
            .clone()
            .into_builder(base.map(|base| base.location.clone()))
            .set_branch_snapshot(snapshot, MAIN_BRANCH)
            .and_then(|builder| builder.build())
            .map_err(|error| from_iceberg(error, WHAT))?;
        let requirements = match base {
            None => vec![TableRequirement::NotExist],
            Some(_) => vec![
                TableRequirement::UuidMatch { uuid: metadata.uuid() },
                TableRequirement::RefSnapshotIdMatch {
                    r#ref: MAIN_BRANCH.to_owned(),
                    snapshot_id: metadata.current_snapshot_id(),
                },
            ],
        };
        Ok(Change { requirements, updates: built.changes, metadata: built.metadata })
    }

    /// All manifests of the parent snapshot. Those that only record removed files stay until the snapshots that they
    /// belong to expire; those without any file are dropped.
    async fn manifests_of(&self, list: &str, version: FormatVersion) -> Result<Vec<ManifestFile>> {
        let what = "read the table's manifests";
        let input = self.io.new_input(list).map_err(|error| from_iceberg(error, what))?;
        let bytes = input.read().await.map_err(|error| from_iceberg(error, what))?;
        let list = ManifestList::parse_with_version(&bytes, version).map_err(|error| from_iceberg(error, what))?;
        let entries = list.consume_entries().into_iter();
        Ok(entries
            .filter(|manifest| {
                manifest.has_added_files() || manifest.has_existing_files() || manifest.has_deleted_files()
            })
            .collect())
    }

    /// The manifest of the added files. It is the same on every attempt: its entries inherit their sequence number.
    async fn added(&mut self, metadata: &TableMetadata) -> Result<ManifestFile> {
        if let Some(manifest) = &self.manifest {
            return Ok(manifest.clone());
        }
        let location = format!("{}/metadata/{}-m0.avro", folder(metadata), self.id);
        let output = self.io.new_output(&location).map_err(|error| from_iceberg(error, WHAT))?;
        self.written.push(location);
        let builder = ManifestWriterBuilder::new(
            output,
            Some(self.snapshot_id),
            Arc::clone(metadata.current_schema()),
            metadata.default_partition_spec().as_ref().clone(),
        );
        let (mut writer, sequence) = match metadata.format_version() {
            FormatVersion::V1 => (builder.build_v1(), 0),
            FormatVersion::V2 => (builder.build_v2_data(), UNASSIGNED),
            FormatVersion::V3 => (builder.build_v3_data(), UNASSIGNED),
        };
        for file in &self.files {
            writer.add_file(file.clone(), sequence).map_err(|error| from_iceberg(error, WHAT))?;
        }
        let manifest = writer.write_manifest_file().await.map_err(|error| from_iceberg(error, WHAT))?;
        self.manifest = Some(manifest.clone());
        Ok(manifest)
    }

    /// Writes the manifest list; returns where, and how many row ids it assigned (format version 3).
    async fn write_list(
        &mut self,
        metadata: &TableMetadata,
        manifests: Vec<ManifestFile>,
    ) -> Result<(String, Option<u64>)> {
        let location =
            format!("{}/metadata/snap-{}-{}-{}.avro", folder(metadata), self.snapshot_id, self.attempts, self.id);
        self.attempts += 1;
        let output = self.io.new_output(&location).map_err(|error| from_iceberg(error, WHAT))?;
        self.written.push(location.clone());
        let sink = output.writer().await.map_err(|error| from_iceberg(error, WHAT))?;
        let (id, parent) = (self.snapshot_id, metadata.current_snapshot_id());
        let (sequence, first_row) = (metadata.next_sequence_number(), metadata.next_row_id());
        let mut writer = match metadata.format_version() {
            FormatVersion::V1 => ManifestListWriter::v1(sink, id, parent),
            FormatVersion::V2 => ManifestListWriter::v2(sink, id, parent, sequence),
            FormatVersion::V3 => ManifestListWriter::v3(sink, id, parent, sequence, Some(first_row)),
        };
        writer.add_manifests(manifests.into_iter()).map_err(|error| from_iceberg(error, WHAT))?;
        let rows = writer.next_row_id().map(|next| next.saturating_sub(first_row));
        writer.close().await.map_err(|error| from_iceberg(error, WHAT))?;
        Ok((location, rows))
    }

    fn summarize(&self, metadata: &TableMetadata) -> Summary {
        let mut collector = SnapshotSummaryCollector::default();
        for file in &self.files {
            let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
            collector.add_file(file, Arc::clone(schema), Arc::clone(spec));
        }
        let mut properties = self.summary.clone();
        properties.extend(collector.build());
        let before = metadata.current_snapshot().map(|snapshot| &snapshot.summary().additional_properties);
        for (total, added, removed) in TOTALS {
            // A parent that does not say its total has none that could be continued.
            let start = match before {
                None => Some(0),
                Some(before) => before.get(total).and_then(|value| value.parse::<u64>().ok()),
            };
            let number = |key: &str| properties.get(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
            if let Some(start) = start {
                let sum = start.saturating_add(number(added)).saturating_sub(number(removed));
                properties.insert(total.to_owned(), sum.to_string());
            }
        }
        Summary { operation: Operation::Append, additional_properties: properties }
    }
}

/// Tells the manifest writer that sequence numbers are inherited from the manifest list.
const UNASSIGNED: i64 = -1;

fn folder(metadata: &TableMetadata) -> &str {
    metadata.location().trim_end_matches('/')
}
