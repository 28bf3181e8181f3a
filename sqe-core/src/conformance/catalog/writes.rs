//! What holds of every catalog that can be changed, and of every one that cannot.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array},
    record_batch::RecordBatch,
};
use futures::{StreamExt, future::join_all, stream, stream::BoxStream};
use uuid::Uuid;

use super::{
    reads::{self, listed},
    spy::Findings,
    views,
};
use crate::{
    Engine, Error, ErrorKind, Session, TableName,
    conformance::stage::{CATALOG, NULL, Row, answers, quoted, refused, rows, session, try_rows},
    engine::{Ingest, IngestMode, Statement},
};

/// People who insert at once.
const WRITERS: usize = 8;

/// Rows that each of them inserts, one statement each.
const INSERTS: usize = 3;

/// How often a writer whom others got in the way of tries again.
const ATTEMPTS: usize = 50;

const MISSING: &[ErrorKind] = &[ErrorKind::NotFound];
const EXISTS: &[ErrorKind] = &[ErrorKind::AlreadyExists];

/// Checks a catalog that can be changed, in schemas of its own.
pub(super) async fn check(
    engine: &Engine,
    people: &[Session; 2],
    findings: &Findings,
    keeps_views: bool,
) -> Result<(), String> {
    let schema = format!("kit_{}", Uuid::new_v4().simple());
    let [ann, ben] = people;
    for person in people {
        person.set_defaults(Some(CATALOG.to_owned()), Some(schema.clone()));
    }
    run(ann, &format!("CREATE SCHEMA {schema}")).await?;
    refused(ben, &format!("CREATE SCHEMA {schema}"), EXISTS).await?;
    tables(people, &schema).await?;
    failures(people, &schema).await?;
    from_queries(people, &schema).await?;
    reads::check(people, &schema, "t", 6).await?;
    replaced(people, &schema, findings).await?;
    place_taken(people, &schema).await?;
    concurrent(engine, people, &schema).await?;
    if keeps_views {
        views::check(people, &schema).await?;
    } else {
        refused(ann, "CREATE VIEW v AS SELECT 1 AS a", &[ErrorKind::Unsupported]).await?;
    }
    refused(ann, &format!("DROP SCHEMA {schema}"), &[ErrorKind::Conflict]).await?;
    for table in ["t", "made", "shared", "race"] {
        run(ann, &format!("DROP TABLE {table}")).await?;
    }
    run(ben, &format!("DROP SCHEMA {schema}")).await?;
    refused(ann, &format!("DROP SCHEMA {schema}"), MISSING).await?;
    refused(ann, &format!("CREATE TABLE {schema}.t (a BIGINT)"), MISSING).await?;
    refused(ann, &format!("SELECT * FROM {schema}.t"), MISSING).await
}

async fn run(session: &Session, sql: &str) -> Result<(), String> {
    rows(session, sql).await.map(drop)
}

