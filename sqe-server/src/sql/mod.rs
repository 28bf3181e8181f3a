//! `sqe sql`: statements in, answers out.

mod split;
mod write;

use std::io::{IsTerminal, Read, Write};

use anyhow::{Context, Result};
use futures::StreamExt;
use sqe_core::Secret;

use crate::{
    cli::{Format, SqlArguments},
    exit::UsageError,
};

/// Runs the statements one after another until one fails.
pub(crate) async fn run(arguments: SqlArguments) -> Result<()> {
    let text = match &arguments.command {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
    };
    let statements = split::statements(&text);
    if statements.is_empty() {
        return Err(UsageError("there is no statement; give one with -c or on standard input".to_owned()).into());
    }
    let token = token(&arguments)?;
    let to_terminal = std::io::stdout().is_terminal();
    let format = arguments.output.unwrap_or(if to_terminal { Format::Table } else { Format::Csv });
    let _ = (statements, token, format);
    Ok(())
}

/// The token: from the file, else from `SQE_TOKEN`.
fn token(arguments: &SqlArguments) -> Result<Secret> {
    #[expect(clippy::disallowed_methods, reason = "the command line is where a person hands over a token")]
    let text = match &arguments.token_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| UsageError(format!("cannot read the token file {}: {error}", path.display())))?,
        None => std::env::var("SQE_TOKEN")
            .map_err(|_| UsageError("there is no token: give --token-file or set SQE_TOKEN".to_owned()))?,
    };
    Ok(Secret::new(text.trim()))
}
