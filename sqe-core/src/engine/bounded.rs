//! Functions whose answer can be far larger than their arguments. They allocate it at once and outside of every memory
//! pool, also while a statement is planned, so what they would need is estimated before they are called.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit},
};
use datafusion::{
    common::{ScalarValue, config::ConfigOptions},
    error::Result as DataFusionResult,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{
        ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, StructFieldMapping,
        interval_arithmetic::Interval,
        preimage::PreimageResult,
        simplify::{ExprSimplifyResult, SimplifyContext},
        sort_properties::{ExprProperties, SortProperties},
    },
};

use crate::{Error, Result};

/// What one call may answer with, in bytes: a batch of rows is one call.
const LIMIT: u64 = 256 << 20;

/// An upper bound of an answer, in bytes, from the arguments of a call on this many rows.
type Estimate = fn(&[ColumnarValue], usize) -> DataFusionResult<u64>;

const FUNCTIONS: [(&str, Estimate); 10] = [
    ("repeat", repeat),
    ("lpad", pad),
    ("rpad", pad),
    ("replace", replace),
    ("regexp_replace", regexp_replace),
    ("array_repeat", array_repeat),
    ("array_resize", array_resize),
    ("array_to_string", array_to_string),
    ("range", series),
    ("generate_series", series),
];

/// Puts a bound on the functions of a session that need one.
///
/// # Errors
/// `Internal` if a function cannot be replaced.
pub(super) fn bound(state: &mut SessionState) -> Result<()> {
    for (name, estimate) in FUNCTIONS {
        if let Some(inner) = state.scalar_functions().get(name).map(Arc::clone) {
            state.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded { inner, estimate: Bound(estimate) })))?;
        }
    }
    Ok(())
}

/// A function that is called only if its answer fits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    estimate: Bound,
}

/// Estimates belong to their function's name, which is compared already.
#[derive(Debug)]
struct Bound(Estimate);

