//! `sqe audit verify`.

use anyhow::{Result, bail};
use sqe_core::ErrorKind;

use crate::{cli::VerifyArguments, exit::UsageError};

/// Proves the trail, or says where it is broken.
pub(crate) fn verify(arguments: VerifyArguments) -> Result<()> {
    let head = arguments.head.as_deref().map(str::parse).transpose();
    let head: Option<sqe_audit::Head> = head.map_err(|error: sqe_core::Error| UsageError(error.to_string()))?;
    let report = sqe_audit::verify(&arguments.path, head.as_ref()).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotFound => UsageError(error.message().to_owned()).into(),
        _ => anyhow::Error::from(error).context("the trail cannot be verified"),
    })?;
    println!("{report}");
    if !report.is_intact() {
        bail!("the trail in {} is not what its writers wrote", arguments.path.display());
    }
    Ok(())
}
