//! `sqe api-token`: the file of API tokens, as the operator sees it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Result;
use chrono::Utc;
use clap::{Args, Subcommand};
use sqe_auth::{ApiToken, NewApiToken, TokenFile};
use sqe_core::{ErrorKind, Principal};

use crate::exit::UsageError;

#[derive(Debug, Subcommand)]
pub(crate) enum ApiTokenCommand {
    /// Make a token; it is printed once, and kept nowhere
    Create(CreateArguments),
    /// List tokens, without secrets
    List(FileArguments),
    /// Revoke a token; it stays on the list
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FileArguments {
    /// The file of tokens: `path` of the `[[identity]]` of kind api-tokens
    #[arg(long)]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    file: FileArguments,
    /// Who vouches for the holder: a URI of your own, such as urn:example:tokens
    #[arg(long)]
    issuer: String,
    /// The holder's name
    #[arg(long)]
    subject: String,
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
    /// How many days it lives, at most 366
    #[arg(long)]
    days: u32,
    /// A group of the holder; may be given several times
    #[arg(long = "group")]
    groups: Vec<String>,
    /// A role of the holder; may be given several times
    #[arg(long = "role")]
    roles: Vec<String>,
    /// An attribute of the holder, NAME=VALUE; may be given several times
    #[arg(long = "attribute", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    #[command(flatten)]
    file: FileArguments,
    /// The token's id: the part between sqe_pat_ and the next _
    id: String,
}

/// Makes, lists or revokes.
///
/// # Errors
/// The file cannot be read or written, or something about the token is wrong.
pub(crate) fn run(command: ApiTokenCommand) -> Result<()> {
    match command {
        ApiTokenCommand::Create(arguments) => create(arguments),
        ApiTokenCommand::List(FileArguments { file }) => {
            println!("id\tstate\texpires\tprincipal\tdescription");
            for token in TokenFile::at(file).list().map_err(usage)? {
                println!(
                    "{}\t{}\t{}\t{}\t{}",
                    token.id,
                    state(&token),
                    token.expires_at.format("%FT%TZ"),
                    token.principal(),
                    token.description
                );
            }
            Ok(())
        }
        ApiTokenCommand::Revoke(RevokeArguments { file: FileArguments { file }, id }) => {
            let token = TokenFile::at(file).revoke(&id).map_err(usage)?;
            eprintln!("revoked {} of {}; a running server knows after SIGHUP", token.id, token.principal());
            Ok(())
        }
    }
}

fn create(arguments: CreateArguments) -> Result<()> {
    let CreateArguments { file: FileArguments { file }, issuer, subject, description, days, groups, roles, attributes } =
        arguments;
    let lifetime = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    let mut new = NewApiToken::new(Principal::new(issuer, subject), lifetime, description);
    new.groups = groups.into_iter().collect();
    new.roles = roles.into_iter().collect();
    let given = attributes.len();
    new.attributes = attributes.into_iter().collect::<BTreeMap<_, _>>();
    if new.attributes.len() != given {
        return Err(UsageError("an attribute is given twice".to_owned()).into());
    }
    let (listed, token) = TokenFile::at(file).create(new).map_err(usage)?;
    eprintln!(
        "made {} for {}, until {}; a running server knows after SIGHUP",
        listed.id,
        listed.principal(),
        listed.expires_at.format("%FT%TZ")
    );
    // Alone on standard output, so that it can go where it belongs without being seen.
    println!("{}", token.expose());
    Ok(())
}

fn state(token: &ApiToken) -> &'static str {
    match token.revoked_at {
        Some(_) => "revoked",
        None if token.expires_at <= Utc::now() => "expired",
        None => "valid",
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "NAME=VALUE is needed".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What the operator wrote is wrong, or names what is not there.
pub(crate) fn usage(error: sqe_core::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::PermissionDenied => {
            UsageError(error.message().to_owned()).into()
        }
        _ => error.into(),
    }
}
