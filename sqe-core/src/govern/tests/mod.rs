//! Enforcement, looked at from the inside: plans that nobody verified, and verifiers that get plans nobody should make.

mod hints;
mod layers;

use std::{any::Any, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    datatypes::{Field, Schema, SchemaRef},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use datafusion::{
    catalog::MemTable,
    common::{ColumnStatistics, ScalarValue, Statistics, stats::Precision},
    datasource::memory::MemorySourceConfig,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, collect},
    prelude::SessionContext,
};
use parking_lot::Mutex;

use super::{Decisions, FIELD_ID_KEY, GovernedTable, WriteGrant, conform, plain};
use crate::{
    Column, ColumnType, Decision, Error, FieldId, Principal, QueryId, Result, Secret, TableId, TableName,
    catalog::{CatalogChange, CatalogSession, CatalogTable, ScanRequest, TableWrite, WriteRequest, WriteTarget},
    policy::{Restrictions, TableFacts},
    predicate::{CompareOp, RowPredicate, Value},
    scheduler::LocalScheduler,
};

/// `people(id, name, team, pay)`, and the session that loaded it.
#[derive(Debug)]
struct People {
    facts: TableFacts,
    rows: RecordBatch,
}

fn people() -> People {
    let columns: [(&str, ColumnType, ArrayRef); 4] = [
        ("id", ColumnType::Integer, Arc::new(Int64Array::from(vec![1, 2, 3, 42]))),
        ("name", ColumnType::Text, Arc::new(StringArray::from(vec!["ann", "bob", "cid", "hidden"]))),
        ("team", ColumnType::Text, Arc::new(StringArray::from(vec!["a", "b", "a", "b"]))),
        ("pay", ColumnType::Integer, Arc::new(Int64Array::from(vec![10, 20, 30, 4242]))),
    ];
    let mut facts = Vec::new();
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (id, (name, column_type, array)) in (1..).zip(columns) {
        facts.push(Column::new(FieldId(id), name, column_type, false));
        let metadata = [(FIELD_ID_KEY.to_owned(), id.to_string())].into();
        fields.push(Field::new(name, array.data_type().clone(), false).with_metadata(metadata));
        arrays.push(array);
    }
    let id = TableId::new(TableName::new("lake", "s", "t"), uuid::Uuid::from_u128(4711));
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    People { facts: TableFacts::new(id, facts), rows }
}

impl CatalogTable for People {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn snapshot(&self) -> Option<i64> {
        None
    }

    fn prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.rows.schema());
        statistics.num_rows = Precision::Exact(self.rows.num_rows());
        if let Some(id) = statistics.column_statistics.first_mut() {
            *id = ColumnStatistics {
                max_value: Precision::Exact(ScalarValue::Int64(Some(42))),
                ..ColumnStatistics::new_unknown()
            };
        }
        Some(statistics)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Keeps the hints of each scan.
#[derive(Debug, Default)]
struct Opened {
    hints: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl CatalogSession for Opened {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn tables(&self, _schema: &str) -> Result<Vec<TableName>> {
        Ok(Vec::new())
    }

    async fn load(&self, _names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        Vec::new()
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = request.table.as_any().downcast_ref::<People>().unwrap();
        self.hints.lock().extend(request.filters.iter().map(ToString::to_string));
        let projection = request.projection.map(<[usize]>::to_vec);
        Ok(MemorySourceConfig::try_new_exec(&[vec![table.rows.clone()]], table.rows.schema(), projection)?)
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn begin(&self, _request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        Err(Error::unsupported("read-only"))
    }

    async fn change(&self, _change: CatalogChange, _grant: &WriteGrant) -> Result<()> {
        Err(Error::unsupported("read-only"))
    }
}

/// One query of one person, in which nothing is verified but what a test verifies. `t` is governed; `raw` holds the
/// same rows, and no binding would ever offer it.
struct Query {
    table: Arc<GovernedTable>,
    context: SessionContext,
}

fn governed(decision: &Decision) -> GovernedTable {
    governed_over(decision, Opened::default())
}

fn governed_over(decision: &Decision, opened: Opened) -> GovernedTable {
    let (query, person) = (QueryId::random(), Principal::new("issuer", "alice"));
    GovernedTable::new(query, decision, Arc::new(people()), Arc::new(opened), person, Secret::new("key")).unwrap()
}

impl Query {
    fn under(decision: &Decision) -> Self {
        let table = governed(decision);
        table.provide_store(None);
        Self::over(table)
    }

    fn over(table: GovernedTable) -> Self {
        let (table, context) = (Arc::new(table), SessionContext::new());
        context.register_table("t", Arc::clone(&table) as _).unwrap();
        let schema = plain(&people().rows.schema());
        let rows = conform(&people().rows, &schema).unwrap();
        context.register_table("raw", Arc::new(MemTable::try_new(schema, vec![vec![rows]]).unwrap())).unwrap();
        Self { table, context }
    }

    fn decisions(&self) -> Decisions {
        Decisions::new([Arc::clone(&self.table)])
    }

    async fn bound(&self, sql: &str) -> LogicalPlan {
        self.context.state().create_logical_plan(sql).await.unwrap()
    }

    /// An optimised plan that nobody verified.
    async fn planned(&self, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.context.state();
        let logical = state.optimize(&self.bound(sql).await)?;
        Ok(state.query_planner().create_physical_plan(&logical, &state).await?)
    }

    fn verify(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        self.decisions().verify_physical(Arc::clone(plan), &[], &LocalScheduler).map(drop)
    }

    /// The rows of a plan, sorted, whether or not anybody verified it.
    async fn rows(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for batch in collect(plan, self.context.task_ctx()).await? {
            let options = FormatOptions::default();
            let columns: Vec<_> =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            let text = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
            rows.extend((0..batch.num_rows()).map(text));
        }
        rows.sort();
        Ok(rows)
    }
}

fn restricted(change: impl FnOnce(&mut Restrictions)) -> Decision {
    let mut held = Restrictions::default();
    change(&mut held);
    Decision::permit_with(held)
}

fn team_a() -> Decision {
    restricted(|held| held.filter = Some(RowPredicate::compare(FieldId(3), CompareOp::Eq, Value::Text("a".into()))))
}
