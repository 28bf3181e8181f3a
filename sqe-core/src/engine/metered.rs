//! Memory that operators hold without asking the pool for it.
//!
//! Window operators keep their input, all of it or as much as a frame reaches, and `unnest` makes one batch of one batch,
//! however long its lists are. Here they are put into nodes that ask for them, or deal their input out in pieces.
//!
//! A plan that leaves this process is not metered: these nodes have no form on the wire.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use datafusion::{
    common::{
        ScalarValue, internal_err,
        tree_node::{Transformed, TreeNode},
    },
    error::{DataFusionError, Result as DataFusionResult},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{WindowFrameBound, WindowFrameUnits},
    physical_expr::{
        expressions::Literal,
        window::{StandardWindowExpr, WindowExpr},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::MetricsSet,
        stream::RecordBatchStreamAdapter,
        unnest::{ListUnnest, UnnestExec},
        windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr},
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::{Error, Result};

/// What one row may become in one batch, in bytes of the columns beside its lists.
const LIMIT: usize = 256 << 20;

/// Puts what holds memory without asking into nodes that ask.
pub(super) fn metered(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let metered = plan.transform_up(|node| {
        let needs = if let Some(window) = node.downcast_ref::<WindowAggExec>() {
            // Of all of its input it makes one batch, beside the ones that it was given.
            Needs { copies: 2, beside: RESULT * window.window_expr().len(), reach: usize::MAX }
        } else if let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() {
            let reach = window.window_expr().iter().map(|expr| reach(&**expr)).max().unwrap_or(0);
            Needs { copies: 1, beside: RESULT * window.window_expr().len(), reach }
        } else if let Some(unnest) = node.downcast_ref::<UnnestExec>() {
            let lists = unnest.list_column_indices().to_vec();
            let [input] = node.children()[..] else { return internal_err!("unnest has one input") };
            let dealt = Arc::new(DealtExec { input: Arc::clone(input), lists });
            return Ok(Transformed::yes(node.with_new_children(vec![dealt])?));
        } else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(MeteredExec::new(node, needs)) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(metered.data)
}

/// What a window operator holds for the rows that it was given.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Of the rows themselves.
    copies: usize,
    /// Bytes of each row's results.
    beside: usize,
    /// How many rows it keeps after their results came out.
    reach: usize,
}

/// About what one result of a window function takes, in bytes.
const RESULT: usize = 16;

/// How many rows a window function looks back on. A range of values is taken to hold few.
fn reach(expr: &dyn WindowExpr) -> usize {
    let frame = expr.get_window_frame();
    let back = match (frame.units, &frame.start_bound) {
        (WindowFrameUnits::Rows, WindowFrameBound::Preceding(ScalarValue::UInt64(Some(rows)))) => *rows,
        _ => 0,
    };
    let function = expr.as_any().downcast_ref::<StandardWindowExpr>().map(StandardWindowExpr::get_standard_func_expr);
    let function = function.and_then(|function| function.as_any().downcast_ref::<WindowUDFExpr>());
    let offset = function.filter(|function| ["lag", "lead"].contains(&function.fun().name()));
    let offset = offset.and_then(|function| function.args().get(1)?.downcast_ref::<Literal>()).map(Literal::value);
    let offset = match offset {
        Some(ScalarValue::Int64(Some(rows))) => rows.unsigned_abs(),
        _ => 0,
    };
    usize::try_from(back.max(offset)).unwrap_or(usize::MAX)
}

/// A window operator whose input is counted for as long as it is held.
#[derive(Debug)]
struct MeteredExec {
    window: Arc<dyn ExecutionPlan>,
    needs: Needs,
    /// What was really run, each with its measurements.
    ran: Mutex<Vec<Arc<dyn ExecutionPlan>>>,
}

impl MeteredExec {
    fn new(window: Arc<dyn ExecutionPlan>, needs: Needs) -> Self {
        Self { window, needs, ran: Mutex::default() }
    }
}

impl DisplayAs for MeteredExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeteredExec")
    }
}