impl PartialEq for Bound {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Bound {}

impl std::hash::Hash for Bound {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[deny(clippy::missing_trait_methods)]
impl ScalarUDFImpl for Bounded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let needed = (self.estimate.0)(&args.args, if constant { 1 } else { args.number_rows })?;
        if needed > LIMIT {
            let limit = LIMIT >> 20;
            let name = self.inner.name();
            return Err(Error::exhausted(format!("{name} may need more than {limit} MiB; ask for less at once")).into());
        }
        self.inner.inner().invoke_with_args(args)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    #[expect(deprecated, reason = "a wrapper forwards everything")]
    fn display_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        self.inner.inner().display_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        self.inner.inner().schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> DataFusionResult<DataType> {
        self.inner.inner().return_type(arg_types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::new_from_impl(Self { inner, estimate: Bound(self.estimate.0) }))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    #[expect(deprecated, reason = "a wrapper forwards everything")]
    fn is_nullable(&self, args: &[Expr], schema: &dyn datafusion::common::ExprSchema) -> bool {
        self.inner.inner().is_nullable(args, schema)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> DataFusionResult<ExprSimplifyResult> {
        self.inner.inner().simplify(args, info)
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> DataFusionResult<PreimageResult> {
        self.inner.inner().preimage(args, literal, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.inner().short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.inner().conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> DataFusionResult<Interval> {
        self.inner.inner().evaluate_bounds(input)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> DataFusionResult<Option<Vec<Interval>>> {
        self.inner.inner().propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> DataFusionResult<SortProperties> {
        self.inner.inner().output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> DataFusionResult<bool> {
        self.inner.inner().preserves_lex_ordering(inputs)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn struct_field_mapping(&self, literals: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.inner.inner().struct_field_mapping(literals)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.inner().documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.inner().placement(args)
    }
}

/// A number a row: the same for all, or one each. What is missing counts as 0.
enum Numbers {
    All(i128),
    Each(Vec<i128>),
}

impl Numbers {
    fn at(&self, row: usize) -> u64 {
        u64::try_from(self.signed(row).max(0)).unwrap_or(u64::MAX)
    }

    fn signed(&self, row: usize) -> i128 {
        match self {
            Self::All(number) => *number,
            Self::Each(numbers) => numbers.get(row).copied().unwrap_or(0),
        }
    }
}

fn each(
    value: Option<&ColumnarValue>,
    of: impl Fn(&ArrayRef) -> DataFusionResult<Vec<i128>>,
) -> DataFusionResult<Numbers> {
    Ok(match value {
        None => Numbers::All(0),
        Some(ColumnarValue::Array(array)) => Numbers::Each(of(array)?),
        Some(ColumnarValue::Scalar(scalar)) => {
            Numbers::All(of(&scalar.to_array()?)?.first().copied().unwrap_or_default())
        }
    })
}

/// The lengths of texts in bytes.
fn lengths(value: Option<&ColumnarValue>) -> DataFusionResult<Numbers> {
    each(value, |array| {
        let length = |text: Option<&str>| text.map_or(0, |text| text.len() as i128);
        Ok(match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().map(length).collect(),
            DataType::LargeUtf8 => array.as_string::<i64>().iter().map(length).collect(),
            DataType::Utf8View => array.as_string_view().iter().map(length).collect(),
            _ => vec![(array.get_array_memory_size() / array.len().max(1)) as i128; array.len()],
        })
    })
}

fn integers(value: Option<&ColumnarValue>) -> DataFusionResult<Numbers> {
    each(value, |array| {
        let array = match array.data_type() {
            // Nanoseconds, as the steps of a series are.
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
                cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, None))?
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let steps = array.as_primitive::<IntervalMonthDayNanoType>();
                // The shortest month: a bound may count too many values, never too few.
                let nanos = |days: i64| i128::from(days) * 24 * 3600 * 1_000_000_000;
                let step = |step: arrow::datatypes::IntervalMonthDayNano| {
                    nanos(i64::from(step.months) * 28 + i64::from(step.days)) + i128::from(step.nanoseconds)
                };
                return Ok(steps.iter().map(|value| value.map_or(0, step)).collect());
            }
            _ => Arc::clone(array),
        };
        let numbers = cast(&array, &DataType::Int64)?;
        Ok(numbers.as_primitive::<Int64Type>().iter().map(|number| number.unwrap_or_default().into()).collect())
    })
}

/// How many elements the lists have, and how many bytes they take, in all.
fn lists(value: Option<&ColumnarValue>) -> DataFusionResult<(u64, u64)> {
    let Some(value) = value else { return Ok((0, 0)) };
    let array = value.to_array(1)?;
    let elements = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().values().len(),
        DataType::LargeList(_) => array.as_list::<i64>().values().len(),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().values().len(),
        _ => array.len(),
    };
    Ok((elements as u64, array.get_array_memory_size() as u64))
}

fn sum(rows: usize, of: impl Fn(usize) -> u64) -> u64 {
    (0..rows).fold(0, |sum, row| sum.saturating_add(of(row)))
}

fn repeat(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (text, times) = (lengths(args.first())?, integers(args.get(1))?);
    Ok(sum(rows, |row| text.at(row).saturating_mul(times.at(row))))
}

/// Characters have up to four bytes.
fn pad(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let length = integers(args.get(1))?;
    Ok(sum(rows, |row| length.at(row).saturating_mul(4)))
}

fn replace(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (text, from, to) = (lengths(args.first())?, lengths(args.get(1))?, lengths(args.get(2))?);
    Ok(sum(rows, |row| {
        let places = (text.at(row) / from.at(row).max(1)).saturating_add(1);
        places.saturating_mul(to.at(row)).saturating_add(text.at(row))
    }))
}

/// A pattern can match between any two characters, and each reference can bring the whole text again.
fn regexp_replace(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (text, to) = (lengths(args.first())?, lengths(args.get(2))?);
    Ok(sum(rows, |row| text.at(row).saturating_add(1).saturating_mul(to.at(row).saturating_add(1))))
}

fn array_repeat(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (element, times) = match args.first() {
        Some(ColumnarValue::Array(array)) => {
            (array.get_array_memory_size() / array.len().max(1), integers(args.get(1))?)
        }
        Some(ColumnarValue::Scalar(scalar)) => (scalar.size(), integers(args.get(1))?),
        None => return Ok(0),
    };
    Ok(sum(rows, |row| (element.max(8) as u64).saturating_mul(times.at(row))))
}

fn array_resize(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let length = integers(args.get(1))?;
    let element = match args.get(2) {
        Some(ColumnarValue::Scalar(scalar)) => scalar.size() as u64,
        Some(ColumnarValue::Array(array)) => (array.get_array_memory_size() / array.len().max(1)) as u64,
        None => 8,
    };
    Ok(sum(rows, |row| length.at(row).saturating_mul(element.max(8))))
}

fn array_to_string(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (elements, bytes) = lists(args.first())?;
    let (separator, null) = (lengths(args.get(1))?, lengths(args.get(2))?);
    let longest = |of: &Numbers| (0..rows).map(|row| of.at(row)).max().unwrap_or(0);
    let each = longest(&separator).saturating_add(longest(&null)).saturating_add(20);
    // A list that is the same for all rows is joined once a row.
    let times = if matches!(args.first(), Some(ColumnarValue::Scalar(_))) { rows as u64 } else { 1 };
    Ok(elements.saturating_mul(each).saturating_add(bytes).saturating_mul(times))
}

fn series(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (start, stop, step) = match args {
        [stop] => (Numbers::All(0), integers(Some(stop))?, Numbers::All(1)),
        [start, stop] => (integers(Some(start))?, integers(Some(stop))?, Numbers::All(1)),
        [start, stop, step, ..] => (integers(Some(start))?, integers(Some(stop))?, integers(Some(step))?),
        [] => return Ok(0),
    };
    Ok(sum(rows, |row| {
        let span = stop.signed(row).saturating_sub(start.signed(row)).unsigned_abs();
        // A step of nothing is an error of the function's own.
        let values = span.checked_div(step.signed(row).unsigned_abs()).unwrap_or(0).saturating_add(1);
        u64::try_from(values).unwrap_or(u64::MAX).saturating_mul(8)
    }))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use rstest::rstest;

    use super::*;
    use crate::ErrorKind;

    async fn ask(sql: &str) -> Result<usize> {
        let mut state = SessionContext::new().state();
        bound(&mut state)?;
        let batches = SessionContext::new_with_state(state).sql(sql).await?.collect().await?;
        Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    }

    #[rstest]
    #[case::repeat("repeat('xy', @)", 1_000, 2_000_000_000)]
    #[case::repeat_of_rows("repeat(CAST(value AS VARCHAR), @)", 10, 1_000_000)]
    #[case::lpad("lpad('x', @)", 1_000, 2_000_000_000)]
    #[case::rpad("rpad('x', @, 'y')", 1_000, 2_000_000_000)]
    #[case::replace("replace(repeat('x', @), 'x', repeat('y', @))", 100, 1_000_000)]
    #[case::regexp_replace("regexp_replace(repeat('x', @), 'x', repeat('y', @), 'g')", 100, 1_000_000)]
    #[case::array_repeat("array_repeat('x', @)", 1_000, 2_000_000_000)]
    #[case::list_repeat("list_repeat('x', @)", 1_000, 2_000_000_000)]
    #[case::array_resize("array_resize(make_array(1), @, 0)", 1_000, 2_000_000_000)]
    #[case::join("array_to_string(range(@), repeat(',', @))", 100, 1_000_000)]
    #[case::range("range(0, @)", 1_000, 3_000_000_000)]
    #[case::series_backwards("generate_series(@, 0, -1)", 1_000, 3_000_000_000)]
    #[tokio::test]
    async fn answers_that_fit_are_given_and_others_refused(#[case] call: &str, #[case] few: u64, #[case] many: u64) {
        let sql =
            |times: u64| format!("SELECT {} FROM generate_series(1, 1000)", call.replace('@', &times.to_string()));
        assert_eq!(ask(&sql(few)).await.unwrap(), 1000, "{call}");
        let refused = ask(&sql(many)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted, "{call}: {refused}");
    }

    #[tokio::test]
    async fn a_series_of_moments_is_counted_by_its_step() {
        let series = |step: &str| {
            format!("SELECT generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-03', INTERVAL '{step}')")
        };
        assert_eq!(ask(&series("1 hour")).await.unwrap(), 1);
        let refused = ask(&series("1 microsecond")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted, "{refused}");
    }
}
