//! Enforcement: decisions built into plans, and the check that they are there.

mod grant;

pub use grant::{Authorized, ScanGrant, WriteGrant};
