//! The engine: one query, room by room.

mod error;
mod session;

pub use session::{Engine, Planned, QueryStream, Session, SessionOptions, Statement, StatementKind, StatementShape};
pub use session::{ListingRequest, VisibleTable};
