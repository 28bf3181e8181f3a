//! The tables through SQL, without the engine: what policy does with them is tested where policy is.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType},
    util::display::array_value_to_string,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result as DataFusionResult,
    execution::TaskContext,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit},
    physical_plan::{ExecutionPlan, collect, streaming::StreamingTableExec},
    prelude::{SessionConfig, SessionContext},
    scalar::ScalarValue,
};
use futures::StreamExt as _;
use sqe_core::{
    Action, ColumnType, ErrorKind, FieldId, Identity, Principal, QueryId, TableId, TableName,
    audit::{
        AuditEvent, AuditSink as _, ClientInfo, ColumnUse, EventKind, Outcome, QueryEffect, QueryFacts, TableAccess,
        Verdict,
    },
    catalog::{CatalogSession as _, CatalogTable as _},
};
use uuid::Uuid;

use super::{AuditCatalog, AuditSession, scan, table::AuditTable, table::View};
use crate::{Trail, TrailOptions};

/// What the engine does with a table, without the governing.
#[derive(Debug)]
struct Ungoverned(AuditTable);

#[async_trait]
impl TableProvider for Ungoverned {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let partitions = state.config().target_partitions();
        Ok(scan::plan(&self.0, projection.map(Vec::as_slice), filters, limit, partitions)?)
    }
}

async fn query(catalog: &AuditCatalog, sql: &str) -> RecordBatch {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    for view in View::ALL {
        let table = Ungoverned(catalog.load("system", view).unwrap());
        context.register_table(view.name(), Arc::new(table)).unwrap();
    }
    let frame = context.sql(sql).await.unwrap();
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await.unwrap();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// All cells as text, in rows, for short comparisons; NULL is `-`.
async fn rows(catalog: &AuditCatalog, sql: &str) -> Vec<Vec<String>> {
    let batch = query(catalog, sql).await;
    let cell = |column: &dyn Array, row| {
        if column.is_null(row) { "-".to_owned() } else { array_value_to_string(column, row).unwrap() }
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect()).collect()
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_770_000_000 + 60 * minute, 123_456_789).unwrap()
}

fn facts(subject: &str) -> QueryFacts {
    let mut identity = Identity::new(Principal::new("https://idp.example", subject));
    identity.actors = vec![Principal::new("https://idp.example", "notebook")];
    let client = ClientInfo::new("flight-sql").with_address("192.0.2.7:4711").with_application("adbc");
    QueryFacts::new(QueryId::random(), &identity, client, "SELECT c_name FROM customer WHERE c_custkey = ?")
}

fn customer() -> TableAccess {
    let id = TableId::new(TableName::new("lake", "tpch", "customer"), Uuid::from_u128(7));
    let mut access = TableAccess::new(id, Action::Select, Verdict::Restricted);
    let mut phone = ColumnUse::new(FieldId(5), "c_phone");
    phone.masked = true;
    let mut segment = ColumnUse::new(FieldId(7), "c_mktsegment");
    segment.policy_only = true;
    access.columns = vec![ColumnUse::new(FieldId(2), "c_name"), phone, segment];
    access.snapshot = Some(99);
    access.policies = vec!["analysts".into(), "building".into()];
    access.decision = "d1".into();
    access.policy_snapshot = "p1".into();
    access.session_name = Some("alice@1".into());
    access
}

fn missing() -> TableAccess {
    TableAccess::new(
        TableId::new(TableName::new("lake", "tpch", "nosuch"), Uuid::nil()),
        Action::Select,
        Verdict::Missing,
    )
}

fn event(facts: &QueryFacts, minute: i64, kind: EventKind, tables: Vec<TableAccess>) -> AuditEvent {
    let mut event = AuditEvent::now(facts.clone(), kind, tables);
    event.time = at(minute);
    event
}

fn done(outcome: Outcome) -> EventKind {
    EventKind::Effect(QueryEffect::new(outcome, 30, 4000))
}

