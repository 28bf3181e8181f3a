//! Statements that a session keeps under a name: `PREPARE`, `EXECUTE`, `DEALLOCATE`.
//!
//! Their text is kept and nothing that was decided about it: each execution is parsed, resolved, decided and planned anew.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    datatypes::{DataType, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{LogicalPlan, Statement as PlanStatement},
    sql::{
        parser::{DFParser, Statement as Parsed},
        sqlparser::ast::{DataType as AstType, Expr as AstExpr, Ident, Statement as Ast},
    },
};

use super::{
    bind::{bind_against, parameters},
    constants,
    sources::Scope,
    trail::Case,
};
use crate::{Error, Result};

/// Statements that one session keeps.
const MOST: usize = 256;
/// Bytes of their texts together.
const BYTES: usize = 4 << 20;

/// A statement that a session keeps.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its text, with parameters `$1`, `$2`, ….
    pub(super) sql: String,
    /// The types of its parameters as they were declared, and what they mean. Empty: as values are given.
    pub(super) declared: Vec<AstType>,
    types: Vec<DataType>,
}

/// All of one session, by name.
#[derive(Debug, Default)]
pub(super) struct PreparedStatements {
    all: BTreeMap<String, Arc<Prepared>>,
    bytes: usize,
}

impl PreparedStatements {
    /// # Errors
    /// `NotFound`.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Prepared>> {
        self.all.get(name).cloned().ok_or_else(|| missing(name))
    }

    /// # Errors
    /// `AlreadyExists`; `ResourceExhausted` if the session keeps too many, or too long ones.
    pub(super) fn add(&mut self, name: String, prepared: Arc<Prepared>) -> Result<()> {
        if self.all.contains_key(&name) {
            return Err(Error::already_exists(format!(
                "this session has a prepared statement {name} already; write DEALLOCATE {name} first"
            )));
        }
        let bytes = self.bytes + size(&name, &prepared);
        if self.all.len() >= MOST || bytes > BYTES {
            return Err(Error::exhausted(format!(
                "a session keeps {MOST} prepared statements of {} MiB together; DEALLOCATE some",
                BYTES >> 20
            )));
        }
        self.bytes = bytes;
        self.all.insert(name, prepared);
        Ok(())
    }

    /// Forgets one statement, or all of them.
    ///
    /// # Errors
    /// `NotFound` for a name.
    pub(super) fn forget(&mut self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else {
            *self = Self::default();
            return Ok(());
        };
        let prepared = self.all.remove(name).ok_or_else(|| missing(name))?;
        self.bytes -= size(name, &prepared);
        Ok(())
    }
}

fn size(name: &str, prepared: &Prepared) -> usize {
    name.len() + prepared.sql.len() + 64 * prepared.types.len()
}

fn missing(name: &str) -> Error {
    Error::not_found(format!("this session has no prepared statement {name}; write PREPARE {name} AS … first"))
}

/// A statement to keep, whose `parameters` parameters have these types if there are any.
pub(super) async fn prepared(case: &Case, sql: String, types: Vec<AstType>, parameters: usize) -> Result<Prepared> {
    if !types.is_empty() && types.len() != parameters {
        let given = types.len();
        return Err(Error::invalid(format!(
            "the statement has {parameters} parameters and {given} types are given; give all types or none"
        )));
    }
    let meant = if types.is_empty() { Vec::new() } else { arrow_types(case, types.clone()).await? };
    Ok(Prepared { sql, declared: types, types: meant })
}

/// The planner alone knows what a type of SQL is, and tells it of statements only.
async fn arrow_types(case: &Case, data_types: Vec<AstType>) -> Result<Vec<DataType>> {
    let broken = || Error::internal("the types of a prepared statement cannot be read");
    let statement = DFParser::parse_sql("SELECT 1")?.pop_front().ok_or_else(broken)?;
    let bound =
        bind_against(case, typed(statement, &data_types), &Scope::of(&case.session), Vec::new(), Vec::new()).await?;
    match bound.plan {
        LogicalPlan::Statement(PlanStatement::Prepare(prepare)) => {
            Ok(prepare.fields.iter().map(|field| field.data_type().clone()).collect())
        }
        _ => Err(broken()),
    }
}

