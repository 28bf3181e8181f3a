//! `sqe sql`: statements in, answers out.

mod split;
pub(crate) mod write;

use std::io::{IsTerminal, Read};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};

use crate::{
    cli::{Format, SqlArguments},
    exit::UsageError,
};

/// Runs the statements one after another until one fails. Ctrl-C ends the connection, and with it what runs.
///
/// # Errors
/// Wrong arguments, or the first error of a statement.
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
    let mut options = ConnectOptions::new(&arguments.uri).with_token(token(&arguments)?);
    if let Some(path) = &arguments.ca_file {
        let pem = std::fs::read(path);
        let problem = |error| UsageError(format!("cannot read the certificate {}: {error}", path.display()));
        options = options.with_ca_certificate(pem.map_err(problem)?);
    }
    let format =
        arguments.output.unwrap_or_else(|| if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv });
    let client = Client::connect(&options).await.map_err(|error| match error.kind() {
        // Nothing was sent yet: the address is wrong, or does not go with what it is to carry.
        ErrorKind::InvalidInput => UsageError(error.message().to_owned()).into(),
        _ => anyhow::Error::from(error),
    })?;
    for statement in statements {
        let mut rows = client.execute(statement).await?;
        let mut writer = write::Writer::new(format, rows.schema(), std::io::stdout().lock())?;
        while let Some(batch) = rows.try_next().await? {
            writer.write(batch)?;
        }
        writer.finish()?;
    }
    client.close().await;
    Ok(())
}

/// The token: from the file, else from `SQE_TOKEN`.
fn token(arguments: &SqlArguments) -> Result<Secret> {
    let text = match &arguments.token_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| UsageError(format!("cannot read the token file {}: {error}", path.display())))?,
        None => {
            #[expect(clippy::disallowed_methods, reason = "here a person hands over a token")]
            let variable = std::env::var("SQE_TOKEN");
            variable.map_err(|_| UsageError("there is no token: give --token-file or set SQE_TOKEN".to_owned()))?
        }
    };
    match text.trim() {
        "" => Err(UsageError("the token is empty".to_owned()).into()),
        token => Ok(Secret::new(token)),
    }
}
