//! What holds of every table that can be read.

use arrow::datatypes::DataType;
use futures::future::join_all;

use crate::{
    ErrorKind, Session,
    conformance::stage::{CATALOG, NULL, Row, answers, drain, quoted, refused, rows},
    engine::{ListingRequest, Statement, VisibleTable},
};

/// Checks what both people are told about one table.
pub(super) async fn check(people: &[Session; 2], schema: &str, table: &str, count: usize) -> Result<(), String> {
    let [ann, ben] = people;
    let full = format!("{}.{}.{}", quoted(CATALOG), quoted(schema), quoted(table));
    missing(ann, schema, &full).await?;
    let listed = listed(ann, schema, table).await?.ok_or_else(|| format!("no listing names {schema}.{table}"))?;
    let select = format!("SELECT * FROM {full}");
    let all = rows(ann, &select).await?;
    if all.len() != count || count == 0 {
        return Err(format!("{schema}.{table} has {} rows; the fixture says {count}, and it must not be 0", all.len()));
    }
    answers(ann, &format!("SELECT count(*) FROM {full}"), &[vec![count.to_string()]]).await?;
    for again in join_all([ann, ben, ann, ben].map(|person| rows(person, &select))).await {
        if again? != all {
            return Err(format!("repeated reads of {schema}.{table} differ"));
        }
    }
    let columns: Vec<(String, DataType)> =
        listed.schema.fields().iter().map(|field| (quoted(field.name()), field.data_type().clone())).collect();
    reversed(ben, &full, &columns, &all).await?;
    for (position, (column, data_type)) in columns.iter().enumerate() {
        projected(ann, &full, column, position, &all).await?;
        if !data_type.is_nested() && !data_type.is_floating() {
            filtered(ann, &full, column, position, &all).await?;
        }
    }
    for limit in [0, 1, count / 2, count + 1] {
        let some = rows(ann, &format!("{select} LIMIT {limit}")).await?;
        if some.len() != limit.min(count) || some.iter().any(|row| !all.contains(row)) {
            return Err(format!("a limit of {limit} on {schema}.{table} gives {} rows, or others", some.len()));
        }
    }
    Ok(())
}

/// What does not exist is not found, alone and beside what exists.
async fn missing(session: &Session, schema: &str, full: &str) -> Result<(), String> {
    let (catalog, schema) = (quoted(CATALOG), quoted(schema));
    for nothing in [format!("{catalog}.{schema}.\"no such table\""), format!("{catalog}.\"no such schema\".t")] {
        refused(session, &format!("SELECT * FROM {nothing}"), &[ErrorKind::NotFound]).await?;
        refused(session, &format!("SELECT count(*) FROM {full}, {nothing}"), &[ErrorKind::NotFound]).await?;
    }
    Ok(())
}

/// The table as a listing shows it.
pub(super) async fn listed(session: &Session, schema: &str, table: &str) -> Result<Option<VisibleTable>, String> {
    let failed = |error| format!("listing fails: {error}");
    let schemas = session.schemas(&ListingRequest::default()).await.map_err(failed)?;
    let known = schemas.iter().any(|(_, name)| name == schema);
    let tables = session.tables(&ListingRequest::default()).await.map_err(failed)?;
    let mut found = tables.into_iter().filter(|found| found.name.schema == schema && found.name.table == table);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(format!("{schema}.{table} is listed twice")),
        (Some(_), _) if !known => Err(format!("{schema}.{table} is listed, and its schema is not")),
        (found, _) => Ok(found),
    }
}

async fn reversed(session: &Session, full: &str, columns: &[(String, DataType)], all: &[Row]) -> Result<(), String> {
    let names: Vec<&str> = columns.iter().rev().map(|(name, _)| name.as_str()).collect();
    let expected: Vec<Row> = all.iter().map(|row| row.iter().rev().cloned().collect()).collect();
    answers(session, &format!("SELECT {} FROM {full}", names.join(", ")), &expected).await
}

async fn projected(session: &Session, full: &str, column: &str, at: usize, all: &[Row]) -> Result<(), String> {
    let values: Vec<Row> = all.iter().filter_map(|row| row.get(at).map(|value| vec![value.clone()])).collect();
    answers(session, &format!("SELECT {column} FROM {full}"), &values).await?;
    let known = values.iter().flatten().filter(|value| *value != NULL).count();
    answers(session, &format!("SELECT count({column}) FROM {full}"), &[vec![known.to_string()]]).await?;
    let is_null = |wanted: bool| {
        let rows = all.iter().filter(move |row| row.get(at).is_some_and(|value| (value == NULL) == wanted));
        rows.cloned().collect::<Vec<_>>()
    };
    answers(session, &format!("SELECT * FROM {full} WHERE {column} IS NULL"), &is_null(true)).await?;
    answers(session, &format!("SELECT * FROM {full} WHERE {column} IS NOT NULL"), &is_null(false)).await
}

/// Compares a column with one of its own values, bound as a parameter, so that it reaches the scan as a literal.
async fn filtered(session: &Session, full: &str, column: &str, at: usize, all: &[Row]) -> Result<(), String> {
    let known = all.iter().filter(|row| row.get(at).is_some_and(|value| value != NULL)).count();
    if known == 0 {
        return Ok(());
    }
    let sql =
        format!("SELECT {column} AS v FROM {full} WHERE {column} IS NOT NULL ORDER BY 1 LIMIT 1 OFFSET {}", known / 2);
    let failed = |error| format!("{sql:?} failed: {error}");
    let stream = session.query(&sql).await.map_err(failed)?;
    let batches = stream.collect().await.map_err(failed)?;
    let value = batches.into_iter().find(|batch| batch.num_rows() == 1).ok_or("one row was asked for")?;
    let where_ = async |operator: &str| -> Result<Vec<Row>, String> {
        let sql = format!("SELECT * FROM {full} WHERE {column} {operator} $1");
        let statement = Statement::new(&sql).with_parameters(value.clone());
        let failed = |error| format!("{sql:?} failed: {error}");
        let stream = session.plan(statement).await.map_err(failed)?.run().await.map_err(failed)?;
        Ok(drain(stream).await.map_err(failed)?.1)
    };
    let (less, equal, greater) = (where_("<").await?, where_("=").await?, where_(">").await?);
    if equal.is_empty() {
        return Err(format!("no row of {full} has the value of {column} that one of its rows had"));
    }
    let mut parts = [less, equal, greater].concat();
    parts.sort();
    let mut expected: Vec<Row> =
        all.iter().filter(|row| row.get(at).is_some_and(|value| value != NULL)).cloned().collect();
    expected.sort();
    if parts != expected {
        return Err(format!("comparing {column} of {full} with a value gives other rows than those that are there"));
    }
    Ok(())
}
