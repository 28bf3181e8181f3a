//! The command line. Tokens come from a file or a variable, never as an argument that a process list shows.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{revoke::RevokeCommand, token::TokenCommand};

/// A sovereign SQL engine.
#[derive(Debug, Parser)]
#[command(name = "sqe", version, propagate_version = true)]
#[command(after_help = "Exit codes: 2 usage, 3 authentication, 4 denial, 5 SQL error, 6 unavailable, 1 anything else")]
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
    /// Run SQL on a server
    Sql(SqlArguments),
    /// Look after the audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
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

#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// The server: grpc://HOST:PORT, or grpc+tls://HOST:PORT
    #[arg(long, env = "SQE_URI", default_value = "grpc://127.0.0.1:50051")]
    pub(crate) uri: String,
    /// A file that holds the token; without it the variable SQE_TOKEN does
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// The PEM file of the authority that the server's certificate comes from; grpc+tls needs it
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
    /// The statements, separated by `;`; without them they are read from standard input
    #[arg(short, long)]
    pub(crate) command: Option<String>,
    /// How answers look: a table on a terminal, CSV otherwise
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines and columns for people
    Table,
    /// RFC 4180, with a header
    Csv,
    /// An array of objects
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Prove that no record was changed, removed or moved
    Verify(VerifyArguments),
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
pub(crate) enum BenchCommand {
    /// The 22 queries of TPC-H
    Tpch(TpchArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TpchArguments {
    /// TPC-H scale factor; 1 is about a gigabyte [default: that of the data in DIR, else 1]
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
    /// Where data is kept between runs; without it in a folder that is removed at the end
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Also run as a person with a row filter and a mask on `customer` and `orders`
    #[arg(long)]
    pub(crate) governed: bool,
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

fn scale(text: &str) -> Result<f64, String> {
    text.parse::<sqe_bench::tpch::Scale>().map(|scale| scale.factor()).map_err(|error| error.to_string())
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
    fn a_scale_is_a_positive_number() {
        Cli::try_parse_from(["sqe", "demo", "--scale", "0.1"]).unwrap();
        for wrong in ["0", "-1", "NaN", "x"] {
            assert!(Cli::try_parse_from(["sqe", "demo", &format!("--scale={wrong}")]).is_err(), "{wrong}");
        }
    }
}
