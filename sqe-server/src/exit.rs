//! Exit codes, stable, so that scripts can tell a denial from a mistake from an outage.

use std::process::ExitCode;

use sqe_core::ErrorKind;
use tonic::Code;

use crate::config::ConfigError;

/// Why the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Authentication = 3,
    Denial = 4,
    Sql = 5,
    Unavailable = 6,
}

/// A mistake on the command line that only shows once the program runs.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Tells what happened on standard error and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // The rest of the chain has the same words again, or an operator's details that this program's user may not be.
    match status(error) {
        Some(status) => eprintln!("error: {}", status.message()),
        None => eprintln!("error: {error:#}"),
    }
    ExitCode::from(code(error) as u8)
}

fn status(error: &anyhow::Error) -> Option<&tonic::Status> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<UsageError>() || cause.is::<ConfigError>() {
            return Exit::Usage;
        }
        if let Some(status) = cause.downcast_ref::<tonic::Status>() {
            return of_status(status.code());
        }
        if cause.is::<tonic::transport::Error>() {
            return Exit::Unavailable;
        }
        if let Some(error) = cause.downcast_ref::<sqe_core::Error>() {
            return of_kind(error.kind());
        }
    }
    Exit::Other
}

fn of_status(code: Code) -> Exit {
    match code {
        Code::Unauthenticated => Exit::Authentication,
        Code::PermissionDenied => Exit::Denial,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Aborted
        | Code::Unimplemented => Exit::Sql,
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => Exit::Unavailable,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => Exit::Other,
    }
}

fn of_kind(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Unauthenticated => Exit::Authentication,
        ErrorKind::PermissionDenied => Exit::Denial,
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Conflict
        | ErrorKind::Unsupported => Exit::Sql,
        ErrorKind::Unavailable | ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded => Exit::Unavailable,
        _ => Exit::Other,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Code::Unauthenticated, Exit::Authentication)]
    #[case(Code::PermissionDenied, Exit::Denial)]
    #[case(Code::InvalidArgument, Exit::Sql)]
    #[case(Code::NotFound, Exit::Sql)]
    #[case(Code::Unavailable, Exit::Unavailable)]
    #[case(Code::Internal, Exit::Other)]
    fn a_status_keeps_its_meaning_through_added_context(#[case] status: Code, #[case] exit: Exit) {
        let error = Err::<(), _>(tonic::Status::new(status, "x")).context("while asking").unwrap_err();
        assert_eq!(code(&error), exit);
    }

    #[test]
    fn a_wrong_configuration_is_wrong_usage() {
        assert_eq!(code(&ConfigError("x".to_owned()).into()), Exit::Usage);
        assert_eq!(code(&anyhow::anyhow!("x")), Exit::Other);
    }
}
