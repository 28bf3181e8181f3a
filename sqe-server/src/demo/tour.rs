//! The tour: real queries over Flight SQL, and a check of everything that is shown.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Result, anyhow, bail};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Int64Type},
    util::pretty::pretty_format_batches,
};
use chrono::{DateTime, SecondsFormat, Utc};
use sqe_audit::Trail;
use sqe_core::{Error, ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};

/// The question that the trail is for. Earlier tours over the same folder are on record too, and prove nothing about
/// this one.
fn who_read_customer_since(start: DateTime<Utc>) -> String {
    let start = start.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!(
        "SELECT subject, columns, decision, outcome, rows
FROM system.audit.access
WHERE catalog = 'lake' AND schema = 'tpch' AND \"table\" = 'customer' AND time >= TIMESTAMP '{start}'
ORDER BY time"
    )
}

/// Shows, checks, and counts what was not as it should be.
pub(super) struct Tour<'a> {
    uri: &'a str,
    tokens: &'a BTreeMap<&'static str, Secret>,
    folder: &'a Path,
    trail: Arc<Trail>,
    start: DateTime<Utc>,
    checks: usize,
    wrong: Vec<String>,
}

impl<'a> Tour<'a> {
    pub(super) fn new(
        uri: &'a str,
        tokens: &'a BTreeMap<&'static str, Secret>,
        folder: &'a Path,
        trail: Arc<Trail>,
    ) -> Self {
        Self { uri, tokens, folder, trail, start: Utc::now(), checks: 0, wrong: Vec::new() }
    }

    /// Walks through everything.
    ///
    /// # Errors
    /// Something cannot be asked, or is not as it should be.
    pub(super) async fn run(mut self) -> Result<()> {
        self.same_query_different_answers().await?;
        self.what_a_plan_shows().await?;
        self.what_is_not_there().await?;
        self.what_is_denied().await?;
        self.who_read_customer().await?;
        self.proof()?;
        if !self.wrong.is_empty() {
            bail!("{} of {} checks failed:\n{}", self.wrong.len(), self.checks, self.wrong.join("\n"));
        }
        println!("\n{} checks, all true", self.checks);
        Ok(())
    }

    async fn same_query_different_answers(&mut self) -> Result<()> {
        title("The same query, two people: rows");
        let segments = "SELECT c_mktsegment, count(*) AS customers FROM customer GROUP BY 1 ORDER BY 1";
        let alice = self.show("alice", segments).await?;
        let bob = self.show("bob", segments).await?;
        self.check("alice sees the segment BUILDING alone", texts(&alice, "c_mktsegment")? == ["BUILDING"]);
        let position = texts(&bob, "c_mktsegment")?.iter().position(|name| name == "BUILDING");
        self.check("bob sees all five segments", bob.num_rows() == 5);
        let (hers, his) = (numbers(&alice, "customers")?, numbers(&bob, "customers")?);
        self.check(
            "alice sees every row of her segment",
            position.is_some_and(|position| hers.first() == his.get(position)),
        );

        title("The same query, two people: values");
        let phones =
            "SELECT c_custkey, c_phone FROM customer WHERE c_mktsegment = 'BUILDING' ORDER BY c_custkey LIMIT 3";
        let alice = self.show("alice", phones).await?;
        let bob = self.show("bob", phones).await?;
        let (masked, raw) = (texts(&alice, "c_phone")?, texts(&bob, "c_phone")?);
        self.check("both see the same customers", numbers(&alice, "c_custkey")? == numbers(&bob, "c_custkey")?);
        let is_masked = |(masked, raw): (&String, &String)| masked.len() == 4 && raw.len() > 4 && raw.ends_with(masked);
        self.check(
            "alice sees the last four characters of each phone number",
            !raw.is_empty() && masked.iter().zip(&raw).all(is_masked),
        );

        title("The same query, two people: columns");
        let columns = "SELECT column_name, data_type FROM information_schema.columns \
                       WHERE table_schema = 'tpch' AND table_name = 'customer' ORDER BY ordinal_position";
        let alice = texts(&self.show("alice", columns).await?, "column_name")?;
        let mut bob = texts(&self.ask("bob", columns).await?, "column_name")?;
        self.check("for bob there is a column c_acctbal", bob.iter().any(|name| name == "c_acctbal"));
        bob.retain(|name| name != "c_acctbal");
        self.check("for alice there is none, and all others are there", alice == bob);
        self.refused("alice", "SELECT c_acctbal FROM customer", ErrorKind::InvalidInput).await?;
        Ok(())
    }

    async fn what_a_plan_shows(&mut self) -> Result<()> {
        title("The plan of a query shows its author no more than the query does");
        let explain = "EXPLAIN SELECT * FROM customer";
        let hers = self.show("alice", explain).await?;
        let his = self.ask("bob", explain).await?;
        let says = |plan: &RecordBatch, word: &str| -> Result<bool> {
            Ok(pretty_format_batches(std::slice::from_ref(plan))?.to_string().contains(word))
        };
        self.check("alice is shown a plan of customer", says(&hers, "c_custkey")?);
        self.check("bob's plan has the column c_acctbal", says(&his, "c_acctbal")?);
        self.check("alice's has not", !says(&hers, "c_acctbal")?);
        self.check("alice's plan does not tell the row filter", !says(&hers, "BUILDING")?);
        Ok(())
    }

