//! The command line. Tokens come from a file or a variable, never as an argument that a process list shows.

use std::{net::SocketAddr, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::{api_token::ApiTokenCommand, revoke::RevokeCommand};

/// A sovereign SQL engine.
#[derive(Debug, Parser)]
#[command(name = "sqe", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 2 usage, 3 authentication, 4 denial, 5 SQL error, 6 unavailable, 7 cancelled, 1 anything else"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the engine does: data, three people, policies and an audit trail, on this machine alone
    Demo(DemoArguments),
    /// Serve Flight SQL
    Serve(ServeArguments),
    /// Run SQL on a server, at a prompt or from a script
    Sql(SqlArguments),
    /// Show how a statement is run
    Explain(ExplainArguments),
    /// Log in at the OpenID provider of a profile
    Login(LoginArguments),
    /// Forget a login, and have the provider take it back
    Logout(ProfileArguments),
    /// Ask the server who it takes you for
    Whoami(WhoamiArguments),
    /// Print an access token that is good now, for scripts
    Token(TokenArguments),
    /// Look after the audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look at a configuration without starting anything
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say, with evidence, whether an installation keeps what SQE promises
    Doctor(DoctorArguments),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    ApiToken(ApiTokenCommand),
    /// Withdraw rights before their time, in the file that a server watches
    #[command(subcommand)]
    Revoke(RevokeCommand),
    /// Measure
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Stop after the tour; fail if anything that it shows is not true
    #[arg(long)]
    pub(crate) once: bool,
    /// TPC-H scale factor of the data; 1 is about a gigabyte [default: that of the data in DIR, else 0.01]
    #[arg(long, value_parser = scale)]
    pub(crate) scale: Option<f64>,
    /// Where data, policies, audit trail and connection.json go; kept, and used again at the next start
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where Flight SQL listens
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The configuration
    #[arg(long)]
    pub(crate) config: PathBuf,
}