/// Four queries: finished, running, refused, without tables.
async fn sample(dir: &Path, segment_bytes: u64) -> Trail {
    let trail = TrailOptions::new().with_segment_bytes(segment_bytes).open(dir).unwrap();
    let (alice, bob, carol, dave) = (facts("alice"), facts("bob"), facts("carol"), facts("dave"));
    let denied = EventKind::Refused(QueryEffect::new(Outcome::failed(ErrorKind::NotFound), 0, 0));
    for event in [
        event(&alice, 0, EventKind::Intent, vec![customer()]),
        event(&bob, 1, EventKind::Intent, vec![customer(), missing()]),
        event(&carol, 2, denied, vec![missing()]),
        event(&alice, 3, done(Outcome::Completed), vec![customer()]),
        event(&dave, 4, EventKind::Intent, vec![]),
        event(&dave, 5, done(Outcome::Cancelled), vec![]),
    ] {
        trail.record(event).await.unwrap();
    }
    trail
}

#[rstest::rstest]
#[case::one_segment(1 << 20)]
#[case::a_segment_a_record(1)]
#[tokio::test]
async fn access_has_one_row_a_query_and_table(#[case] segment_bytes: u64) {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), segment_bytes).await;
    let sql = "SELECT subject, \"table\", decision, outcome, rows, error FROM access ORDER BY time, \"table\"";
    let expected = [
        ["alice", "customer", "restricted", "completed", "30", "-"],
        ["bob", "customer", "restricted", "running", "-", "-"],
        ["bob", "nosuch", "missing", "running", "-", "-"],
        ["carol", "nosuch", "missing", "failed", "0", "not_found"],
        ["dave", "-", "-", "cancelled", "30", "-"],
    ];
    assert_eq!(rows(&trail.catalog(), sql).await, expected);
    assert_eq!(rows(&AuditCatalog::of_folder(dir.path()), sql).await, expected, "from outside of the writer, too");

    drop(trail);
    drop(Trail::open(dir.path()).unwrap());
    let after = rows(&AuditCatalog::of_folder(dir.path()), sql).await;
    assert_eq!(after[1], ["bob", "customer", "restricted", "interrupted", "0", "-"], "after a restart");
}

#[tokio::test]
async fn every_column_says_what_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), 1 << 20).await;
    let batch = query(&trail.catalog(), "SELECT * FROM access WHERE subject = 'alice'").await;
    assert_eq!(batch.num_rows(), 1);
    let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
    let time = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    let number = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    let texts = |name: &str| {
        let list = batch.column_by_name(name).unwrap().as_list::<i32>().value(0);
        list.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((time("time"), time("end_time")), (at(0).timestamp_micros(), at(3).timestamp_micros()));
    assert_eq!(text("query_id").parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!((text("issuer"), text("subject")), ("https://idp.example".into(), "alice".into()));
    assert_eq!((text("catalog"), text("schema"), text("table")), ("lake".into(), "tpch".into(), "customer".into()));
    assert_eq!(texts("columns"), ["c_name", "c_phone"]);
    let ids = batch.column_by_name("column_ids").unwrap().as_list::<i32>().value(0);
    assert_eq!(ids.as_primitive::<Int32Type>().values(), &[2, 5]);
    assert_eq!(
        (texts("masked_columns"), texts("policy_columns")),
        (vec!["c_phone".into()], vec!["c_mktsegment".into()])
    );
    assert_eq!(
        (text("decision"), text("action"), text("outcome")),
        ("restricted".into(), "select".into(), "completed".into())
    );
    assert_eq!((number("rows"), number("bytes"), number("snapshot_id")), (30, 4000, 99));
    assert_eq!(texts("policies"), ["analysts", "building"]);
    assert_eq!((text("policy_snapshot"), text("decision_digest")), ("p1".into(), "d1".into()));
    assert_eq!(text("statement"), "SELECT c_name FROM customer WHERE c_custkey = ?");
    assert_eq!((text("client_address"), text("client_application")), ("192.0.2.7:4711".into(), "adbc".into()));
    assert_eq!((text("protocol"), text("session_name")), ("flight-sql".into(), "alice@1".into()));
    assert_eq!(text("table_uuid"), Uuid::from_u128(7).to_string());
    assert_eq!(texts("actors"), ["https://idp.example#notebook"]);
    assert_eq!(text("chain"), trail.head().chain.to_string());
    assert!(batch.column_by_name("error").unwrap().is_null(0));
    let nosuch = rows(&trail.catalog(), "SELECT table_uuid, columns FROM access WHERE subject = 'carol'").await;
    assert_eq!(nosuch, [["-", "[]"]]);
}

#[tokio::test]
async fn who_read_a_table_and_which_columns_is_one_query() {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), 1).await;
    let sql = "SELECT DISTINCT subject, unnest(columns) AS c, unnest(policies) AS p FROM access \
               WHERE \"table\" = 'customer' AND outcome = 'completed' AND time >= TIMESTAMP '2026-02-01T00:00:00Z' \
               ORDER BY c";
    let expected = [["alice", "c_name", "analysts"], ["alice", "c_phone", "building"]];
    assert_eq!(rows(&trail.catalog(), sql).await, expected);
    assert_eq!(rows(&trail.catalog(), "SELECT count(*) FROM access").await, [["5"]]);
    assert_eq!(rows(&trail.catalog(), "SELECT 1 FROM access LIMIT 2").await.len(), 2);
}

