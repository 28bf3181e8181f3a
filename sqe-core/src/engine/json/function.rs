//! One function, of whichever kind.

use arrow::{
    array::{Array, AsArray, StringViewArray},
    datatypes::{DataType, Field, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};

use super::{answer, walk::Step};

/// What is asked of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Text,
    Contains,
    Get,
    Array,
    Bool,
    Float,
    Int,
    Str,
    Length,
    Keys,
    Valid,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::Text,
        Self::Contains,
        Self::Get,
        Self::Array,
        Self::Bool,
        Self::Float,
        Self::Int,
        Self::Str,
        Self::Length,
        Self::Keys,
        Self::Valid,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "json_as_text",
            Self::Contains => "json_contains",
            Self::Get => "json_get",
            Self::Array => "json_get_array",
            Self::Bool => "json_get_bool",
            Self::Float => "json_get_float",
            Self::Int => "json_get_int",
            Self::Str => "json_get_str",
            Self::Length => "json_length",
            Self::Keys => "json_object_keys",
            Self::Valid => "json_valid",
        }
    }

    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["json_get_json"],
            Self::Keys => &["json_keys"],
            Self::Valid => &["is_json"],
            _ => &[],
        }
    }

    fn answer(self) -> DataType {
        match self {
            Self::Text | Self::Get | Self::Str => DataType::Utf8,
            Self::Contains | Self::Bool | Self::Valid => DataType::Boolean,
            Self::Float => DataType::Float64,
            Self::Int | Self::Length => DataType::Int64,
            Self::Array | Self::Keys => DataType::new_list(DataType::Utf8, true),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonFunction {
    kind: Kind,
    signature: Signature,
    aliases: Vec<String>,
}

impl JsonFunction {
    pub(super) fn new(kind: Kind) -> Self {
        let aliases = kind.aliases().iter().map(|alias| (*alias).to_owned()).collect();
        Self { kind, signature: Signature::user_defined(Volatility::Immutable), aliases }
    }
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.kind.answer())
    }

    /// A document, then names of members and positions of elements.
    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let name = self.kind.name();
        let Some((document, path)) = arg_types.split_first() else {
            return Err(DataFusionError::Plan(format!("{name} takes a document of JSON in text")));
        };
        if !is_text(document) {
            return Err(DataFusionError::Plan(format!("{name} takes a document of JSON in text, not {document}")));
        }
        if self.kind == Kind::Valid && !path.is_empty() {
            return Err(DataFusionError::Plan(format!("{name} takes a document and nothing else")));
        }
        let step = |step: &DataType| match step {
            step if is_text(step) => Ok(DataType::Utf8View),
            step if step.is_integer() => Ok(DataType::Int64),
            other => Err(DataFusionError::Plan(format!(
                "{name} takes names of members and positions of elements, not {other}"
            ))),
        };
        std::iter::once(Ok(DataType::Utf8View)).chain(path.iter().map(step)).collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arguments = Arguments::of(&args.args)?;
        let answer = answer::answer(self.kind, &arguments, rows)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)
        } else {
            ColumnarValue::Array(answer)
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The arguments of a call, row by row. What is the same for all rows is not written out.
pub(super) struct Arguments<'a> {
    document: Value<'a>,
    path: Vec<Value<'a>>,
}

enum Value<'a> {
    Text(Option<&'a str>),
    Texts(&'a StringViewArray),
    Number(Option<i64>),
    Numbers(&'a arrow::array::PrimitiveArray<Int64Type>),
}

impl<'a> Arguments<'a> {
    fn of(args: &'a [ColumnarValue]) -> DataFusionResult<Self> {
        let mut values = args.iter().map(Value::of).collect::<DataFusionResult<Vec<_>>>()?.into_iter();
        let document = values.next().ok_or_else(|| strange(&DataType::Null))?;
        Ok(Self { document, path: values.collect() })
    }

    pub(super) fn document(&self, row: usize) -> Option<&'a str> {
        self.document.text(row)
    }

    /// The path of a row. `None` if a step is missing, or leads nowhere.
    pub(super) fn path<'b>(&'b self, row: usize) -> Option<impl AsRef<[Step<'a>]> + use<'a>> {
        self.path.iter().map(|step| step.step(row)).collect::<Option<Vec<_>>>()
    }
}

impl<'a> Value<'a> {
    fn of(value: &'a ColumnarValue) -> DataFusionResult<Self> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Int64(number)) => Ok(Self::Number(*number)),
            ColumnarValue::Scalar(scalar) => match scalar.try_as_str() {
                Some(text) => Ok(Self::Text(text)),
                None => Err(strange(&scalar.data_type())),
            },
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8View => Ok(Self::Texts(array.as_string_view())),
                DataType::Int64 => Ok(Self::Numbers(array.as_primitive())),
                other => Err(strange(other)),
            },
        }
    }

    fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Text(text) => *text,
            Self::Texts(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Number(_) | Self::Numbers(_) => None,
        }
    }

    fn step(&self, row: usize) -> Option<Step<'a>> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Numbers(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
            Self::Text(_) | Self::Texts(_) => return self.text(row).map(Step::Key),
        };
        number.and_then(|number| usize::try_from(number).ok()).map(Step::Index)
    }
}

fn strange(data_type: &DataType) -> DataFusionError {
    DataFusionError::Internal(format!("a function of JSON was called with {data_type}"))
}

/// What lists are made of.
pub(super) fn element() -> Field {
    Field::new_list_field(DataType::Utf8, true)
}
