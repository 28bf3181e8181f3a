//! EXPLAIN and DESCRIBE: what they show is what the person may know.
//!
//! Below a security barrier stand the policy's filter, masks, file names and row counts of what is hidden; the plan that
//! is shown ends at the barrier. Borders and bytes of batches above it follow what was held back, so a plan with a
//! barrier is shown with rows and times only, and with times only where operators learn while they run what to prune.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, metrics::MetricValue};

use super::{
    information_schema::type_name,
    plan::Rows,
    statement::{Format, Options},
};
use crate::{Result, govern::SecurityBarrierExec};

mod decisions;
mod tree;

pub(super) use decisions::decisions;

/// A planned EXPLAIN.
#[derive(Debug)]
pub(super) struct Explain {
    pub(super) rows: Box<Rows>,
    pub(super) options: Options,
}

/// The columns of EXPLAIN's answer.
pub(super) fn schema(options: Options) -> SchemaRef {
    if options.policy {
        return decisions::schema();
    }
    Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]))
}

fn table(schema: SchemaRef, columns: Vec<Vec<String>>) -> Result<RecordBatch> {
    let arrays = columns.into_iter().map(|values| Arc::new(StringArray::from(values)) as ArrayRef).collect();
    Ok(RecordBatch::try_new(schema, arrays)?)
}

/// EXPLAIN's answer. If the statement was run it shows what was measured.
pub(super) fn answer(
    logical: &datafusion::logical_expr::LogicalPlan,
    physical: &Arc<dyn ExecutionPlan>,
    options: Options,
) -> Result<RecordBatch> {
    // The logical plan ends at governed tables: it is what the person wrote, and holds nothing of policy.
    let drawn = match options.format {
        Format::Indent => None,
        Format::Tree => Some(("physical_plan", tree::draw(physical)?)),
        Format::PgJson => Some(("logical_plan", logical.display_pg_json().to_string())),
        Format::Graphviz => Some(("logical_plan", logical.display_graphviz().to_string())),
    };
    if let Some((kind, plan)) = drawn {
        return table(schema(options), vec![vec![kind.to_owned()], vec![plan]]);
    }
    let (metrics, verbose) = (options.analyze, options.verbose);
    let mut kinds = Vec::new();
    let mut plans = Vec::new();
    if !metrics || verbose {
        kinds.push("logical_plan".to_owned());
        plans.push(logical.display_indent().to_string());
    }
    kinds.push(if metrics { "plan_with_metrics" } else { "physical_plan" }.to_owned());
    let mut text = String::new();
    let measured = match (metrics, holds_barrier(physical)) {
        (false, _) => Measured::Nothing,
        (true, true) if follows_learning(physical) => Measured::Times,
        (true, true) => Measured::RowsAndTimes,
        (true, false) => Measured::All,
    };
    show(physical, 0, measured, &mut text);
    plans.push(text);
    table(schema(options), vec![kinds, plans])
}

struct Line<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}

/// What is shown of that which operators measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    Nothing,
    Times,
    RowsAndTimes,
    All,
}

fn follows_learning(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<SecurityBarrierExec>().is_some_and(SecurityBarrierExec::follows_learning)
        || plan.children().into_iter().any(follows_learning)
}

fn holds_barrier(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SecurityBarrierExec>() || plan.children().into_iter().any(holds_barrier)
}

fn show(plan: &Arc<dyn ExecutionPlan>, depth: usize, measured: Measured, text: &mut String) {
    let barrier = plan.is::<SecurityBarrierExec>();
    let shown = |value: &MetricValue| match (measured, value) {
        (Measured::Nothing, _) => false,
        (Measured::Times, MetricValue::OutputRows(_)) => false,
        (_, MetricValue::OutputRows(_)) => true,
        // Of a barrier only what leaves it: the time it took tells how much it held back.
        (_, MetricValue::ElapsedCompute(_)) => !barrier,
        (Measured::All, _) => !barrier,
        (Measured::Times | Measured::RowsAndTimes, _) => false,
    };
    let mut line = format!("{:indent$}{}", "", Line(&**plan), indent = 2 * depth);
    if measured != Measured::Nothing
        && let Some(metrics) = plan.metrics()
    {
        let metrics: Vec<String> = (metrics.aggregate_by_name().sorted_for_display().timestamps_removed().iter())
            .filter(|metric| shown(metric.value()))
            .map(ToString::to_string)
            .collect();
        line.push_str(&format!(", metrics=[{}]", metrics.join(", ")));
    }
    text.push_str(&line);
    text.push('\n');
    if !barrier {
        for child in plan.children() {
            show(child, depth + 1, measured, text);
        }
    }
}

/// The columns of DESCRIBE's answer.
pub(super) fn description_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("column_name", DataType::Utf8, false),
        Field::new("data_type", DataType::Utf8, false),
        Field::new("is_nullable", DataType::Utf8, false),
    ]))
}

/// DESCRIBE's answer about a visible schema.
pub(super) fn description(visible: &Schema) -> Result<RecordBatch> {
    let fields = || visible.fields().iter();
    table(
        description_schema(),
        vec![
            fields().map(|field| field.name().clone()).collect(),
            fields().map(|field| type_name(field.data_type())).collect(),
            fields().map(|field| if field.is_nullable() { "YES" } else { "NO" }.to_owned()).collect(),
        ],
    )
}
