//! `sqe audit search` and `sqe audit export`: the trail's files, for the operator of this machine; and the export of a
//! running server.

mod export;
mod otlp;
mod search;

use std::path::Path;

use anyhow::Result;
use sqe_core::{Error, ErrorKind};

pub(crate) use export::export;
pub(crate) use otlp::push;
pub(crate) use search::search;

use crate::exit::UsageError;

/// A trail that is not there, or something else than a trail, is wrong usage.
fn told(error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotFound => UsageError(error.message().to_owned()).into(),
        _ => error.into(),
    }
}

fn is_trail(path: &Path) -> Result<()> {
    match path.is_dir() {
        true => Ok(()),
        false => Err(UsageError(format!("there is no audit trail in {}", path.display())).into()),
    }
}
