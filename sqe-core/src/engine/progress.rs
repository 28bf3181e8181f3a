//! How far a statement is, as far as it may be told.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use super::plan::{Planned, Work};

/// Tells how far a statement is while it runs. It keeps the plan, and what its operators hold, so it is for dropping once nobody
/// asks any more.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<Arc<dyn ExecutionPlan>>);

impl Planned {
    /// What will tell how far this statement is, once it runs.
    ///
    /// Nothing is told where policy holds rows back: how far a scan is when the first visible row comes says how many hidden
    /// ones stand before it.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &self.work {
            Work::Rows(rows) if !rows.restricted => Progress(Some(Arc::clone(&rows.plan))),
            _ => Progress(None),
        }
    }
}

impl Progress {
    /// The part of the rows of all scans that has been read, from 0 to 1. `None`: nobody knows, or nobody may; plans that run
    /// on other machines tell nothing here.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let mut counts = (0_usize, 0_usize);
        count(self.0.as_ref()?, &mut counts)?;
        let (read, all) = counts;
        // A progress bar has fewer positions than a float has digits.
        (all > 0 && read > 0).then(|| (read as f64 / all as f64).min(1.0))
    }
}

/// Adds what the scans below `plan` have read, and how much there is. `None` if one of them does not know.
fn count(plan: &Arc<dyn ExecutionPlan>, counts: &mut (usize, usize)) -> Option<()> {
    let children = plan.children();
    if children.is_empty() {
        let statistics = plan.partition_statistics(None).ok()?;
        counts.1 = counts.1.saturating_add(*statistics.num_rows.get_value()?);
        counts.0 = counts.0.saturating_add(plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0));
    }
    children.into_iter().try_for_each(|child| count(child, counts))
}
