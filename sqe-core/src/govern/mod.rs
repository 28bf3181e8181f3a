//! Enforcement: decisions built into plans, and the check that they are there.
//!
//! Four layers, each of which fails closed alone: SQL is *bound* only against tables governed for this query; a
//! *barrier* stands above every restricted scan; a *verifier* checks the finished plans; and a raw scan cannot be built
//! without a *grant*.

mod barrier;
mod codec;
mod compact;
mod constant;
mod grant;
mod granted;
mod leakproof;
mod lower;
mod mask;
mod opaque;
mod plain;
mod table;
#[cfg(test)]
mod tests;
mod verify;

pub use barrier::SecurityBarrierExec;
pub use codec::{GovernedCodec, GrantKey};
pub use grant::{Authorized, ScanGrant, WriteGrant};
pub use granted::GrantedScanExec;
pub use lower::{FIELD_ID_KEY, field_id};

pub(crate) use compact::compact;
pub(crate) use constant::ConstantTable;
pub(crate) use plain::{conform, plain};
pub(crate) use table::{GovernedTable, governed, visible_schema};
pub(crate) use verify::Decisions;