impl ExecutionPlan for MeteredExec {
    fn name(&self) -> &'static str {
        "MeteredExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.window]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(window), true) => Ok(Arc::new(Self::new(window, self.needs))),
            _ => internal_err!("a metered window has exactly one input"),
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = MetricsSet::new();
        for metrics in self.ran.lock().iter().filter_map(|window| window.metrics()) {
            metrics.iter().for_each(|metric| all.push(Arc::clone(metric)));
        }
        Some(all)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let [input] = self.window.children()[..] else { return internal_err!("a window has exactly one input") };
        let consumer = MemoryConsumer::new(format!("{}[{partition}]", self.window.name()));
        let reservation = consumer.register(context.memory_pool());
        let meter = Arc::new(Mutex::new(Meter { needs: self.needs, given: 0, out: 0, held: 0, bytes: 0, reservation }));
        let tap = Arc::new(TapExec { input: Arc::clone(input), meter: Arc::clone(&meter) });
        let window = Arc::clone(&self.window).with_new_children(vec![tap])?;
        self.ran.lock().push(Arc::clone(&window));
        let rows = window.execute(partition, context)?;
        let schema = rows.schema();
        let rows = rows.inspect_ok(move |batch| meter.lock().give_back(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// What a window operator holds.
#[derive(Debug)]
struct Meter {
    needs: Needs,
    /// Rows that went in, rows that came out, and rows that are held.
    given: usize,
    out: usize,
    held: usize,
    /// Of the rows that are held.
    bytes: usize,
    reservation: MemoryReservation,
}

impl Meter {
    fn take(&mut self, batch: &RecordBatch) -> DataFusionResult<()> {
        let Needs { copies, beside, .. } = self.needs;
        let bytes = bytes_of(batch).saturating_mul(copies).saturating_add(beside.saturating_mul(batch.num_rows()));
        self.reservation.try_grow(bytes)?;
        self.given += batch.num_rows();
        self.held += batch.num_rows();
        self.bytes += bytes;
        Ok(())
    }

    /// Rows come out in the order in which they went in; what each took is not known any more, so the average stands.
    fn give_back(&mut self, rows: usize) {
        self.out += rows;
        let gone = self.out.saturating_sub(self.needs.reach);
        let free = self.held.saturating_sub(self.given.saturating_sub(gone));
        if free == 0 {
            return;
        }
        let bytes = (self.bytes as u128 * free as u128 / self.held as u128) as usize;
        self.held -= free;
        self.bytes -= bytes;
        self.reservation.shrink(bytes);
    }
}

/// The input of a metered window.
#[derive(Debug)]
struct TapExec {
    input: Arc<dyn ExecutionPlan>,
    meter: Arc<Mutex<Meter>>,
}

impl DisplayAs for TapExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TapExec")
    }
}

impl ExecutionPlan for TapExec {
    fn name(&self) -> &'static str {
        "TapExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        internal_err!("the input of a metered window is made when it runs")
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let (schema, meter) = (rows.schema(), Arc::clone(&self.meter));
        let rows = rows.map(move |batch| {
            let batch = batch?;
            meter.lock().take(&batch)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// The input of an `unnest`, in batches that do not become much more than one batch of rows each.
#[derive(Debug)]
struct DealtExec {
    input: Arc<dyn ExecutionPlan>,
    lists: Vec<ListUnnest>,
}

impl DisplayAs for DealtExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DealtExec")
    }
}

impl ExecutionPlan for DealtExec {
    fn name(&self) -> &'static str {
        "DealtExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, lists: self.lists.clone() })),
            _ => internal_err!("the input of an unnest has exactly one input"),
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let most = context.session_config().batch_size();
        let rows = self.input.execute(partition, context)?;
        let (schema, lists) = (rows.schema(), self.lists.clone());
        let pieces = rows.map(move |batch| {
            let pieces = pieces(&batch?, &lists, most)?;
            Ok::<_, DataFusionError>(stream::iter(pieces.into_iter().map(Ok)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, pieces.try_flatten())))
    }
}

/// `batch` in pieces that become at most `most` rows, or are one row.
fn pieces(batch: &RecordBatch, lists: &[ListUnnest], most: usize) -> DataFusionResult<Vec<RecordBatch>> {
    let mut pieces = Vec::new();
    let (mut from, mut becoming) = (0, 0);
    for row in 0..batch.num_rows() {
        let lengths = lists.iter().map(|list| length(batch.column(list.index_in_input_schema), row, list.depth));
        let length = lengths.max().unwrap_or(1).max(1);
        if length > most {
            check_row(batch, lists, row, length)?;
        }
        if row > from && length.saturating_add(becoming) > most {
            pieces.push(batch.slice(from, row - from));
            (from, becoming) = (row, 0);
        }
        becoming = length.saturating_add(becoming);
    }
    pieces.push(batch.slice(from, batch.num_rows() - from));
    Ok(pieces)
}

fn check_row(batch: &RecordBatch, lists: &[ListUnnest], row: usize, length: usize) -> DataFusionResult<()> {
    let beside: Vec<usize> = (0..batch.num_columns())
        .filter(|column| lists.iter().all(|list| list.index_in_input_schema != *column))
        .collect();
    let bytes = bytes_of(&batch.slice(row, 1).project(&beside)?);
    if bytes.saturating_mul(length) > LIMIT {
        return Err(Error::exhausted(format!(
            "a list of {length} values beside columns of {bytes} bytes is too much to unnest; unnest it with fewer columns"
        ))
        .into());
    }
    Ok(())
}

/// How many values a list holds, `depth` levels down.
fn length(array: &ArrayRef, row: usize, depth: usize) -> usize {
    if array.is_null(row) { 0 } else { values(array, row, row + 1, depth) }
}

fn values(array: &ArrayRef, from: usize, to: usize, depth: usize) -> usize {
    let (inner, from, to) = match array.data_type() {
        _ if depth == 0 => return to - from,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let at = |index: usize| list.value_offsets().get(index).map_or(0, |offset| *offset as usize);
            (list.values(), at(from), at(to))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let at = |index: usize| list.value_offsets().get(index).map_or(0, |offset| *offset as usize);
            (list.values(), at(from), at(to))
        }
        DataType::FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            let size = *size as usize;
            (list.values(), from * size, to * size)
        }
        _ => return to - from,
    };
    values(inner, from, to, depth - 1)
}