/// A statement whose parameters have these types, as far as the planner takes them from outside.
pub(super) fn typed(statement: Parsed, types: &[AstType]) -> Parsed {
    match statement {
        Parsed::Statement(statement) if !types.is_empty() => Parsed::Statement(Box::new(Ast::Prepare {
            name: Ident::new("typed"),
            data_types: types.to_vec(),
            statement,
        })),
        other => other,
    }
}

/// The plan of a statement that was typed or not.
pub(super) fn untyped(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Statement(PlanStatement::Prepare(prepare)) => Arc::unwrap_or_clone(prepare.input),
        other => other,
    }
}

impl Prepared {
    /// The parameters of the values themselves, as in `EXECUTE p (?)`.
    pub(super) async fn parameters(&self, case: &Case, values: Vec<AstExpr>) -> Result<SchemaRef> {
        if values.is_empty() {
            return Ok(Arc::new(Schema::empty()));
        }
        parameters(&constants::query(case, values).await?.plan)
    }

    /// The values of one execution as a row of parameters.
    ///
    /// # Errors
    /// `InvalidInput` for values that are no constants, too many or too few, or that do not fit the declared types.
    pub(super) async fn bind(
        &self,
        case: &Case,
        values: Vec<AstExpr>,
        row: Option<&RecordBatch>,
    ) -> Result<Option<RecordBatch>> {
        if values.is_empty() && row.is_none() && self.types.is_empty() {
            return Ok(None);
        }
        let values = match values.is_empty() && row.is_none() {
            true => Vec::new(),
            false => constants::values(constants::query(case, values).await?, row)?,
        };
        if self.types.is_empty() {
            return constants::row(&values);
        }
        if self.types.len() != values.len() {
            return Err(Error::invalid(format!(
                "the statement was prepared with {} parameters and {} values are given",
                self.types.len(),
                values.len()
            )));
        }
        let fitted = values.iter().zip(&self.types).map(|(value, wanted)| fit(value, wanted));
        constants::row(&fitted.collect::<Result<Vec<_>>>()?)
    }
}

fn fit(value: &ScalarValue, wanted: &DataType) -> Result<ScalarValue> {
    let fitted = value.cast_to(wanted)?;
    // A cast makes NULL of what does not fit.
    if fitted.is_null() && !value.is_null() {
        return Err(Error::invalid(format!("the value {value} does not fit the parameter's type {wanted}")));
    }
    Ok(fitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn statement(bytes: usize) -> Arc<Prepared> {
        Arc::new(Prepared { sql: "x".repeat(bytes), declared: Vec::new(), types: Vec::new() })
    }

    #[test]
    fn a_session_keeps_so_many_and_no_more_until_it_forgets_some() {
        let mut kept = PreparedStatements::default();
        for at in 0..MOST {
            kept.add(format!("p{at}"), statement(8)).unwrap();
        }
        assert_eq!(kept.add("more".into(), statement(8)).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert_eq!(kept.add("p1".into(), statement(8)).unwrap_err().kind(), ErrorKind::AlreadyExists);
        kept.forget(Some("p1")).unwrap();
        assert_eq!(kept.find("p1").unwrap_err().kind(), ErrorKind::NotFound);
        kept.add("more".into(), statement(8)).unwrap();
        assert_eq!(kept.find("more").unwrap().sql.len(), 8);
    }

    #[test]
    fn long_texts_are_counted_together_and_given_back() {
        let mut kept = PreparedStatements::default();
        kept.add("a".into(), statement(BYTES / 2)).unwrap();
        assert_eq!(kept.add("b".into(), statement(BYTES / 2)).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        kept.forget(Some("a")).unwrap();
        kept.add("b".into(), statement(BYTES / 2)).unwrap();
        kept.forget(None).unwrap();
        kept.add("c".into(), statement(BYTES - 1)).unwrap();
        assert_eq!(kept.forget(Some("b")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
