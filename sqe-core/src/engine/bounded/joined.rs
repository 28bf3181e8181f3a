//! `||` as a function, which can have a bound. Unlike `concat`, it answers with NULL if an operand is NULL.

use std::sync::Arc;

use arrow::{
    datatypes::{DataType, Field, FieldRef, Schema},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{ScalarValue, utils::take_function_args},
    error::Result as DataFusionResult,
    logical_expr::{
        ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
        binary::BinaryTypeCoercer,
    },
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column},
    },
};

use super::measure;

/// No word, so that nobody's function has the same name.
pub(super) const NAME: &str = "||";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Joined {
    signature: Signature,
}

impl Joined {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        NAME
    }

    /// As the operator's: columns are called after it.
    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let [left, right] = take_function_args(NAME, arg_types)?;
        let (left, right) = BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, arg_types: &[DataType]) -> DataFusionResult<DataType> {
        let [left, right] = take_function_args(NAME, arg_types)?;
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(NAME, self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let constant = measure::constant(&args.args);
        let rows = if constant { 1 } else { args.number_rows };
        let [left, right] = take_function_args(NAME, args.args)?;
        let (left, right) = (left.into_array(rows)?, right.into_array(rows)?);
        let field = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
        let schema = Schema::new(vec![field("left", left.data_type()), field("right", right.data_type())]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![left, right])?;
        let (left, right) = (Arc::new(Column::new("left", 0)), Arc::new(Column::new("right", 1)));
        let joined = BinaryExpr::new(left, Operator::StringConcat, right).evaluate(&batch)?.into_array(rows)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?)
        } else {
            ColumnarValue::Array(joined)
        })
    }
}
