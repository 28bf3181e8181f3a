//! The server's own log: on standard error, so that standard output holds answers only.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{ConfigError, FILTER, LogConfig, LogFormat},
    telemetry::LogLines,
};

/// The variable that chooses what is logged, whatever the configuration says.
const VARIABLE: &str = "SQE_LOG";

/// Logs as a command does that has no configuration.
pub(crate) fn plain() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER));
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// Logs as the configuration says, and hands lines to a receiver if there is one.
///
/// # Errors
/// The filter means nothing.
pub(crate) fn configured(config: &LogConfig, receiver: Option<LogLines>) -> Result<(), ConfigError> {
    let chosen = EnvFilter::try_new(&config.filter);
    let chosen = chosen.map_err(|error| ConfigError(format!("log.filter `{}`: {error}", config.filter)))?;
    let filter = || EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| chosen.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let sent = receiver.map(|receiver| receiver.with_filter(filter()));
    tracing_subscriber::registry().with(lines.with_filter(filter())).with(sent).init();
    Ok(())
}
