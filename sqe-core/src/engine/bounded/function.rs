//! A function with a bound.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::Array,
    compute::concat,
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::{ScalarValue, config::ConfigOptions},
    error::Result as DataFusionResult,
    logical_expr::{
        ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, StructFieldMapping,
        interval_arithmetic::Interval,
        preimage::PreimageResult,
        simplify::{ExprSimplifyResult, SimplifyContext},
        sort_properties::{ExprProperties, SortProperties},
    },
};

use super::{Bound, Budget, bounded, measure};
use crate::Error;

/// What one call may answer with, in bytes: a batch of rows is one call.
const LIMIT: u64 = 256 << 20;
/// The same for a call on nothing but constants, whose answer a plan keeps.
const CONSTANT: u64 = 1 << 20;
/// Constant answers up to this size, in bytes, are not counted together: a plan has room for all that a text asks for.
const SMALL: u64 = 1 << 10;
/// Steps that nothing interrupts: those of one row, and about those of the rows that are computed at once.
const STEPS: u64 = 1_000_000_000;
/// How long one batch may take, counted whenever so many steps are done.
const PATIENCE: Duration = Duration::from_secs(60);

/// A function that is called only if its answer fits and its work can be done.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: Arc<ScalarUDF>,
    bound: Bound,
}

// A bound belongs to its function's name, which is compared already.
impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Bounded {
    pub(super) fn new(inner: Arc<ScalarUDF>, bound: Bound) -> Self {
        Self { inner, bound }
    }

    fn refused(&self, why: &str) -> datafusion::error::DataFusionError {
        Error::exhausted(format!("{} {why}; ask for less at once", self.inner.name())).into()
    }

    /// What plans keep is counted together for a statement.
    fn on_constants(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let needed = (self.bound.bytes)(&args.args, 1)?;
        // Unless it was folded into the plan, the answer is written out once a row.
        if needed > CONSTANT || needed.saturating_mul(args.number_rows as u64) > LIMIT {
            return Err(self.refused(&format!("may make a constant of more than {} MiB", CONSTANT >> 20)));
        }
        if let Some(work) = self.bound.work
            && work(&args.args, 1)?.into_iter().any(|steps| steps > STEPS)
        {
            return Err(self.refused("would take too long"));
        }
        let budget = (args.number_rows <= 1).then(|| Arc::clone(&args.config_options));
        let answer = self.inner.inner().invoke_with_args(args)?;
        let bytes = measure::size(&answer);
        if let Some(budget) = budget.as_ref().and_then(|options| options.extensions.get::<Budget>())
            && bytes > SMALL
            && !budget.spend(bytes)
        {
            return Err(self.refused("and others make constants that are too large together"));
        }
        Ok(answer)
    }

    /// Computes a few rows, and the next ones only while there is time.
    fn in_slices(&self, args: &ScalarFunctionArgs, work: &[u64]) -> DataFusionResult<ColumnarValue> {
        let started = Instant::now();
        let mut parts = Vec::new();
        let mut from = 0;
        while from < work.len() {
            if started.elapsed() > PATIENCE {
                return Err(self.refused("takes too long"));
            }
            let (mut rows, mut steps) = (0, 0_u64);
            for more in work.iter().skip(from) {
                steps = steps.saturating_add(*more);
                if steps > STEPS && rows > 0 {
                    break;
                }
                rows += 1;
            }
            let part = self.inner.inner().invoke_with_args(slice(args, from, rows))?;
            parts.push(part.into_array(rows)?);
            from += rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

fn take_bound(expr: &mut Expr) {
    if let Expr::ScalarFunction(call) = expr
        && let Some(Bounded { inner, .. }) = call.func.inner().downcast_ref::<Bounded>()
    {
        call.func = Arc::clone(inner);
    }
}

fn put_bound(expr: &mut Expr) {
    if let Expr::ScalarFunction(call) = expr
        && let Some(bounded) = bounded(&call.func)
    {
        call.func = bounded;
    }
}

fn slice(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let values = args.args.iter().map(|argument| match argument {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        ColumnarValue::Scalar(scalar) => ColumnarValue::Scalar(scalar.clone()),
    });
    ScalarFunctionArgs {
        args: values.collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&args.return_field),
        config_options: Arc::clone(&args.config_options),
    }
}

#[deny(clippy::missing_trait_methods)]
impl ScalarUDFImpl for Bounded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        if measure::constant(&args.args) {
            return self.on_constants(args);
        }
        if (self.bound.bytes)(&args.args, args.number_rows)? > LIMIT {
            return Err(self.refused(&format!("may need more than {} MiB", LIMIT >> 20)));
        }
        let Some(work) = self.bound.work else { return self.inner.inner().invoke_with_args(args) };
        let work = work(&args.args, args.number_rows)?;
        if work.iter().any(|steps| *steps > STEPS) {
            return Err(self.refused("would take too long on a single row"));
        }
        if work.iter().fold(0_u64, |sum, steps| sum.saturating_add(*steps)) > STEPS {
            return self.in_slices(&args, &work);
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
        Some(ScalarUDF::new_from_impl(Self { inner, bound: self.bound }))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    #[expect(deprecated, reason = "a wrapper forwards everything")]
    fn is_nullable(&self, args: &[Expr], schema: &dyn datafusion::common::ExprSchema) -> bool {
        self.inner.inner().is_nullable(args, schema)
    }

    /// What a function becomes is mostly itself again, or one like it: it must not lose its bound on the way.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> DataFusionResult<ExprSimplifyResult> {
        let mut args = args;
        // It knows a list that is written out by its very function.
        if self.inner.name() == "array_has" {
            args.first_mut().into_iter().for_each(take_bound);
        }
        let mut simplified = self.inner.inner().simplify(args, info)?;
        match &mut simplified {
            ExprSimplifyResult::Original(args) => args.first_mut().into_iter().for_each(put_bound),
            ExprSimplifyResult::Simplified(expr) => put_bound(expr),
        }
        Ok(simplified)
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
