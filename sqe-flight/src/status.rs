//! Between our errors and gRPC's statuses: the one place that knows both.

use arrow_flight::error::FlightError;
use sqe_core::{Error, ErrorKind};
use tonic::{Code, Status};

/// gRPC carries the message as an HTTP/2 header; longer ones make some clients drop the connection instead.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The gRPC code of a kind (<https://grpc.io/docs/guides/status-codes/>).
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Internal => Code::Internal,
        // A kind that this version does not know says nothing that a client could act on.
        _ => Code::Unknown,
    }
}

/// What a client is told. The source stays here, in the log.
pub(crate) fn to_status(error: &Error) -> Status {
    let source = std::error::Error::source(error).map(ToString::to_string);
    match error.kind() {
        ErrorKind::Internal => tracing::error!(error = error.message(), source, "a call failed"),
        ErrorKind::Unavailable => tracing::warn!(error = error.message(), source, "a call failed"),
        // Who tries to log in with what is not theirs should not be seen by nobody.
        ErrorKind::Unauthenticated => tracing::info!(error = error.message(), source, "a caller was not accepted"),
        kind => tracing::debug!(kind = kind.as_str(), error = error.message(), source, "a call failed"),
    }
    Status::new(code(error.kind()), shorten(error.message()))
}

/// For `map_err`.
pub(crate) fn refuse(error: Error) -> Status {
    to_status(&error)
}

fn shorten(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    let end = (0..=MAX_MESSAGE_BYTES).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{} … (shortened)", message.get(..end).unwrap_or_default())
}

/// What a status from a server means.
pub(crate) fn from_status(status: &Status) -> Error {
    let kind = match status.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => ErrorKind::InvalidInput,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Aborted => ErrorKind::Conflict,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => ErrorKind::Internal,
    };
    let message = if status.message().is_empty() {
        format!("the server answered {} without saying why", kind.as_str())
    } else {
        status.message().to_owned()
    };
    Error::new(kind, message)
}

/// What an error of the Flight layer means to a client of ours.
pub(crate) fn from_flight(error: FlightError) -> Error {
    match error {
        FlightError::Tonic(status) => from_status(&status),
        other => Error::internal("the server's answer could not be read").with_source(other),
    }
}

/// What an error of the Flight encoder means to a server's client: nothing but ours may speak.
pub(crate) fn from_encoder(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => to_status(&Error::internal("the answer could not be encoded").with_source(other)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(ErrorKind::InvalidInput, Code::InvalidArgument)]
    #[case(ErrorKind::Unauthenticated, Code::Unauthenticated)]
    #[case(ErrorKind::PermissionDenied, Code::PermissionDenied)]
    #[case(ErrorKind::NotFound, Code::NotFound)]
    #[case(ErrorKind::AlreadyExists, Code::AlreadyExists)]
    #[case(ErrorKind::Conflict, Code::Aborted)]
    #[case(ErrorKind::Unsupported, Code::Unimplemented)]
    #[case(ErrorKind::Unavailable, Code::Unavailable)]
    #[case(ErrorKind::ResourceExhausted, Code::ResourceExhausted)]
    #[case(ErrorKind::DeadlineExceeded, Code::DeadlineExceeded)]
    #[case(ErrorKind::Cancelled, Code::Cancelled)]
    #[case(ErrorKind::Internal, Code::Internal)]
    fn every_kind_has_its_code_and_comes_back_as_itself(#[case] kind: ErrorKind, #[case] expected: Code) {
        let status = to_status(&Error::new(kind, "what happened"));
        assert_eq!(status.code(), expected);
        let back = from_status(&status);
        assert_eq!((back.kind(), back.message()), (kind, "what happened"));
    }

    #[test]
    fn the_source_of_an_error_never_leaves() {
        let error = Error::internal("the engine failed").with_source(std::io::Error::other("/secret/path"));
        let status = to_status(&error);
        assert!(!format!("{status:?}").contains("secret"), "{status:?}");
        let encoder = from_encoder(FlightError::DecodeError("/secret/path".into()));
        assert!(!format!("{encoder:?}").contains("secret"), "{encoder:?}");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let status = to_status(&Error::invalid("ä".repeat(10_000)));
        assert!(status.message().len() < MAX_MESSAGE_BYTES + 64);
        assert!(status.message().ends_with("(shortened)"));
    }
}
