//! `[log]`: how the server's own log looks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is logged unless somebody says otherwise.
pub(crate) const FILTER: &str = "warn,sqe=info";

/// `[log]`: log lines go to standard error.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// How a line looks.
    #[serde(default)]
    pub(crate) format: LogFormat,
    /// What is logged: levels, for all or by target, as in `warn,sqe=debug`. The variable `SQE_LOG` wins.
    #[serde(default = "filter")]
    pub(crate) filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: filter() }
    }
}

fn filter() -> String {
    FILTER.to_owned()
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
