//! A physical plan in boxes, as far as a person may see it.

use std::{fmt, sync::Arc};

use datafusion::{
    error::{DataFusionError, Result as DataFusionResult},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, displayable},
};

use crate::{Error, Result, govern::SecurityBarrierExec};

/// Boxes side by side. Drawing takes time with the square of them.
const WIDEST: usize = 64;

/// # Errors
/// `Unsupported` for a plan that is too wide to be drawn.
pub(super) fn draw(plan: &Arc<dyn ExecutionPlan>) -> Result<String> {
    let shown = Shown::of(plan);
    if shown.width() > WIDEST {
        return Err(Error::unsupported(format!(
            "the plan has more than {WIDEST} leaves, which is too wide for a tree; leave FORMAT out"
        )));
    }
    Ok(displayable(&shown).tree_render().to_string())
}

/// A plan that can be looked at and not run. It ends at barriers.
#[derive(Debug)]
struct Shown {
    plan: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
    leaves: usize,
}

impl Shown {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let children: Vec<Self> = match plan.is::<SecurityBarrierExec>() {
            true => Vec::new(),
            false => plan.children().into_iter().map(Self::of).collect(),
        };
        let leaves = children.iter().map(Self::width).sum::<usize>().max(1);
        let children = children.into_iter().map(|child| Arc::new(child) as Arc<dyn ExecutionPlan>).collect();
        Self { plan: Arc::clone(plan), children, leaves }
    }

    fn width(&self) -> usize {
        self.leaves
    }
}

impl DisplayAs for Shown {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.plan.downcast_ref::<SecurityBarrierExec>() {
            // What a tree shows are pairs.
            Some(barrier) => write!(f, "table={}", barrier.grant().table().name),
            None => self.plan.fmt_as(format, f),
        }
    }
}

impl ExecutionPlan for Shown {
    fn name(&self) -> &str {
        self.plan.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal("a plan that is shown does not change".into()))
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        Err(DataFusionError::Internal("a plan that is shown does not run".into()))
    }
}