#[tokio::test]
async fn events_has_one_row_a_record_with_what_its_hash_is_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), 2000).await;
    let head = trail.head();
    let sql = "SELECT seq, prev, hash, record, kind, subject FROM events ORDER BY seq";
    let all = rows(&trail.catalog(), sql).await;
    assert_eq!(all.len() as u64, head.seq);
    let mut prev = crate::Hash::NONE;
    for row in &all {
        assert_eq!(row[1], prev.to_string());
        prev = crate::Hash::chained(&prev, row[0].parse().unwrap(), row[3].as_bytes());
        assert_eq!(row[2], prev.to_string());
    }
    assert_eq!(prev, head.hash);
    let kinds: BTreeSet<_> = all.iter().map(|row| &*row[4]).collect();
    assert_eq!(kinds, BTreeSet::from(["genesis", "opened", "segment", "intent", "effect", "refused"]));
    assert_eq!((&*all[0][5], &*all[2][5]), ("-", "alice"));
}

/// The number of segments that a plan reads.
fn segments_read(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let plan = plan.downcast_ref::<StreamingTableExec>().unwrap();
    let text = format!("{:?}", plan.partitions());
    let counts = text.split("segments: ").skip(1).map(|rest| rest.split(',').next().unwrap().parse::<usize>().unwrap());
    counts.sum()
}

#[tokio::test]
async fn a_condition_on_time_skips_segments_and_loses_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let trail = TrailOptions::new().with_segment_bytes(1).open(dir.path()).unwrap();
    // Queries that begin in each other's segments; one runs through all; the clock steps back once.
    let long = facts("long");
    trail.record(event(&long, 0, EventKind::Intent, vec![customer()])).await.unwrap();
    for minute in 1..30 {
        let minute = if minute == 17 { 3 } else { minute };
        let short = facts(&format!("short-{minute}"));
        trail.record(event(&short, minute, EventKind::Intent, vec![customer()])).await.unwrap();
        trail.record(event(&short, minute + 1, done(Outcome::Completed), vec![customer()])).await.unwrap();
    }
    trail.record(event(&long, 31, done(Outcome::Completed), vec![customer()])).await.unwrap();
    let running = facts("running");
    trail.record(event(&running, 32, EventKind::Intent, vec![customer()])).await.unwrap();
    let refused = EventKind::Refused(QueryEffect::new(Outcome::Denied, 0, 0));
    trail.record(event(&facts("refused"), 33, refused, vec![])).await.unwrap();

    let table = trail.catalog().load("system", View::Access).unwrap();
    let all = scan::plan(&table, None, &[], None, 1).unwrap();
    let total = segments_read(&all);
    assert!(total > 60);
    let literal = |minute| lit(ScalarValue::TimestampMicrosecond(Some(at(minute).timestamp_micros()), None));
    for (low, high) in [(0, 0), (0, 1), (3, 3), (10, 12), (17, 17), (29, 40), (32, 32), (33, 50), (-5, -1), (-5, 90)] {
        let filters = [col("time").gt_eq(literal(low)), literal(high).gt_eq(col("time"))];
        let plan = scan::plan(&table, None, &filters, None, 4).unwrap();
        if high - low < 5 {
            assert!(segments_read(&plan) < total / 3, "{low}..{high}");
        }
        let found = collect(plan, Arc::new(TaskContext::default())).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .flat_map(|batch| {
                let subjects = batch.column_by_name("subject").unwrap().as_string::<i32>();
                let outcomes = batch.column_by_name("outcome").unwrap().as_string::<i32>();
                let pairs = subjects.iter().zip(outcomes.iter());
                pairs.map(|(subject, outcome)| format!("{} {}", subject.unwrap(), outcome.unwrap())).collect::<Vec<_>>()
            })
            .collect();
        let mut expected = Vec::new();
        let inside = |minute: i64| (low..=high).contains(&minute);
        expected.extend(inside(0).then(|| "long completed".to_owned()));
        for minute in (1..30).filter(|minute| *minute != 17) {
            let times = if minute == 3 { 2 } else { 1 };
            expected.extend(std::iter::repeat_n(format!("short-{minute} completed"), times).filter(|_| inside(minute)));
        }
        expected.extend(inside(32).then(|| "running running".to_owned()));
        expected.extend(inside(33).then(|| "refused denied".to_owned()));
        let (mut found, mut expected) = (found, expected);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{low}..{high}");
    }
}

