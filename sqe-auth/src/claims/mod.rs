//! What an issuer says about somebody, in a token or in an answer about one.

mod kind;
mod mapping;
mod registered;

pub(crate) use kind::check_is_access;
pub use mapping::ClaimMapping;
pub(crate) use registered::{Expected, check, check_audience, name, time};
