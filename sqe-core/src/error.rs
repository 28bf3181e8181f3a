//! The one error type that crosses crate borders.
//!
//! Errors are grouped by what the caller can do about them. *Unavailable*, *denied*, *not found* and *empty* are four
//! different answers; nothing in this workspace turns one into another.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is, and so what a caller can do about it. Front ends map each kind to one wire status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: syntax, types, unknown columns, a division by zero. Change the request.
    InvalidInput,
    /// No identity could be established, or it expired. Log in again.
    Unauthenticated,
    /// The identity is known and may not do this. Ask the owner of the policy.
    PermissionDenied,
    /// The thing does not exist, or its existence may not be known to this identity.
    NotFound,
    /// The thing exists already.
    AlreadyExists,
    /// Somebody else changed the same thing first. Try again.
    Conflict,
    /// Understood, and not offered by this engine or this configuration.
    Unsupported,
    /// A system that the engine depends on does not answer. Try again later.
    Unavailable,
    /// A limit of memory, concurrency, rate or size. Try again later or with less.
    ResourceExhausted,
    /// The statement's deadline passed.
    DeadlineExceeded,
    /// The client went away or asked to stop.
    Cancelled,
    /// A defect of the engine.
    Internal,
}

impl ErrorKind {
    /// The kind as a stable lower-case word, for logs, audit records and command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::ResourceExhausted => "resource_exhausted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened and what to do about it, in words a person can act on. Never carries a secret.
///
/// The `source` is for operators' logs: front ends send only [`Error::message`] to clients.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error { $(
            $(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self { Self::new(ErrorKind::$kind, message) }
        )* }
    };
}

constructors! {
    /// An [`ErrorKind::InvalidInput`].
    invalid => InvalidInput,
    /// An [`ErrorKind::Unauthenticated`].
    unauthenticated => Unauthenticated,
    /// An [`ErrorKind::PermissionDenied`].
    denied => PermissionDenied,
    /// An [`ErrorKind::NotFound`].
    not_found => NotFound,
    /// An [`ErrorKind::AlreadyExists`].
    already_exists => AlreadyExists,
    /// An [`ErrorKind::Conflict`].
    conflict => Conflict,
    /// An [`ErrorKind::Unsupported`].
    unsupported => Unsupported,
    /// An [`ErrorKind::Unavailable`].
    unavailable => Unavailable,
    /// An [`ErrorKind::ResourceExhausted`].
    exhausted => ResourceExhausted,
    /// An [`ErrorKind::Internal`].
    internal => Internal,
}

impl Error {
    /// An error of `kind`. The message is lower case, names no Rust types and holds no secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: Arc::from(message.into()), source: None }
    }

    /// Keeps what caused this error, for operators' logs. It is never sent to a client.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What a client is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.kind).field("message", &self.message);
        if let Some(source) = &self.source {
            out.field("source", &format_args!("{source}"));
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