fn row(values: &[&str]) -> Row {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// The rows that table `t` holds once it is filled.
fn filled() -> Vec<Row> {
    vec![
        row(&["1", "one", "1.50", "true", "2024-02-29"]),
        row(&["2", NULL, NULL, NULL, NULL]),
        row(&["3", "naïve \u{1f980}", "-0.01", "false", "1969-12-31"]),
        row(&["11", "one", "1.50", "true", "2024-02-29"]),
        row(&["12", NULL, NULL, NULL, NULL]),
        row(&["13", "naïve \u{1f980}", "-0.01", "false", "1969-12-31"]),
    ]
}

/// A table is created, listed, filled and read back.
async fn tables(people: &[Session; 2], schema: &str) -> Result<(), String> {
    let [ann, ben] = people;
    refused(ann, "SELECT * FROM t", MISSING).await?;
    refused(ann, "INSERT INTO t VALUES (1)", MISSING).await?;
    refused(ann, "DROP TABLE t", MISSING).await?;
    run(ann, "DROP TABLE IF EXISTS t").await?;
    let create = "t (id BIGINT NOT NULL, name VARCHAR, amount DECIMAL(12, 2), flag BOOLEAN, day DATE)";
    run(ann, &format!("CREATE TABLE {create}")).await?;
    answers(ben, "SELECT * FROM t", &[]).await?;
    let table = listed(ben, schema, "t").await?.ok_or("a table that was created is not listed")?;
    let columns: Vec<(&str, bool)> =
        table.schema.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
    let expected = [("id", false), ("name", true), ("amount", true), ("flag", true), ("day", true)];
    if columns != expected {
        return Err(format!("a table was created with the columns {expected:?} and is listed with {columns:?}"));
    }
    let values = "(1, 'one', 1.5, true, DATE '2024-02-29'), (2, NULL, NULL, NULL, NULL), \
                  (3, 'naïve \u{1f980}', -0.01, false, DATE '1969-12-31')";
    answers(ann, &format!("INSERT INTO t VALUES {values}"), &[row(&["3"])]).await?;
    answers(ben, "INSERT INTO t SELECT id + 10, name, amount, flag, day FROM t", &[row(&["3"])]).await?;
    answers(ann, "INSERT INTO t SELECT * FROM t WHERE id < 0", &[row(&["0"])]).await?;
    answers(ann, "SELECT * FROM t", &filled()).await?;
    refused(ben, &format!("CREATE TABLE {create}"), EXISTS).await?;
    run(ben, &format!("CREATE TABLE IF NOT EXISTS {create}")).await?;
    answers(ben, "SELECT * FROM t", &filled()).await
}

/// A load that takes a table's place does so as a whole or not at all. Catalogs need not offer it.
async fn place_taken([ann, ben]: &[Session; 2], schema: &str) -> Result<(), String> {
    run(ann, "CREATE TABLE place AS SELECT 1 AS old").await?;
    let name = TableName::new(CATALOG, schema, "place");
    let batch = |value: i64| {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        RecordBatch::try_from_iter_with_nullable([("new", values, true)]).map_err(Error::from)
    };
    let columns = batch(0).map_err(|error| error.to_string())?.schema();
    let load = async |rows: BoxStream<'static, Result<RecordBatch, Error>>| {
        let ingest = Ingest::new(name.clone(), IngestMode::Replace);
        ann.ingest_batches(ingest, Arc::clone(&columns), rows).await.map_err(|error| error.kind())
    };
    let broken = || Err(Error::invalid("no more rows"));
    let kept = [row(&["1"])];
    match load(stream::iter([batch(2), broken()]).boxed()).await {
        Err(ErrorKind::Unsupported) => {
            answers(ben, "SELECT old FROM place", &kept).await?;
            return run(ann, "DROP TABLE place").await;
        }
        Err(ErrorKind::InvalidInput) => {}
        other => return Err(format!("a load that broke off took a table's place with {other:?}")),
    }
    answers(ben, "SELECT old FROM place", &kept).await?;
    // Somebody adds a row while the new table is being written.
    let (writer, late) = (ben.clone(), batch(3));
    let meanwhile = async move {
        let added = writer.plan(Statement::new("INSERT INTO place VALUES (9)")).await?.run().await?.collect().await;
        added.and(late)
    };
    match load(stream::once(meanwhile).boxed()).await {
        Err(ErrorKind::Conflict) => {}
        other => return Err(format!("a table that changed meanwhile lost its place with {other:?}")),
    }
    answers(ben, "SELECT old FROM place", &[row(&["1"]), row(&["9"])]).await?;
    match load(stream::iter([batch(4), batch(5)]).boxed()).await {
        Ok(2) => {}
        other => return Err(format!("a load of two rows took a table's place with {other:?}")),
    }
    answers(ben, "SELECT new FROM place", &[row(&["4"]), row(&["5"])]).await?;
    refused(ben, "SELECT old FROM place", &[ErrorKind::InvalidInput]).await?;
    run(ann, "DROP TABLE place").await
}

/// Writes that fail early, late, and only for some of their rows.
async fn failures(people: &[Session; 2], schema: &str) -> Result<(), String> {
    let [ann, ben] = people;
    let late = "SELECT 1 / (4999 - value) AS id FROM generate_series(1, 5000)";
    for sql in [
        "INSERT INTO t (id) SELECT 1 / 0".to_owned(),
        format!("INSERT INTO t (id) {late}"),
        "INSERT INTO t (id) SELECT nullif(value, 4999) FROM generate_series(1, 5000)".to_owned(),
        format!("CREATE TABLE broken AS {late}"),
    ] {
        if let Ok(rows) = try_rows(ann, &sql).await {
            return Err(format!("{sql:?} answers with {rows:?} instead of an error"));
        }
        answers(ben, "SELECT * FROM t", &filled()).await.map_err(|fault| format!("after {sql:?} failed, {fault}"))?;
    }
    if listed(ben, schema, "broken").await?.is_some() {
        return Err("a table whose rows could not be written is listed".into());
    }
    refused(ben, "SELECT * FROM broken", MISSING).await
}

/// Tables made from queries.
async fn from_queries(people: &[Session; 2], schema: &str) -> Result<(), String> {
    let [ann, ben] = people;
    run(ann, "CREATE TABLE made AS SELECT value AS id, value % 7 AS seven FROM generate_series(1, 5000)").await?;
    if listed(ben, schema, "made").await?.is_none() {
        return Err("a table that was made from a query is not listed".into());
    }
    let sums = row(&["5000", "12502500", "7"]);
    answers(ben, "SELECT count(*), sum(id), count(DISTINCT seven) FROM made", std::slice::from_ref(&sums)).await?;
    refused(ben, "CREATE TABLE made AS SELECT 1 AS id", EXISTS).await?;
    answers(ann, "SELECT count(*), sum(id), count(DISTINCT seven) FROM made", &[sums]).await?;
    refused(ann, "CREATE TABLE no_such_schema.made AS SELECT 1 AS id", MISSING).await
}