#[tokio::test]
async fn a_table_stays_as_it_was_when_it_was_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), 3000).await;
    let table = trail.catalog().load("system", View::Access).unwrap();
    assert_eq!(table.snapshot(), Some(trail.head().seq as i64));
    for minute in 10..40 {
        trail.record(event(&facts("later"), minute, EventKind::Intent, vec![])).await.unwrap();
    }
    let count = |table: AuditTable| async move {
        let plan = scan::plan(&table, Some(&[]), &[], None, 2).unwrap();
        let batches = collect(plan, Arc::new(TaskContext::default())).await.unwrap();
        batches.iter().map(RecordBatch::num_rows).sum::<usize>()
    };
    assert_eq!(count(table).await, 5);
    assert_eq!(count(trail.catalog().load("system", View::Access).unwrap()).await, 35);
}

#[tokio::test]
async fn a_dropped_stream_stops_reading_and_batches_stay_small() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path()).unwrap();
    let large = || {
        let mut facts = facts("alice");
        facts.statement = "x".repeat(1 << 20);
        event(&facts, 0, EventKind::Refused(QueryEffect::new(Outcome::Denied, 0, 0)), vec![])
    };
    trail.record_all((0..30).map(|_| large()).collect()).await.unwrap();
    let table = trail.catalog().load("system", View::Access).unwrap();
    let plan = scan::plan(&table, None, &[], None, 1).unwrap();
    let mut stream = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!((1..=5).contains(&first.num_rows()), "{} rows of 1 MiB", first.num_rows());
    drop(stream);
    assert_eq!(rows(&trail.catalog(), "SELECT count(*) FROM access").await, [["30"]]);
}

#[tokio::test]
async fn trails_of_several_processes_are_one_table() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (sample(one.path(), 1 << 20).await, sample(two.path(), 1).await);
    let both = first.catalog().and_folder(two.path());
    let counted = rows(&both, "SELECT chain, count(*) FROM access GROUP BY chain ORDER BY chain").await;
    let mut expected = [first.head().chain, second.head().chain].map(|chain| vec![chain.to_string(), "5".to_owned()]);
    expected.sort();
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn a_damaged_trail_is_an_error_and_never_fewer_rows() {
    let dir = tempfile::tempdir().unwrap();
    drop(sample(dir.path(), 1).await);
    let catalog = AuditCatalog::of_folder(dir.path());
    let segments = crate::segment::list(dir.path()).unwrap();
    let middle = &segments[segments.len() / 2].path;
    let good = std::fs::read(middle).unwrap();
    std::fs::write(middle, [b"x", &*good].concat()).unwrap();
    let table = catalog.load("system", View::Access).unwrap();
    let run = |table: AuditTable| async move { collect_all(scan::plan(&table, None, &[], None, 2).unwrap()).await };
    let error = sqe_core::Error::from(run(table.clone()).await.unwrap_err());
    assert!(error.message().contains("verify the trail"), "{error}");
    std::fs::write(middle, good).unwrap();
    assert_eq!(run(table).await.unwrap(), 5);
}

