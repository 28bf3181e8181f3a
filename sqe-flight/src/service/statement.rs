//! Statements: from text to an answer that waits for its `DoGet`.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use arrow_flight::sql::Command;
use sqe_core::{
    Error, ErrorKind, Result,
    engine::{Planned, Statement, StatementKind},
};

use super::{no_transaction, not_offered};
use crate::{
    bind::{Parameters, no_columns},
    edge::{conform, declare},
    server::FlightSqlServer,
    session::{Answer, Bound, FlightSession, Pending, Prepared},
};

/// What a prepared statement takes beside its text, in bytes.
const PREPARED: usize = 4 << 10;

impl FlightSqlServer {
    /// Refuses what is too long to be looked at.
    pub(super) async fn admit<'a>(&self, session: &FlightSession, sql: &'a str) -> Result<&'a str> {
        let limit = self.settings.max_statement_bytes;
        let length = sql.len();
        if length <= limit {
            return Ok(sql);
        }
        // The engine's own limit is mostly the same, and it puts on record what it refuses.
        session.engine.describe(sql).await?;
        Err(Error::invalid(format!(
            "the statement has {length} bytes and at most {limit} are accepted; load large data with parameters"
        )))
    }

    /// Plans a statement, or runs it if it changes something.
    ///
    /// Clients send `CREATE TABLE` like a query and some never fetch its rows. So changes run here, exactly once, and
    /// their rows wait; queries run when they are fetched.
    pub(super) async fn answer(&self, session: &FlightSession, command: Command) -> Result<Pending> {
        let plans = match &command {
            Command::CommandStatementQuery(query) => {
                no_transaction(query.transaction_id.as_ref())?;
                vec![session.engine.plan(Statement::new(self.admit(session, &query.query).await?)).await?]
            }
            Command::CommandPreparedStatementQuery(query) => {
                let prepared = session.prepared(&query.prepared_statement_handle, &self.settings)?;
                let bound = prepared.bound.lock().clone();
                let plans = self.plan_prepared(session, &prepared, parameters(bound.as_deref())).await;
                prepared.touch();
                plans?
            }
            other => return Err(not_offered(other)),
        };
        let declared = match plans.first() {
            Some(first) => declare(&first.schema(), session.views()),
            None => no_columns(),
        };
        if plans.iter().any(|plan| declare(&plan.schema(), session.views()) != declared) {
            return Err(Error::invalid(
                "the rows of parameters give answers of different types; bind values of one type a parameter",
            ));
        }
        if plans.iter().all(|plan| plan.kind() == StatementKind::Query) {
            return Ok(Pending::new(declared, Answer::Planned(plans)));
        }
        let mut batches = Vec::new();
        for plan in plans {
            for batch in plan.run().await?.collect().await? {
                batches.push(conform(&batch, &declared)?);
            }
        }
        Ok(Pending::new(declared, Answer::Done(batches)))
    }

    /// One plan a row of parameters.
    async fn plan_prepared(
        &self,
        session: &FlightSession,
        prepared: &Prepared,
        bound: Option<&Parameters>,
    ) -> Result<Vec<Planned>> {
        let statement = Statement::new(&prepared.sql);
        if prepared.parameters.fields().is_empty() {
            return Ok(vec![session.engine.plan(statement).await?]);
        }
        let bound = bound.filter(|bound| bound.len() > 0).ok_or_else(|| unbound(prepared))?;
        let limit = self.settings.max_query_parameter_rows;
        if bound.len() > limit {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("{} rows of parameters are bound and a query takes at most {limit} at once", bound.len()),
            ));
        }
        let mut plans = Vec::with_capacity(bound.len());
        for row in bound.rows() {
            plans.push(session.engine.plan(statement.clone().with_parameters(row)).await?);
        }
        Ok(plans)
    }

    /// Runs a change and counts the rows that it touched.
    pub(super) async fn update(&self, session: &FlightSession, statement: Statement) -> Result<i64> {
        let plan = session.engine.plan(statement).await?;
        if plan.kind() == StatementKind::Query {
            return Err(Error::invalid("this statement reads and changes nothing; ask for its rows instead"));
        }
        Ok(plan.run().await?.collect().await?.iter().map(affected).sum())
    }

    /// Runs a prepared change once for each row of parameters.
    pub(super) async fn update_prepared(
        &self,
        session: &FlightSession,
        prepared: &Prepared,
        bound: Option<&Parameters>,
    ) -> Result<i64> {
        let statement = Statement::new(&prepared.sql);
        if prepared.parameters.fields().is_empty() {
            return self.update(session, statement).await;
        }
        let bound = bound.ok_or_else(|| unbound(prepared))?;
        let (mut total, rows) = (0, bound.len());
        for (done, row) in bound.rows().enumerate() {
            // Statements are not joined by a transaction: the person must know what happened already.
            total +=
                self.update(session, statement.clone().with_parameters(row)).await.map_err(|error| match done {
                    0 => error,
                    _ => Error::new(
                        error.kind(),
                        format!("{} (row {} of {rows}; the {done} rows before it are done)", error.message(), done + 1),
                    )
                    .with_source(error),
                })?;
        }
        Ok(total)
    }

    /// Describes a statement and keeps it.
    pub(super) async fn prepare(&self, session: &FlightSession, sql: String) -> Result<Prepared> {
        let shape = session.engine.describe(self.admit(session, &sql).await?).await?;
        let share = self.sessions.keep_for(session, sql.len() + PREPARED)?;
        let declared = declare(&shape.schema, session.views());
        Ok(Prepared::new(sql, shape, declared, share))
    }

    /// The schema of a statement's rows, without running it.
    pub(super) async fn described_schema(&self, session: &FlightSession, command: &Command) -> Result<SchemaRef> {
        match command {
            Command::CommandStatementQuery(query) => {
                let shape = session.engine.describe(self.admit(session, &query.query).await?).await?;
                Ok(declare(&shape.schema, session.views()))
            }
            Command::CommandPreparedStatementQuery(query) => {
                Ok(session.prepared(&query.prepared_statement_handle, &self.settings)?.declared.clone())
            }
            other => Err(not_offered(other)),
        }
    }
}

/// The rows without what is accounted for them.
pub(super) fn parameters(bound: Option<&Bound>) -> Option<&Parameters> {
    bound.map(|bound| &bound.parameters)
}

fn unbound(prepared: &Prepared) -> Error {
    let count = prepared.parameters.fields().len();
    Error::invalid(format!("the statement has {count} parameters and none is bound; bind them first"))
}

/// The sum of the first column: changes answer with their number of rows.
fn affected(batch: &RecordBatch) -> i64 {
    let counts = batch.columns().first().and_then(|column| cast(column, &DataType::Int64).ok());
    counts.map_or(0, |counts| {
        let counts = counts.as_primitive::<Int64Type>();
        (0..counts.len()).filter(|row| counts.is_valid(*row)).map(|row| counts.value(row)).sum()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, UInt64Array};

    use super::*;

    #[test]
    fn affected_rows_are_the_sum_of_the_first_column() {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![Some(2), None, Some(40)]));
        assert_eq!(affected(&RecordBatch::try_from_iter([("count", counts)]).unwrap()), 42);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        assert_eq!(affected(&RecordBatch::try_from_iter([("text", text)]).unwrap()), 0);
    }
}
