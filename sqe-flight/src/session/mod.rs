//! Who is connected: sessions by what their clients show, and what belongs to each of them.

mod budget;
mod entry;
mod polled;
mod registry;

pub(crate) use budget::Share;
pub(crate) use entry::{Answer, Bound, Ending, FlightSession, Pending, Prepared};
pub(crate) use polled::{Polled, Stage};
pub(crate) use registry::{ACT_AS, Closed, Sessions};

#[cfg(test)]
pub(crate) use budget::Budget;

#[cfg(test)]
mod tests;