/// Where to connect and as whom.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConnectArguments {
    /// A profile of ~/.config/sqe/config.toml [env: SQE_PROFILE]
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// The server: grpc://HOST:PORT, or grpc+tls://HOST:PORT [env: SQE_URI] [default: grpc://127.0.0.1:50051]
    #[arg(long)]
    pub(crate) uri: Option<String>,
    /// A file that holds the token; without it the variable SQE_TOKEN does
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// The PEM file of the authority that the server's certificate comes from; grpc+tls needs it
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
    /// The PEM file of a certificate to show to the server
    #[arg(long)]
    pub(crate) client_cert_file: Option<PathBuf>,
    /// The PEM file of its private key
    #[arg(long)]
    pub(crate) client_key_file: Option<PathBuf>,
    /// The person to act as, where the server lets the holder of the token or certificate do so
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) act_as: Option<String>,
    /// The catalog of names without one
    #[arg(long)]
    pub(crate) catalog: Option<String>,
    /// The schema of names without one
    #[arg(long)]
    pub(crate) schema: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    #[command(flatten)]
    pub(crate) connect: ConnectArguments,
    /// Statements, separated by `;`; without them and without files they are read from standard input, or asked for
    #[arg(short, long)]
    pub(crate) command: Vec<String>,
    /// A file of statements; `-` is standard input
    #[arg(short, long, conflicts_with = "command")]
    pub(crate) file: Vec<PathBuf>,
    /// How answers look: a table on a terminal, CSV otherwise
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
    /// Whether to stop at the first statement that fails: yes, but not at the prompt
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) stop_on_error: Option<bool>,
    /// Keep nothing of what is typed
    #[arg(long)]
    pub(crate) no_history: bool,
    /// Do not show what does not fit the screen with $PAGER
    #[arg(long)]
    pub(crate) no_pager: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) connect: ConnectArguments,
    /// Run it, and tell what was measured
    #[arg(long, conflicts_with = "policy")]
    pub(crate) analyze: bool,
    /// Tell which policies apply and what they do to it
    #[arg(long)]
    pub(crate) policy: bool,
    /// How the answer looks: text, if nothing is said
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
    /// The statement
    pub(crate) statement: String,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileArguments {
    /// A profile of ~/.config/sqe/config.toml [env: SQE_PROFILE]
    #[arg(long)]
    pub(crate) profile: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// A profile of ~/.config/sqe/config.toml [env: SQE_PROFILE]
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Log in with a browser on another device
    #[arg(long)]
    pub(crate) device: bool,
    /// Show the address and open no browser
    #[arg(long, conflicts_with = "device")]
    pub(crate) no_browser: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WhoamiArguments {
    #[command(flatten)]
    pub(crate) connect: ConnectArguments,
    /// How the answer looks: a table on a terminal, CSV otherwise
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// A profile of ~/.config/sqe/config.toml [env: SQE_PROFILE]
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Show it on a terminal, too
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Lines and columns for people
    Table,
    /// One value a line
    Vertical,
    /// RFC 4180, with a header
    Csv,
    /// A table of GitHub's Markdown
    Markdown,
    /// An array of objects
    Json,
    /// One object a line
    Ndjson,
    /// A stream of Arrow IPC messages
    Arrow,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Prove that no record was changed, removed or moved
    Verify(VerifyArguments),
    /// Show who read what, from the trail's files
    Search(SearchArguments),
    /// Hand the records on: as OCSF events, OpenTelemetry log records, or as they are
    Export(ExportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// The folder of the trail
    #[arg(long)]
    pub(crate) path: PathBuf,
    /// Accesses to this table: its name, or SCHEMA.NAME, or CATALOG.SCHEMA.NAME
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Statements that read this column; of several, any of them
    #[arg(long)]
    pub(crate) column: Vec<String>,
    /// The person: SUBJECT, or ISSUER#SUBJECT
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// From this time on: RFC 3339, or a day of UTC
    #[arg(long, value_parser = instant)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// Before this time
    #[arg(long, value_parser = instant)]
    pub(crate) to: Option<DateTime<Utc>>,
    /// What was done, such as select or insert
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// What was decided: permitted, restricted, denied or missing
    #[arg(long)]
    pub(crate) decision: Option<String>,
    /// How it ended: completed, denied, failed, cancelled, interrupted or running
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// One statement, by its id
    #[arg(long)]
    pub(crate) query: Option<String>,
    /// A head that was kept elsewhere: proves that nothing was cut off behind it
    #[arg(long)]
    pub(crate) head: Option<String>,
    /// How the answer looks: a table on a terminal, CSV otherwise
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The folder of the trail
    #[arg(long)]
    pub(crate) path: PathBuf,
    /// What the records become
    #[arg(long)]
    pub(crate) format: ExportFormat,
    /// What happened from this time on: RFC 3339, or a day of UTC
    #[arg(long, value_parser = instant)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// What happened before this time
    #[arg(long, value_parser = instant)]
    pub(crate) to: Option<DateTime<Utc>>,
    /// Go on with what comes, until it is stopped
    #[arg(long)]
    pub(crate) follow: bool,
    /// A file that remembers how far the export came; the next one goes on there
    #[arg(long)]
    pub(crate) bookmark: Option<PathBuf>,
    /// Where a receiver of OTLP over gRPC listens: https://HOST:PORT, or http on loopback
    #[arg(long)]
    pub(crate) endpoint: Option<url::Url>,
    /// A file of headers for the receiver, one `name: value` a line, such as a token
    #[arg(long)]
    pub(crate) headers_file: Option<PathBuf>,
    /// The PEM file of the authority that the receiver's certificate comes from [default: the public ones]
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Events of the Open Cybersecurity Schema Framework, one a line
    Ocsf,
    /// OpenTelemetry log records, to --endpoint
    Otlp,
    /// Records as they stand in the trail, one a line
    Ndjson,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The folder of the trail
    #[arg(long)]
    pub(crate) path: PathBuf,
    /// A head that was kept elsewhere: proves that nothing was cut off behind it
    #[arg(long)]
    pub(crate) head: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a server would accept a configuration
    Check(CheckArguments),
    /// Print the JSON schema of configurations, for editors
    Schema,
    /// Print what each key means, as Markdown
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The configuration
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Show each value that is in force, and where it comes from: the file, a variable, or a default
    #[arg(long)]
    pub(crate) effective: bool,
    /// How it is shown
    #[arg(short, long, default_value = "table", requires = "effective")]
    pub(crate) output: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The configuration of the installation
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// How the findings are shown
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Shown,
}

/// How something is shown that is no answer to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// The 22 queries of TPC-H
    Tpch(BenchArguments),
    /// The 99 queries of TPC-DS
    Tpcds(BenchArguments),
    /// Many clients at once
    Load(LoadArguments),
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Scale factor; 1 is about a gigabyte [default: that of the data in DIR, else 1]
    #[arg(long, value_parser = scale)]
    pub(crate) scale: Option<f64>,
    /// Other engines to run on the same data in the same run
    #[arg(long, value_delimiter = ',')]
    pub(crate) compare: Vec<Other>,
    /// The Python that holds `duckdb` and its extensions `avro` and `iceberg`
    #[arg(long, default_value = "python3")]
    pub(crate) python: PathBuf,
    /// How often each query runs on each engine; medians are reported
    #[arg(long, default_value = "5", value_parser = runs)]
    pub(crate) runs: usize,
    /// How often it runs before, off the clock; answers count all the same
    #[arg(long, default_value = "1")]
    pub(crate) warm_ups: usize,
    /// Only these queries, by number [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) queries: Vec<u32>,
    /// Where data is kept between runs; without it in a folder that is removed at the end
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Also run as a person with row filters and masks: on `customer` and `orders` of TPC-H, on `customer` and
    /// `store_sales` of TPC-DS
    #[arg(long)]
    pub(crate) governed: bool,
    /// Where the report goes, as JSON
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// How many clients ask at once
    #[arg(long, default_value = "32", value_parser = runs)]
    pub(crate) clients: usize,
    /// For how long they send new statements
    #[arg(long, default_value = "300")]
    pub(crate) seconds: u64,
    /// TPC-H scale factor; 1 is about a gigabyte [default: that of the data in DIR, else 1]
    #[arg(long, value_parser = scale)]
    pub(crate) scale: Option<f64>,
    /// Where data is kept between runs; without it in a folder that is removed at the end
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the report goes, as JSON
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Other {
    /// DuckDB, in the given Python, on the same Iceberg tables
    Duckdb,
    /// Plain DataFusion, in this process, on the same Parquet files
    Datafusion,
}

fn runs(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|runs| *runs > 0).ok_or_else(|| "a whole number above 0 is needed".to_owned())
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || Some(text.parse::<chrono::NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc)).or_else(day);
    time.ok_or_else(|| "a time such as 2026-03-01T12:00:00Z, or a day such as 2026-03-01, is needed".to_owned())
}

fn scale(text: &str) -> Result<f64, String> {
    text.parse::<sqe_bench::suite::Scale>().map(|scale| scale.factor()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_cannot_be_an_argument() {
        Cli::try_parse_from(["sqe", "sql", "--token-file", "t", "-c", "SELECT 1"]).unwrap();
        assert!(Cli::try_parse_from(["sqe", "sql", "--token", "t", "-c", "SELECT 1"]).is_err());
    }

    #[test]
    fn whom_to_act_as_is_somebody() {
        Cli::try_parse_from(["sqe", "sql", "--act-as", "alice", "-c", "SELECT 1"]).unwrap();
        assert!(Cli::try_parse_from(["sqe", "sql", "--act-as", "", "-c", "SELECT 1"]).is_err());
    }

    #[test]
    fn a_scale_is_a_positive_number() {
        Cli::try_parse_from(["sqe", "demo", "--scale", "0.1"]).unwrap();
        for wrong in ["0", "-1", "NaN", "x"] {
            assert!(Cli::try_parse_from(["sqe", "demo", &format!("--scale={wrong}")]).is_err(), "{wrong}");
        }
    }
}
