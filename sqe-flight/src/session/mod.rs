//! Who is connected: sessions by what their clients show, and what belongs to each of them.

mod entry;
mod registry;

pub(crate) use entry::{Answer, FlightSession, Pending, Prepared};
pub(crate) use registry::{Closed, Sessions};

#[cfg(test)]
mod tests;
