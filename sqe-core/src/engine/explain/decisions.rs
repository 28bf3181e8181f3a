//! EXPLAIN POLICY: what was decided about each table of a statement, as far as the person may know.
//!
//! That something is held back shows in every plan. Beside it this tells whether rows are, and which of the visible columns are
//! masked, which their values show, too. It does not tell by what condition, nor of hidden columns, which do not exist for this
//! person: not even how many there are. Which policies decided is told if their engine says so.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, ListBuilder, StringArray, StringBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::sql::parser::Statement as Parsed;

use super::super::{
    bind::undescribed,
    resolve::worse,
    sources::{Known, look},
    trail::Case,
    versions,
};
use crate::{Action, Decision, Error, ErrorKind, Result, TableName, audit::Verdict, govern::GovernedTable};

pub(super) fn schema() -> SchemaRef {
    let list = || DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    Arc::new(Schema::new(vec![
        Field::new("table_name", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("decision", DataType::Utf8, false),
        Field::new("row_filter", DataType::Boolean, false),
        Field::new("masked_columns", list(), false),
        Field::new("policies", list(), true),
    ]))
}

/// What is told of one table.
struct Told {
    name: TableName,
    verdict: Verdict,
    filtered: bool,
    masked: Vec<String>,
    policies: Option<Vec<String>>,
}

impl Told {
    fn of(name: TableName, table: &GovernedTable) -> Self {
        let restrictions = table.decision().restrictions();
        let masked = (table.columns().iter().zip(table.visible().fields()))
            .filter(|(column, _)| column.is_masked())
            .map(|(_, field)| field.name().clone());
        Self {
            name,
            verdict: if table.grant().is_unconditional() { Verdict::Permitted } else { Verdict::Restricted },
            filtered: restrictions.is_some_and(|restrictions| restrictions.filter.is_some()),
            masked: masked.collect(),
            policies: policies(table.decision()),
        }
    }

    fn denied(name: TableName) -> Self {
        Self { name, verdict: Verdict::Denied, filtered: false, masked: Vec::new(), policies: None }
    }

    /// A view: what is held back is told of the tables that it reads.
    fn permitted(name: TableName) -> Self {
        Self { verdict: Verdict::Permitted, ..Self::denied(name) }
    }
}

fn policies(decision: &Decision) -> Option<Vec<String>> {
    decision.explainable.then(|| decision.policies.clone())
}

/// Decides about the tables and views that a query reads, and tells. A denial is an answer here, of a table that may be known.
///
/// # Errors
/// `NotFound` if a table is missing or may not be known, `PermissionDenied` for a view that may be read and not be described;
/// those of resolving.
pub(in crate::engine) async fn decisions(case: &mut Case, mut query: Parsed) -> Result<RecordBatch> {
    let versions = versions::take(case, &mut query).await?;
    let mut found = look(case, &query, &versions).await?;
    let mut told = Vec::with_capacity(found.order.len());
    let mut failure: Option<Error> = None;
    for wanted in found.order {
        match found.known.remove(&wanted) {
            Some(Ok(Known::Table(table))) => told.push(Told::of(wanted.name, &table)),
            Some(Ok(Known::View(view))) if view.described => told.push(Told::permitted(wanted.name)),
            Some(Ok(Known::View(_))) => failure = Some(worse(failure, undescribed(&wanted.name))),
            Some(Err(error)) if error.kind() == ErrorKind::PermissionDenied => told.push(Told::denied(wanted.name)),
            Some(Err(error)) => failure = Some(worse(failure, error)),
            None => failure = Some(Error::internal("a name of a statement was not looked for")),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => batch(&told),
    }
}

fn batch(told: &[Told]) -> Result<RecordBatch> {
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let mut masked = ListBuilder::new(StringBuilder::new());
    let mut policies = ListBuilder::new(StringBuilder::new());
    for one in told {
        masked.append_value(one.masked.iter().map(Some));
        policies.append_option(one.policies.as_ref().map(|ids| ids.iter().map(Some)));
    }
    let columns = vec![
        text(told.iter().map(|one| one.name.to_string()).collect()),
        text(told.iter().map(|_| Action::Select.to_string()).collect()),
        text(told.iter().map(|one| one.verdict.as_str().to_owned()).collect()),
        Arc::new(BooleanArray::from_iter(told.iter().map(|one| Some(one.filtered)))) as ArrayRef,
        Arc::new(masked.finish()) as ArrayRef,
        Arc::new(policies.finish()) as ArrayRef,
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