    async fn what_is_not_there(&mut self) -> Result<()> {
        title("A table that does not exist for alice, and nothing at all for mallory");
        self.show("bob", "SELECT count(*) AS suppliers FROM supplier").await?;
        let hidden = self.refused("alice", "SELECT count(*) FROM supplier", ErrorKind::NotFound).await?;
        let missing = self.refused("alice", "SELECT count(*) FROM no_such_table", ErrorKind::NotFound).await?;
        self.check(
            "a hidden table answers exactly as a missing one",
            hidden.replace("supplier", "") == missing.replace("no_such_table", ""),
        );
        let tables = "SELECT count(*) AS tables FROM information_schema.tables WHERE table_schema = 'tpch'";
        for (person, expected) in [("bob", 8), ("alice", 7), ("mallory", 0)] {
            let found = numbers(&self.show(person, tables).await?, "tables")?;
            self.check(&format!("{person} sees {expected} tables"), found == [expected]);
        }
        self.refused("mallory", "SELECT * FROM customer", ErrorKind::NotFound).await?;
        Ok(())
    }

    async fn what_is_denied(&mut self) -> Result<()> {
        title("Denied, and permitted");
        self.refused("alice", "DROP TABLE lake.tpch.customer", ErrorKind::PermissionDenied).await?;
        self.refused("bob", "CREATE TABLE lake.scratch.mine AS SELECT 1 AS a", ErrorKind::PermissionDenied).await?;
        // One of an earlier tour that was cut short.
        self.ask("alice", "DROP TABLE IF EXISTS lake.scratch.mine").await?;
        self.show("alice", "CREATE TABLE lake.scratch.mine AS SELECT c_custkey, c_phone FROM customer").await?;
        let hers = self.show("alice", "SELECT count(*) AS mine FROM lake.scratch.mine").await?;
        let expected = self.ask("alice", "SELECT count(*) AS mine FROM customer").await?;
        self.check("who creates a table may use it", numbers(&hers, "mine")? == numbers(&expected, "mine")?);
        let longest = self.show("bob", "SELECT max(length(c_phone)) AS longest FROM lake.scratch.mine").await?;
        self.check("what alice wrote is what she saw", numbers(&longest, "longest")? == [4]);
        self.ask("alice", "DROP TABLE lake.scratch.mine").await?;
        Ok(())
    }

    async fn who_read_customer(&mut self) -> Result<()> {
        title("Who read customer, which columns, under which decision?");
        let question = who_read_customer_since(self.start);
        let trail = self.show("bob", &question).await?;
        let subjects = texts(&trail, "subject")?;
        let (decisions, outcomes) = (texts(&trail, "decision")?, texts(&trail, "outcome")?);
        let said = |who: &str, decision: &str, outcome: &str| {
            subjects
                .iter()
                .zip(decisions.iter().zip(&outcomes))
                .any(|(subject, (was_decided, ended))| subject == who && was_decided == decision && ended == outcome)
        };
        self.check("alice read it, restricted", said("alice", "restricted", "completed"));
        self.check("bob read it, unrestricted", said("bob", "permitted", "completed"));
        self.check(
            "mallory was denied, although she was told that there is no such table",
            subjects.iter().zip(&decisions).any(|(subject, decision)| subject == "mallory" && decision == "denied"),
        );
        self.refused("alice", &question, ErrorKind::NotFound).await?;
        Ok(())
    }

    /// The trail is what its writer wrote, up to its present head.
    fn proof(&mut self) -> Result<()> {
        title("Nobody changed the trail");
        let head = self.trail.head();
        println!("sqe audit verify --path {} --head {head}", self.folder.join("audit").display());
        let report = sqe_audit::verify(self.trail.dir(), Some(&head))?;
        println!("{report}");
        self.check("the trail is intact", report.is_intact());
        Ok(())
    }

    /// Asks as `person` and shows question and answer.
    async fn show(&mut self, person: &str, sql: &str) -> Result<RecordBatch> {
        println!("\n{person}> {sql}");
        let answer = self.ask(person, sql).await?;
        println!("{}", pretty_format_batches(std::slice::from_ref(&answer))?);
        Ok(answer)
    }

    async fn ask(&self, person: &str, sql: &str) -> Result<RecordBatch> {
        Ok(self.answer(person, sql).await?)
    }

    async fn answer(&self, person: &str, sql: &str) -> sqe_core::Result<RecordBatch> {
        let token = self.tokens.get(person).cloned().ok_or_else(|| Error::internal("nobody has this name"))?;
        let client = Client::connect(&ConnectOptions::new(self.uri).with_token(token)).await?;
        let rows = client.execute(sql).await?;
        let schema = rows.schema();
        let batches = rows.collect().await?;
        client.close().await;
        Ok(concat_batches(&schema, &batches)?)
    }

    /// Asks as `person`, shows the refusal, and checks its kind. Gives its words.
    async fn refused(&mut self, person: &str, sql: &str, kind: ErrorKind) -> Result<String> {
        println!("\n{person}> {sql}");
        match self.answer(person, sql).await {
            Ok(_) => {
                self.check(&format!("{person} is refused: {sql}"), false);
                Ok(String::new())
            }
            Err(error) => {
                println!("{}: {error}", error.kind());
                self.check(&format!("{person} is told {kind}, not {}: {sql}", error.kind()), error.kind() == kind);
                Ok(error.message().to_owned())
            }
        }
    }

    fn check(&mut self, what: &str, holds: bool) {
        self.checks += 1;
        if !holds {
            println!("NOT TRUE: {what}");
            self.wrong.push(what.to_owned());
        }
    }
}

fn title(text: &str) {
    println!("\n── {text}");
}

fn column(batch: &RecordBatch, name: &str, to: &DataType) -> Result<ArrayRef> {
    let column = batch.column_by_name(name).ok_or_else(|| anyhow!("the answer has no column {name}"))?;
    Ok(cast(column, to)?)
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>> {
    let column = column(batch, name, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let column = column(batch, name, &DataType::Int64)?;
    if column.null_count() > 0 {
        bail!("column {name} of the answer holds NULL");
    }
    Ok(column.as_primitive::<Int64Type>().values().to_vec())
}
