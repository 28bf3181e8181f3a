#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api_token;
mod audit;
mod audit_command;
mod bench;
mod certificates;
mod cli;
mod config;
mod config_command;
mod connections;
mod demo;
mod doctor;
mod exit;
mod http;
mod log;
mod login;
mod memory;
mod metrics;
mod profile;
mod ready;
mod reload;
mod revoke;
mod serve;
mod sql;
mod surroundings;
mod telemetry;
mod threads;
mod watch;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{AuditCommand, BenchCommand, Cli, Command, ConfigCommand};

/// Planning makes and drops many small values, on a thread that is not the one that runs them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Ends with 2 on wrong usage, by itself.
    let cli = Cli::parse();
    // A server logs as its configuration says.
    if !matches!(cli.command, Command::Serve(_)) {
        log::plain();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::from(error).context("cannot start threads")),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Sql(arguments) => sql::run(arguments).await,
            Command::Explain(arguments) => sql::explain(arguments).await,
            Command::Login(arguments) => login::login(arguments).await,
            Command::Logout(arguments) => login::logout(arguments).await,
            Command::Whoami(arguments) => login::whoami(arguments).await,
            Command::Token(arguments) => login::token(arguments).await,
            Command::Audit(AuditCommand::Verify(arguments)) => audit::verify(arguments),
            Command::Audit(AuditCommand::Search(arguments)) => audit_command::search(arguments).await,
            Command::Audit(AuditCommand::Export(arguments)) => audit_command::export(arguments).await,
            Command::Config(ConfigCommand::Check(arguments)) => config_command::check(&arguments),
            Command::Config(ConfigCommand::Schema) => config_command::schema(),
            Command::Config(ConfigCommand::Reference) => config_command::reference(),
            Command::Doctor(arguments) => doctor::run(&arguments).await,
            Command::ApiToken(command) => api_token::run(command),
            Command::Revoke(command) => revoke::run(command),
            Command::Bench(BenchCommand::Tpch(arguments)) => bench::run(&bench::TPCH, arguments).await,
            Command::Bench(BenchCommand::Tpcds(arguments)) => bench::run(&bench::TPCDS, arguments).await,
            Command::Bench(BenchCommand::Load(arguments)) => bench::load(arguments).await,
        }
    });
    // A thread that still reads from a slow disk must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
