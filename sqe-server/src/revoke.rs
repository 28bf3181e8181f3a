//! `sqe revoke`: rights that end before their time.

use std::path::PathBuf;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use sqe_auth::{Revocation, RevocationFile, Revoked};

use crate::api_token::usage;

#[derive(Debug, Subcommand)]
pub(crate) enum RevokeCommand {
    /// Make the file, empty, if it is not there
    Init(FileArguments),
    /// One credential: a token's jti, an API token's id, a certificate's SHA-256 fingerprint
    Credential(NamedArguments),
    /// All credentials of one log-in: its sid
    Session(NamedArguments),
    /// All credentials of somebody that were issued up to a moment
    Principal(PrincipalArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FileArguments {
    /// The file: `file` of `[revocation]`
    #[arg(long)]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct NamedArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Its name
    id: String,
    /// Whose name it is; without it, that of any issuer
    #[arg(long)]
    issuer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PrincipalArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Who vouches for them
    #[arg(long)]
    issuer: String,
    /// Their name there
    #[arg(long)]
    subject: String,
    /// The moment, as in 2026-01-31T12:00:00Z [default: now]
    #[arg(long)]
    up_to: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
struct CommonArguments {
    #[command(flatten)]
    file: FileArguments,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// From when on it need not be remembered, because everything that it covers has ended by itself
    #[arg(long)]
    forget_at: Option<DateTime<Utc>>,
}

/// Adds to the file.
///
/// # Errors
/// It cannot be written, or something is wrong about what is to be added.
pub(crate) fn run(command: RevokeCommand) -> Result<()> {
    let (of, common) = match command {
        RevokeCommand::Init(FileArguments { file }) => return RevocationFile::at(file).create().map_err(usage),
        RevokeCommand::Credential(NamedArguments { common, id, issuer }) => {
            (Revoked::Credential { id, issuer }, common)
        }
        RevokeCommand::Session(NamedArguments { common, id, issuer }) => (Revoked::Session { id, issuer }, common),
        RevokeCommand::Principal(PrincipalArguments { common, issuer, subject, up_to }) => {
            (Revoked::Principal { issuer, subject, up_to: up_to.unwrap_or_else(Utc::now) }, common)
        }
    };
    let CommonArguments { file: FileArguments { file }, reason, forget_at } = common;
    let mut revocation = Revocation::now(of);
    revocation.reason = reason;
    revocation.forget_at = forget_at;
    RevocationFile::at(&file).append(&revocation).map_err(usage)?;
    eprintln!("a server that watches {} keeps them out within seconds", file.display());
    Ok(())
}