/// A dropped table is gone, and its name is free for another table.
async fn replaced(people: &[Session; 2], schema: &str, findings: &Findings) -> Result<(), String> {
    let [ann, ben] = people;
    run(ben, "DROP TABLE made").await?;
    if listed(ann, schema, "made").await?.is_some() {
        return Err("a table that was dropped is listed".into());
    }
    for sql in ["SELECT * FROM made", "INSERT INTO made VALUES (1, 1)", "DROP TABLE made"] {
        refused(ann, sql, MISSING).await?;
    }
    run(ann, "CREATE TABLE made (other VARCHAR)").await?;
    answers(ben, "SELECT * FROM made", &[]).await?;
    run(ben, "INSERT INTO made VALUES ('x')").await?;
    answers(ann, "SELECT other FROM made", &[row(&["x"])]).await?;
    match findings.tables_named(&TableName::new(CATALOG, schema, "made")) {
        2 => Ok(()),
        _ => {
            Err("a table that took a dropped one's name has its uuid, so what was granted on one holds for both".into())
        }
    }
}

/// Several people create the same table, and insert into the same table, at once.
async fn concurrent(engine: &Engine, people: &[Session; 2], schema: &str) -> Result<(), String> {
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let writer = session(engine, &format!("writer-{number}")).await?;
        writer.set_defaults(Some(CATALOG.to_owned()), Some(schema.to_owned()));
        writers.push(writer);
    }
    let race = |number: usize| format!("CREATE TABLE race AS SELECT {number} AS winner");
    let attempts = writers.iter().enumerate().map(async |(number, writer)| try_rows(writer, &race(number)).await);
    let mut winners = Vec::new();
    for (number, outcome) in join_all(attempts).await.into_iter().enumerate() {
        match outcome {
            Ok(_) => winners.push(row(&[&number.to_string()])),
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {}
            Err(error) => return Err(format!("of several people who create a table one fails: {error}")),
        }
    }
    if winners.len() != 1 {
        return Err(format!("{} of {WRITERS} people created the same table", winners.len()));
    }
    answers(&people[0], "SELECT winner FROM race", &winners).await?;

    run(&people[0], "CREATE TABLE shared (writer BIGINT NOT NULL, number BIGINT NOT NULL)").await?;
    let outcomes = join_all(writers.iter().enumerate().map(async |(writer, session)| {
        for number in 0..INSERTS {
            insert(session, &format!("INSERT INTO shared VALUES ({writer}, {number})")).await?;
        }
        Ok::<_, String>(())
    }));
    outcomes.await.into_iter().collect::<Result<(), String>>()?;
    let pairs = (0..WRITERS).flat_map(|writer| (0..INSERTS).map(move |number| (writer, number)));
    let expected: Vec<Row> = pairs.map(|(writer, number)| row(&[&writer.to_string(), &number.to_string()])).collect();
    let lost = |fault| format!("after {WRITERS} people inserted at once, {fault}");
    answers(&people[1], "SELECT writer, number FROM shared", &expected).await.map_err(lost)
}

/// Tries again as long as others get in the way, as people are told to.
async fn insert(session: &Session, sql: &str) -> Result<(), String> {
    for _ in 0..ATTEMPTS {
        match try_rows(session, sql).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Conflict => tokio::task::yield_now().await,
            Err(error) => return Err(format!("{sql:?} failed while others insert ({}): {error}", error.kind())),
        }
    }
    Err(format!("{sql:?} met a conflict {ATTEMPTS} times"))
}

/// Checks that a catalog which cannot be changed says so.
pub(super) async fn check_refused(people: &[Session; 2], schema: &str, table: &str) -> Result<(), String> {
    let [ann, ben] = people;
    let (catalog, schema, table) = (quoted(CATALOG), quoted(schema), quoted(table));
    let full = format!("{catalog}.{schema}.{table}");
    let before = rows(ben, &format!("SELECT * FROM {full}")).await?;
    for sql in [
        format!("INSERT INTO {full} SELECT * FROM {full}"),
        format!("CREATE TABLE {catalog}.{schema}.kit_table (a BIGINT)"),
        format!("CREATE TABLE {catalog}.{schema}.kit_table AS SELECT 1 AS a"),
        format!("CREATE SCHEMA {catalog}.kit_schema"),
        format!("DROP TABLE {full}"),
    ] {
        refused(ann, &sql, &[ErrorKind::Unsupported]).await?;
    }
    answers(ben, &format!("SELECT * FROM {full}"), &before).await
}