#[tokio::test]
async fn a_trail_that_cannot_be_read_tells_people_no_paths() {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), 1).await;
    let catalog = trail.catalog();
    let table = catalog.load("system", View::Access).unwrap();
    let run = |table: AuditTable| async move { collect_all(scan::plan(&table, None, &[], None, 2).unwrap()).await };
    assert_eq!(run(table.clone()).await.unwrap(), 5);

    // Where a segment was there is something that cannot be read: for scans, and for what is looked at before them.
    let segments = crate::segment::list(dir.path()).unwrap();
    let middle = &segments[segments.len() / 2].path;
    std::fs::remove_file(middle).unwrap();
    std::fs::create_dir(middle).unwrap();
    let of_scan = sqe_core::Error::from(run(table).await.unwrap_err());
    let of_folder = AuditCatalog::of_folder(dir.path().join("no folder")).load("system", View::Access).unwrap_err();
    for (error, place) in [(of_scan, middle.as_path()), (of_folder, dir.path())] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.message(), "the audit trail cannot be read; verify the trail");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(place.to_str().unwrap()), "the operator's log names no place: {source}");
    }
}

async fn collect_all(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<usize> {
    let mut rows = 0;
    for partition in 0..plan.properties().partitioning.partition_count() {
        let mut stream = plan.execute(partition, Arc::new(TaskContext::default()))?;
        while let Some(batch) = stream.next().await {
            rows += batch?.num_rows();
        }
    }
    Ok(rows)
}

#[tokio::test]
async fn an_empty_folder_has_empty_tables() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = AuditCatalog::of_folder(dir.path());
    assert_eq!(rows(&catalog, "SELECT count(*) FROM access").await, [["0"]]);
    assert_eq!(rows(&catalog, "SELECT * FROM events").await.len(), 0);
}

#[tokio::test]
async fn the_session_lists_and_loads_its_tables_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let trail = sample(dir.path(), 1 << 20).await;
    let session = AuditSession { catalog: "system".into(), trail: trail.catalog() };
    assert_eq!(session.schemas().await.unwrap(), ["audit"]);
    let names = session.tables("audit").await.unwrap();
    assert_eq!(
        names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["system.audit.access", "system.audit.events"]
    );
    assert_eq!(session.tables("other").await.unwrap_err().kind(), ErrorKind::NotFound);

    let mut wanted = names.clone();
    wanted.push(TableName::new("system", "audit", "nosuch"));
    wanted.push(TableName::new("lake", "audit", "access"));
    let loaded = session.load(&wanted).await;
    for (name, table) in names.iter().zip(&loaded) {
        let table = table.as_ref().unwrap();
        assert_eq!(&table.facts().id.name, name);
        assert!(table.prefixes().is_empty() && table.facts().owner.is_none());
        for (field, column) in table.schema().fields().iter().zip(&table.facts().columns) {
            assert_eq!((field.name(), field.is_nullable()), (&column.name, column.nullable));
            assert_eq!(field.metadata()["PARQUET:field_id"], column.field_id.to_string());
        }
    }
    for missing in &loaded[2..] {
        assert_eq!(missing.as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    }
    let target = sqe_core::catalog::WriteTarget::Append(Arc::clone(loaded[0].as_ref().unwrap()));
    assert_eq!(session.write_prefixes(&target).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Policies bind to these: a change here breaks somebody's policy.
#[test]
fn ids_never_change() {
    assert_eq!(View::Access.uuid().to_string(), "6668706d-9012-5b0f-92aa-f282cf0d5572");
    assert_eq!(View::Events.uuid().to_string(), "f8f424a6-8f6b-54da-99e3-4c99a808e599");
    let ids = |view| {
        let table = AuditTable::new(TableName::new("c", "s", "t"), view, Vec::new());
        let columns = table.facts().columns.iter().map(|column| format!("{}:{}", column.field_id, column.name));
        assert!(table.facts().columns[0].ty == ColumnType::Timestamp);
        columns.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        ids(View::Access),
        "1:time 2:query_id 3:issuer 4:subject 5:catalog 6:schema 7:table 8:columns 9:decision 10:outcome 11:rows \
         12:end_time 13:action 14:masked_columns 15:policy_columns 16:policies 17:policy_snapshot 18:decision_digest \
         19:statement 20:client_address 21:client_application 22:protocol 23:error 24:bytes 25:snapshot_id \
         26:table_uuid 27:session_name 28:actors 29:column_ids 30:chain 31:trace_id"
    );
    assert_eq!(ids(View::Events), "1:time 2:chain 3:seq 4:kind 5:query_id 6:issuer 7:subject 8:prev 9:hash 10:record");
}
