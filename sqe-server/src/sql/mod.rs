//! `sqe sql`: statements in, answers out; at a prompt, or from a script. Standard output holds answers and nothing else.

mod catalog;
mod command;
mod complete;
mod describe;
mod explain;
mod interrupt;
mod keywords;
mod name;
mod progress;
mod prompt;
mod screen;
mod session;
mod sink;
mod split;
pub(crate) mod write;

use std::{
    io::{IsTerminal, Read},
    path::Path,
};

use anyhow::{Context, Result};
use sqe_core::ErrorKind;
use sqe_flight::client::Client;

use self::{
    command::Expanded,
    session::{Session, Settings},
};
pub(crate) use explain::explain;

use crate::{
    cli::{Format, SqlArguments},
    exit::UsageError,
    profile::Target,
    surroundings,
};

/// Runs what it is given, or asks for it.
///
/// # Errors
/// Wrong arguments, no connection, or the first statement that fails.
pub(crate) async fn run(arguments: SqlArguments) -> Result<()> {
    let given = given(&arguments)?;
    let target = Target::resolve(&arguments.connect)?;
    let chatty = given.is_none();
    let profile = &target.profile;
    let history = !arguments.no_history && profile.history.unwrap_or(true);
    let settings = Settings {
        format: arguments.output.or(profile.format),
        expanded: Expanded::default(),
        timing: chatty,
        paged: chatty && !arguments.no_pager && profile.pager.unwrap_or(true),
        chatty,
        stop_on_error: arguments.stop_on_error.unwrap_or(!chatty),
    };
    let mut session = Session::open(target, settings, chatty).await?;
    let outcome = match given {
        Some(text) => session.run(&text).await.map(|_| ()),
        None => {
            session.greet().await?;
            let history = surroundings::state_folder().filter(|_| history).map(|folder| folder.join("history"));
            prompt::run(&mut session, history).await
        }
    };
    // Whatever happened: the server need not wait for the session to grow old.
    let closed = session.close().await;
    outcome.and(closed)
}

/// Shows where this is and who the server says asks.
///
/// # Errors
/// No connection, or the server knows nobody.
pub(crate) async fn whoami(target: Target, output: Option<Format>) -> Result<()> {
    let format = output.or(target.profile.format);
    let mut session = Session::open(target, Settings::of_a_script(format), true).await?;
    let told = session.who().await;
    let shown = told.and_then(|told| session.show(&told));
    let closed = session.close().await;
    shown.and(closed)
}

/// Connects.
///
/// # Errors
/// The address is wrong, or does not go with what it is to carry: that is wrong usage, for nothing was sent. Nobody
/// answers.
pub(crate) async fn connect(target: &Target) -> Result<Client> {
    Client::connect(&target.options().await?).await.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => UsageError(error.message().to_owned()).into(),
        _ => anyhow::Error::from(error),
    })
}

/// The statements, if they do not have to be asked for.
fn given(arguments: &SqlArguments) -> Result<Option<String>> {
    let text = if !arguments.command.is_empty() {
        // Each is whole, whether or not it ends with a semicolon.
        arguments.command.join("\n;")
    } else if !arguments.file.is_empty() {
        let texts: Vec<String> = arguments.file.iter().map(|path| file(path)).collect::<Result<_>>()?;
        texts.join("\n;")
    } else if std::io::stdin().is_terminal() {
        return Ok(None);
    } else {
        file(Path::new("-"))?
    };
    if split::pieces(&text).is_empty() {
        let problem = "there is no statement; give one with -c, in a file, or on standard input";
        return Err(UsageError(problem.to_owned()).into());
    }
    Ok(Some(text))
}

fn file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    let problem = |error| UsageError(format!("cannot read {}: {error}", path.display()));
    Ok(std::fs::read_to_string(path).map_err(problem)?)
}
