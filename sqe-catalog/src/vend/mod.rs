//! Credential vendors: who may reach which part of a storage.

mod local;

pub use local::LocalVendor;
