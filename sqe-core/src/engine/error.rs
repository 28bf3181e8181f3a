//! From DataFusion's errors to ours.

use std::error::Error as _;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::{Error, ErrorKind};

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        classify(&error).unwrap_or_else(|| Error::internal("the engine failed; see its log").with_source(error))
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// The first line of an error's own text, without DataFusion's prefix and backtrace hint.
fn text(error: &DataFusionError) -> String {
    error.message().trim_end_matches('.').to_owned()
}

fn classify(error: &DataFusionError) -> Option<Error> {
    let kind = match error {
        DataFusionError::External(inner) => {
            if let Some(ours) = inner.downcast_ref::<Error>() {
                return Some(ours.clone());
            }
            if let Some(nested) = inner.downcast_ref::<DataFusionError>() {
                return classify(nested);
            }
            if let Some(ArrowError::ExternalError(nested)) = inner.downcast_ref::<ArrowError>() {
                return nested.downcast_ref::<Error>().cloned();
            }
            return None;
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => return classify(inner),
        DataFusionError::Shared(inner) => return classify(inner),
        DataFusionError::Collection(all) => return all.first().and_then(classify),
        DataFusionError::ArrowError(inner, _) => match &**inner {
            ArrowError::ExternalError(nested) => {
                if let Some(ours) = nested.downcast_ref::<Error>() {
                    return Some(ours.clone());
                }
                return nested.downcast_ref::<DataFusionError>().and_then(classify);
            }
            ArrowError::DivideByZero => return Some(Error::invalid("division by zero")),
            ArrowError::ArithmeticOverflow(what) => {
                return Some(Error::invalid(format!("arithmetic overflow: {what}")));
            }
            ArrowError::CastError(what)
            | ArrowError::ParseError(what)
            | ArrowError::ComputeError(what)
            | ArrowError::InvalidArgumentError(what) => return Some(Error::invalid(what.clone())),
            ArrowError::NotYetImplemented(what) => return Some(Error::unsupported(what.clone())),
            _ => return None,
        },
        DataFusionError::SQL(_, _) | DataFusionError::Plan(_) | DataFusionError::SchemaError(_, _) => {
            ErrorKind::InvalidInput
        }
        DataFusionError::Execution(_) => ErrorKind::InvalidInput,
        DataFusionError::Configuration(_) => ErrorKind::InvalidInput,
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::ResourceExhausted,
        DataFusionError::ObjectStore(inner) => return Some(of_storage(inner)),
        // Whatever went wrong while a file was decoded, conditions and the storage included.
        DataFusionError::ParquetError(_) => return error.source().and_then(of_cause),
        _ => return None,
    };
    Some(Error::new(kind, text(error)))
}

fn of_storage(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Error::denied("the storage refused to hand over a file of this table")
        }
        object_store::Error::NotFound { .. } => {
            Error::internal("a data file of this table is missing from the storage")
        }
        _ => Error::unavailable("the storage does not answer; try again later"),
    }
}

/// What an error means whose causes are kept and whose kind tells nothing.
fn of_cause(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    let mut causes = std::iter::from_fn(|| {
        let cause = next?;
        next = cause.source();
        Some(cause)
    });
    causes.find_map(|cause| {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        if let Some(storage) = cause.downcast_ref::<object_store::Error>() {
            return Some(of_storage(storage));
        }
        match cause.downcast_ref::<ArrowError>()? {
            // DataFusion keeps only the text of what a condition met that is evaluated while decoding.
            ArrowError::ComputeError(what) if what.starts_with("Error evaluating filter predicate") => {
                let zero = what.contains("DivideByZero");
                let other = "a condition cannot be computed for some row; look at its divisions and casts";
                Some(Error::invalid(if zero { "division by zero" } else { other }))
            }
            _ => None,
        }
    })
}
