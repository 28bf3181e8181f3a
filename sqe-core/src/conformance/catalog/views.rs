//! What holds of every catalog that keeps views.

use super::reads::listed;
use crate::{
    ErrorKind, Session,
    conformance::stage::{Row, answers, refused, rows},
};

const MISSING: &[ErrorKind] = &[ErrorKind::NotFound];
const EXISTS: &[ErrorKind] = &[ErrorKind::AlreadyExists];
const NO_TABLE: &[ErrorKind] = &[ErrorKind::InvalidInput];

async fn run(session: &Session, sql: &str) -> Result<(), String> {
    rows(session, sql).await.map(drop)
}

fn one(value: &str) -> Vec<Row> {
    vec![vec![value.to_owned()]]
}

/// Checks views in the schema `schema`, which is the people's default and holds none.
pub(super) async fn check([ann, ben]: &[Session; 2], schema: &str) -> Result<(), String> {
    run(ann, "CREATE TABLE seen AS SELECT value AS id FROM generate_series(1, 5) AS series(value)").await?;
    refused(ann, "SELECT * FROM over", MISSING).await?;
    refused(ann, "DROP VIEW over", MISSING).await?;
    run(ann, "DROP VIEW IF EXISTS over").await?;
    run(ann, "CREATE VIEW over AS SELECT id + 1 AS next FROM seen").await?;
    answers(ben, "SELECT sum(next) FROM over", &one("20")).await?;
    run(ann, "INSERT INTO seen VALUES (10)").await?;
    answers(ben, "SELECT sum(next) FROM over", &one("31")).await?;
    let view = listed(ben, schema, "over").await?.ok_or("a view that was created is not listed")?;
    let columns: Vec<&str> = view.schema.fields().iter().map(|field| field.name().as_str()).collect();
    if view.table_type != "VIEW" || columns != ["next"] {
        return Err(format!("a view of the column next is listed as a {} of {columns:?}", view.table_type));
    }
    match listed(ben, schema, "seen").await? {
        Some(table) if table.table_type == "BASE TABLE" => {}
        _ => return Err("a table beside a view is not listed as one".into()),
    }
    names(ann, ben).await?;
    replaced(ann, ben).await?;
    refused(ann, &format!("DROP SCHEMA {schema}"), &[ErrorKind::Conflict]).await?;
    run(ann, "DROP VIEW over").await?;
    refused(ben, "SELECT * FROM over", MISSING).await?;
    refused(ben, "DROP VIEW over", MISSING).await?;
    if listed(ben, schema, "over").await?.is_some() {
        return Err("a view that was dropped is listed".into());
    }
    run(ann, "DROP TABLE seen").await
}

/// A name is one of a table or of a view.
async fn names(ann: &Session, ben: &Session) -> Result<(), String> {
    for sql in
        ["CREATE VIEW over AS SELECT 1 AS a", "CREATE TABLE over (a BIGINT)", "CREATE TABLE over AS SELECT 1 AS a"]
    {
        refused(ben, sql, EXISTS).await?;
    }
    refused(ben, "CREATE VIEW seen AS SELECT 1 AS a", EXISTS).await?;
    run(ben, "CREATE VIEW IF NOT EXISTS over AS SELECT 1 AS a").await?;
    for sql in ["DROP TABLE over", "DROP VIEW seen", "INSERT INTO over VALUES (1)"] {
        refused(ann, sql, NO_TABLE).await?;
    }
    refused(ann, "CREATE VIEW no_such_schema.over AS SELECT 1 AS a", MISSING).await?;
    answers(ben, "SELECT sum(next) FROM over", &one("31")).await
}

async fn replaced(ann: &Session, ben: &Session) -> Result<(), String> {
    // Quotes, lines and symbols of all kinds come back as they were written.
    let text = "SELECT 'it''s \u{1f980}\\n' AS \"a \"\"b\"\"\",\n\tid FROM seen WHERE id = 10";
    run(ann, &format!("CREATE OR REPLACE VIEW over AS {text}")).await?;
    let kept = "SELECT view_definition FROM information_schema.views WHERE table_name = 'over'";
    answers(ben, kept, &one(text)).await?;
    answers(ben, "SELECT * FROM over", &[vec!["it's \u{1f980}\\n".to_owned(), "10".to_owned()]]).await?;
    run(ann, "CREATE OR REPLACE VIEW anew AS SELECT 1 AS a").await?;
    answers(ben, "SELECT * FROM anew", &one("1")).await?;
    run(ben, "DROP VIEW anew").await
}
