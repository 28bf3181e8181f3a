//! `sqe audit search`: who read what, answered by the trail's files.

use std::io::{self, BufWriter, IsTerminal};

use anyhow::{Result, bail};
use async_trait::async_trait;
use futures::TryStreamExt;
use sqe_audit::{AuditCatalog, Head, MemoryTrail};
use sqe_core::{
    Credentials, Engine, Identity, IdentityProvider, Principal, Secret, Session, audit::ClientInfo,
    engine::SessionOptions, policy::danger::PermitAll,
};

use super::{is_trail, told};
use crate::{
    cli::{Format, SearchArguments},
    exit::UsageError,
    sql::{
        screen,
        write::{Look, Writer},
    },
};

/// What is shown of each access; the names are those of the table `system.audit.access`.
const COLUMNS: &str = "\"time\", subject, issuer, actors, action, \
    CASE WHEN \"table\" IS NULL THEN NULL ELSE concat(\"catalog\", '.', \"schema\", '.', \"table\") END AS \"table\", \
    columns, masked_columns, decision, policies, outcome, \"rows\", query_id, client_address, statement";

/// Proves the trail, then shows what was asked for. A trail that is not intact is shown, too, and is a failure.
///
/// # Errors
/// Wrong arguments, a trail that cannot be read, or one that is not what its writers wrote.
pub(crate) async fn search(arguments: SearchArguments) -> Result<()> {
    is_trail(&arguments.path)?;
    let head = arguments.head.as_deref().map(str::parse).transpose();
    let head: Option<Head> = head.map_err(|error: sqe_core::Error| UsageError(error.to_string()))?;
    let report = sqe_audit::verify(&arguments.path, head.as_ref()).map_err(told)?;
    eprintln!("{report}");
    let session = session(&arguments).await?;
    let answer = session.query(&statement(&arguments)).await?;
    let screen = screen::size();
    let is_terminal = io::stdout().is_terminal();
    let look = Look {
        format: arguments.output.unwrap_or(if is_terminal { Format::Table } else { Format::Csv }),
        width: screen.as_ref().map(|size| size.columns),
        vertical_if_wide: is_terminal,
    };
    let mut writer = Writer::new(look, answer.schema(), BufWriter::new(io::stdout()))?;
    let mut rows = answer;
    while let Some(batch) = rows.try_next().await? {
        writer.write(&batch)?;
    }
    writer.finish()?;
    if !report.is_intact() {
        bail!("the trail in {} is not what its writers wrote", arguments.path.display());
    }
    Ok(())
}

/// The operator, who can read the files anyway. What is asked here is not recorded: whoever must not read the trail
/// without being seen reads it by SQL, from a server.
#[derive(Debug)]
struct Operator;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for Operator {
    async fn authenticate(&self, _: &Credentials) -> sqe_core::Result<Option<Identity>> {
        Ok(Some(Identity::new(Principal::new("urn:sqe:local", "operator"))))
    }
}

async fn session(arguments: &SearchArguments) -> Result<Session> {
    let engine = Engine::builder()
        .identity(Operator)
        .policy(PermitAll)
        .catalog("system", AuditCatalog::of_folder(&arguments.path))
        .audit(MemoryTrail::new())
        .build()?;
    let nobody = Credentials::Bearer(Secret::new("operator"));
    Ok(engine.session(&nobody, SessionOptions::new(ClientInfo::new("command-line"))).await?)
}

fn statement(arguments: &SearchArguments) -> String {
    let mut conditions = Vec::new();
    let mut equal = |column: &str, value: &Option<String>| {
        conditions.extend(value.as_ref().map(|value| format!("\"{column}\" = {}", literal(value))));
    };
    equal("action", &arguments.action);
    equal("decision", &arguments.decision);
    equal("outcome", &arguments.outcome);
    equal("query_id", &arguments.query);
    if let Some(user) = &arguments.user {
        conditions.push(match user.rsplit_once('#') {
            Some((issuer, subject)) => format!("issuer = {} AND subject = {}", literal(issuer), literal(subject)),
            None => format!("subject = {}", literal(user)),
        });
    }
    if let Some(table) = &arguments.table {
        // A name has as many parts as it needs; levels of a schema are joined by dots themselves.
        let whole = "concat('.', \"catalog\", '.', \"schema\", '.', \"table\")";
        conditions.push(format!("ends_with({whole}, {})", literal(&format!(".{table}"))));
    }
    if !arguments.column.is_empty() {
        let any = arguments.column.iter().map(|column| format!("array_has(columns, {})", literal(column)));
        conditions.push(format!("({})", any.collect::<Vec<_>>().join(" OR ")));
    }
    let instant = |time: &chrono::DateTime<chrono::Utc>| format!("TIMESTAMP '{}'", time.to_rfc3339());
    conditions.extend(arguments.from.iter().map(|from| format!("\"time\" >= {}", instant(from))));
    conditions.extend(arguments.to.iter().map(|to| format!("\"time\" < {}", instant(to))));
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!("SELECT {COLUMNS} FROM system.audit.access{conditions} ORDER BY \"time\", query_id, \"table\"")
}

/// A text of SQL; nothing but a quote ends one.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{AuditCommand, Cli, Command};

    fn asked(words: &[&str]) -> String {
        let words = ["sqe", "audit", "search", "--path", "p"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Audit(AuditCommand::Search(arguments)) => statement(&arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_quote_in_an_argument_stays_one() {
        let sql = asked(&["--user", "x' OR '1'='1", "--column", "a'b"]);
        assert!(sql.contains("subject = 'x'' OR ''1''=''1'") && sql.contains("array_has(columns, 'a''b')"), "{sql}");
    }

    #[test]
    fn times_are_instants_and_days_are_days_of_utc() {
        let sql = asked(&["--from", "2026-03-01", "--to", "2026-03-02T12:00:00+02:00"]);
        assert!(sql.contains("\"time\" >= TIMESTAMP '2026-03-01T00:00:00+00:00'"), "{sql}");
        assert!(sql.contains("\"time\" < TIMESTAMP '2026-03-02T10:00:00+00:00'"), "{sql}");
        assert!(Cli::try_parse_from(["sqe", "audit", "search", "--path", "p", "--from", "yesterday"]).is_err());
    }
}