/// What the rows of a batch take, and not what their buffers hold besides.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(bytes_of_column).fold(0, usize::saturating_add)
}

fn bytes_of_column(column: &ArrayRef) -> usize {
    // A slice of lists holds the elements of all lists; those between its first and its last are its own.
    let elements = |values: &ArrayRef, from: Option<usize>, to: Option<usize>| {
        let from = from.unwrap_or(0);
        bytes_of_column(&values.slice(from, to.unwrap_or(from) - from)) + 8 * column.len()
    };
    let at = |offset: Option<&i32>| offset.map(|offset| *offset as usize);
    match column.data_type() {
        DataType::Utf8View => 16 * column.len() + column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => 16 * column.len() + column.as_binary_view().total_buffer_bytes_used(),
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            elements(lists.values(), at(lists.value_offsets().first()), at(lists.value_offsets().last()))
        }
        DataType::LargeList(_) => {
            let lists = column.as_list::<i64>();
            let at = |offset: Option<&i64>| offset.map(|offset| *offset as usize);
            elements(lists.values(), at(lists.value_offsets().first()), at(lists.value_offsets().last()))
        }
        DataType::Map(..) => {
            let maps = column.as_map();
            let entries: ArrayRef = Arc::new(maps.entries().clone());
            elements(&entries, at(maps.value_offsets().first()), at(maps.value_offsets().last()))
        }
        DataType::FixedSizeList(..) => {
            let lists = column.as_fixed_size_list();
            let (from, to) = (lists.value_offset(0), lists.value_offset(lists.len()));
            elements(lists.values(), usize::try_from(from).ok(), usize::try_from(to).ok())
        }
        DataType::Struct(_) => column.as_struct().columns().iter().map(bytes_of_column).fold(0, usize::saturating_add),
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, ListArray, StringArray},
        datatypes::Int64Type,
    };

    use super::*;

    fn batch(lengths: &[usize]) -> RecordBatch {
        let lists = lengths.iter().map(|length| Some(vec![Some(1); *length]));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let texts: StringArray = lengths.iter().map(|_| Some("x".repeat(1000))).collect();
        RecordBatch::try_from_iter([("list", Arc::new(lists) as ArrayRef), ("text", Arc::new(texts))]).unwrap()
    }

    fn dealt(lengths: &[usize], most: usize) -> Vec<usize> {
        let lists = [ListUnnest { index_in_input_schema: 0, depth: 1 }];
        pieces(&batch(lengths), &lists, most).unwrap().iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn lists_are_dealt_out_in_pieces_of_a_batch() {
        assert_eq!(dealt(&[1, 1, 1], 8), [3]);
        assert_eq!(dealt(&[5, 3, 1, 8, 100, 1], 8), [2, 1, 1, 1, 1]);
        assert_eq!(dealt(&[0, 0, 0], 2), [2, 1]);
        assert_eq!(dealt(&[], 2), [0]);
    }

    #[test]
    fn one_row_that_becomes_too_much_is_refused() {
        let lists = [ListUnnest { index_in_input_schema: 0, depth: 1 }];
        assert!(pieces(&batch(&[200_000]), &lists, 8).is_ok());
        let error = pieces(&batch(&[300_000]), &lists, 8).unwrap_err();
        assert!(error.to_string().contains("too much to unnest"), "{error}");
    }

    #[test]
    fn lists_of_lists_count_to_the_depth_that_is_asked_for() {
        let inner = batch(&[2, 3, 4]).column(0).clone();
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 1]);
        let field = Arc::new(arrow::datatypes::Field::new_list_field(inner.data_type().clone(), true));
        let outer: ArrayRef = Arc::new(ListArray::new(field, offsets, inner, None));
        assert_eq!([length(&outer, 0, 1), length(&outer, 0, 2), length(&outer, 1, 2)], [2, 5, 4]);
    }

    #[test]
    fn only_the_elements_of_a_slice_of_lists_are_counted() {
        let batch = batch(&[1000; 1000]);
        let (whole, slice) = (bytes_of(&batch), bytes_of(&batch.slice(7, 10)));
        assert!(whole > 8_000_000 && slice < whole / 90, "{whole} {slice}");
    }

    #[test]
    fn only_the_rows_of_a_slice_are_counted() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; 10_000]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        assert!(bytes_of(&batch.slice(5, 10)) < 200);
    }
}
