//! Exit codes, stable, so that scripts can tell a denial from a mistake from an outage.

use std::process::ExitCode;

use sqe_core::ErrorKind;

use crate::{config::ConfigError, sql::write::visible::visible_lines};

/// Why the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Authentication = 3,
    Denial = 4,
    Sql = 5,
    Unavailable = 6,
    Cancelled = 7,
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

/// A failure that was told when it happened.
#[derive(Debug)]
pub(crate) struct Told(Exit);

impl Told {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        Self(code(error))
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("something failed before")
    }
}

impl std::error::Error for Told {}

/// Tells what happened on standard error and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if !error.is::<Told>() {
        tell(error);
    }
    ExitCode::from(code(error) as u8)
}

/// Tells what happened on standard error. Messages can hold data, and data may not speak to the terminal.
pub(crate) fn tell(error: &anyhow::Error) {
    eprintln!("error: {}", visible_lines(&words(error)));
}

/// What happened, from the outside in. The causes of an engine's own error are for the log.
fn words(error: &anyhow::Error) -> String {
    let mut words = Vec::new();
    for cause in error.chain() {
        words.push(cause.to_string());
        if let Some(error) = cause.downcast_ref::<sqe_core::Error>() {
            tracing::debug!("{error:?}");
            break;
        }
    }
    words.join(": ")
}

/// What a failure means to whoever started the program.
pub(crate) fn code(error: &anyhow::Error) -> Exit {
    if let Some(Told(exit)) = error.downcast_ref() {
        return *exit;
    }
    // What was added to an error as context is found by the error alone, not in its chain.
    if error.is::<UsageError>() || error.is::<ConfigError>() {
        return Exit::Usage;
    }
    for cause in error.chain() {
        if cause.is::<UsageError>() || cause.is::<ConfigError>() {
            return Exit::Usage;
        }
        if let Some(error) = cause.downcast_ref::<sqe_core::Error>() {
            return of_kind(error.kind());
        }
    }
    Exit::Other
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
        ErrorKind::Cancelled => Exit::Cancelled,
        _ => Exit::Other,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(ErrorKind::Unauthenticated, Exit::Authentication)]
    #[case(ErrorKind::PermissionDenied, Exit::Denial)]
    #[case(ErrorKind::InvalidInput, Exit::Sql)]
    #[case(ErrorKind::NotFound, Exit::Sql)]
    #[case(ErrorKind::Unavailable, Exit::Unavailable)]
    #[case(ErrorKind::Cancelled, Exit::Cancelled)]
    #[case(ErrorKind::Internal, Exit::Other)]
    fn a_kind_keeps_its_meaning_through_added_context(#[case] kind: ErrorKind, #[case] exit: Exit) {
        let error = Err::<(), _>(sqe_core::Error::new(kind, "x")).context("while asking").unwrap_err();
        assert_eq!(code(&error), exit);
    }

    #[test]
    fn a_wrong_configuration_is_wrong_usage() {
        assert_eq!(code(&ConfigError("x".to_owned()).into()), Exit::Usage);
        let cause = Err::<(), _>(sqe_core::Error::unavailable("x")).context("while opening");
        assert_eq!(code(&cause.context(ConfigError("cannot start".to_owned())).unwrap_err()), Exit::Usage);
        assert_eq!(code(&anyhow::anyhow!("x")), Exit::Other);
    }

    #[test]
    fn causes_that_are_for_operators_are_not_told() {
        let inner = sqe_core::Error::unavailable("the catalog does not answer").with_source("host 10.0.0.1");
        let error = Err::<(), _>(inner).context("cannot load region").unwrap_err();
        assert_eq!(words(&error), "cannot load region: the catalog does not answer");
    }
}
