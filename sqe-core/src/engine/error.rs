//! From DataFusion's errors to ours.

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
        DataFusionError::ObjectStore(inner) => {
            return Some(match &**inner {
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                    Error::denied("the storage refused to hand over a file of this table")
                }
                object_store::Error::NotFound { .. } => {
                    Error::internal("a data file of this table is missing from the storage")
                }
                _ => Error::unavailable("the storage does not answer; try again later"),
            });
        }
        _ => return None,
    };
    Some(Error::new(kind, text(error)))
}
