//! The server's own log: on standard error, so that standard output holds answers only.

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, FilterFn},
    layer::{Filter, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::{
    config::{ConfigError, FILTER, LogConfig, LogFormat},
    telemetry::LogLines,
};

/// The variable that chooses what is logged, whatever the configuration says.
const VARIABLE: &str = "SQE_LOG";

/// Whatever is asked for, libraries say nothing finer than this: below it they write statements, with their literals, and
/// headers, with their tokens.
const LIBRARIES: Level = Level::INFO;

/// What the variable says, else what was `chosen`.
fn filter<S: 'static>(chosen: &EnvFilter) -> impl Filter<S> + Send + Sync + 'static {
    let asked = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| chosen.clone());
    FilterExt::<S>::and(asked, FilterFn::new(is_harmless as fn(&Metadata<'_>) -> bool))
}

fn is_harmless(line: &Metadata<'_>) -> bool {
    let ours = |name: &str| name == "sqe" || name.starts_with("sqe_");
    *line.level() <= LIBRARIES || line.target().split("::").next().is_some_and(ours)
}

/// Logs as a command does that has no configuration.
pub(crate) fn plain() {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter(&EnvFilter::new(FILTER)))).init();
}

/// Logs as the configuration says, and hands lines to a receiver if there is one.
///
/// # Errors
/// The filter means nothing.
pub(crate) fn configured(config: &LogConfig, receiver: Option<LogLines>) -> Result<(), ConfigError> {
    let chosen = EnvFilter::try_new(&config.filter);
    let chosen = chosen.map_err(|error| ConfigError(format!("log.filter `{}`: {error}", config.filter)))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let sent = receiver.map(|receiver| receiver.with_filter(filter(&chosen)));
    tracing_subscriber::registry().with(lines.with_filter(filter(&chosen))).with(sent).init();
    Ok(())
}
