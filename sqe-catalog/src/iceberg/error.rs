//! From the errors of the format's library, and of stores, to ours.

use std::error::Error as StdError;

use sqe_core::{Error, ErrorKind};

/// What a failure of a store means to a caller. `what` says in a few words what was being done.
pub(crate) fn from_store(error: object_store::Error, what: &str) -> Error {
    let converted = match &error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Error::denied(format!("the storage refused to {what}"))
        }
        object_store::Error::NotFound { .. } => {
            Error::unavailable(format!("cannot {what}: a file that the catalog refers to is missing from the storage"))
        }
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            Error::unsupported(format!("this storage cannot {what}"))
        }
        _ => Error::unavailable(format!("cannot {what}: the storage does not answer; try again later")),
    };
    converted.with_source(error)
}

/// What a failure of the format's library means to a caller. Errors of stores and of ours inside of it keep their kind;
/// a file that cannot be understood is `Internal`: it must never look like an empty or an unknown table, nor like a
/// storage that is down, since no other table suffers from it.
pub(crate) fn from_iceberg(error: iceberg::Error, what: &str) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            return ours.clone();
        }
        if let Some(store) = inner.downcast_ref::<object_store::Error>() {
            let kind = match store {
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                    ErrorKind::PermissionDenied
                }
                _ => ErrorKind::Unavailable,
            };
            let message = match kind {
                ErrorKind::PermissionDenied => format!("the storage refused to {what}"),
                _ => format!("cannot {what}: the storage does not answer, or a file is missing from it"),
            };
            return Error::new(kind, message).with_source(error);
        }
        cause = inner.source();
    }
    let kind = match error.kind() {
        iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
        iceberg::ErrorKind::TableNotFound | iceberg::ErrorKind::NamespaceNotFound => ErrorKind::NotFound,
        iceberg::ErrorKind::TableAlreadyExists | iceberg::ErrorKind::NamespaceAlreadyExists => ErrorKind::AlreadyExists,
        iceberg::ErrorKind::CatalogCommitConflicts => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("cannot {what}: the table's metadata does not allow it")).with_source(error)
}
