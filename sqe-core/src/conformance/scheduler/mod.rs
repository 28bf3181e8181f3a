//! What every [`Scheduler`] must do.
//!
//! The kit runs two engines that differ in nothing but where their plans run, here and on the scheduler under test, and
//! compares. A test asserts that [`check`] finds nothing to say; one of a scheduler that sends work to other machines
//! also calls [`check_over`], with a catalog whose plans can travel.

mod watch;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all};
use uuid::Uuid;

use super::stage::{CATALOG, Row, Shared, Storage, builder, drain, session};
use crate::{
    Engine, Result, Secret, Session,
    catalog::{CatalogProvider, StoreOpener},
    credentials::CredentialVendor,
    engine::EngineBuilder,
    govern::GrantKey,
    scheduler::Scheduler,
};
use watch::{Empty, Watch, Watched};

/// The kit's own data: some sales, as a subquery out of nothing.
const SALES: &str = "(SELECT value AS id, value % 7 AS branch, (value * 7919) % 10007 AS price, \
                     CASE WHEN value % 11 = 0 THEN NULL ELSE concat('item ', value % 13) END AS item \
                     FROM generate_series(1, 20000))";

/// Queries whose answers do not depend on an order.
const QUERIES: &[&str] = &[
    "SELECT 1 AS one, 'text' AS text, NULL AS nothing",
    "SELECT a, b FROM (VALUES (1, 'x'), (2, NULL), (3, 'z')) v(a, b)",
    "SELECT * FROM {sales} s",
    "SELECT * FROM {sales} s WHERE id < 0",
    "SELECT id, price FROM {sales} s WHERE price > 9000 AND item IS NOT NULL",
    "SELECT count(*), count(item), sum(price), min(item), max(id) FROM {sales} s",
    "SELECT count(*), max(id) FROM {sales} s WHERE id < 0",
    "SELECT branch, item, count(*), sum(price) FROM {sales} s GROUP BY branch, item",
    "SELECT branch, count(DISTINCT item) FROM {sales} s GROUP BY branch HAVING count(*) > 2857",
    "SELECT s.id, r.id, r.price FROM {sales} s JOIN {sales} r ON r.id = s.price WHERE s.branch = 3",
    "SELECT v.name, s.id FROM (VALUES (3, 'c'), (9, 'none')) v(branch, name) \
     LEFT JOIN {sales} s ON s.branch = v.branch AND s.id < 100",
    "SELECT count(*) FROM {sales} s WHERE NOT EXISTS (SELECT 1 FROM {sales} r WHERE r.price = s.id)",
    "SELECT count(*) FROM {sales} s, (VALUES (1), (2), (3)) v(a) WHERE s.branch > v.a",
    "SELECT branch FROM {sales} s UNION SELECT price FROM {sales} r WHERE price < 20",
    "SELECT id, sum(price) OVER (PARTITION BY branch ORDER BY id) FROM {sales} s WHERE id < 500",
    "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 50) SELECT sum(a) FROM n",
];

/// Queries whose answers have an order.
const ORDERED: &[&str] = &[
    "SELECT id, item FROM {sales} s ORDER BY item NULLS LAST, id DESC",
    "SELECT price, id FROM {sales} s ORDER BY price DESC, id LIMIT 25 OFFSET 10",
    "SELECT branch, sum(price) AS total FROM {sales} s GROUP BY branch ORDER BY total, branch",
    "SELECT id FROM {sales} s ORDER BY id LIMIT 0",
];

/// Queries that meet an error after most of their rows: dividing by zero.
const BROKEN: &[&str] = &[
    "SELECT 1000 / (19990 - id) FROM {sales} s",
    "SELECT branch, sum(1000 / (19990 - id)) FROM {sales} s GROUP BY branch",
    "SELECT id FROM {sales} s ORDER BY 1000 / (19990 - id), id LIMIT 5",
    "SELECT s.id FROM {sales} s JOIN {sales} r ON r.id = 1000 / (19990 - s.id)",
    "SELECT count(*) FROM (VALUES (1)) v(a), {sales} s WHERE 1000 / (19990 - s.id) > v.a",
];

/// Queries that nobody wants to wait for.
const ENDLESS: &[&str] = &[
    "SELECT value FROM generate_series(1, 1000000000000000)",
    "SELECT count(*) FROM generate_series(1, 1000000000000000) WHERE value % 7 = 8",
    "SELECT a.value, count(*) FROM generate_series(1, 20000) a, generate_series(1, 1000000000000) b GROUP BY a.value",
    "SELECT s.branch, count(*) FROM {sales} s, generate_series(1, 1000000000000) g GROUP BY s.branch",
];

/// How long a dropped query may go on.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 30 });

/// Checks a scheduler.
///
/// - it gives the answers that plans give in this process, alone and several at once, and keeps their order;
/// - an error in mid-query is an error of the same kind, never a short answer;
/// - a query whose stream is dropped, before or after its first rows, stops: its plan is let go and its memory returned;
/// - all of it still holds afterwards.
///
/// # Errors
/// What the scheduler does wrong.
pub async fn check(scheduler: impl Scheduler) -> Result<(), String> {
    let watch = Watch::default();
    let engines = Engines {
        here: build(builder().catalog(CATALOG, Empty))?,
        there: build(builder().catalog(CATALOG, Empty).scheduler(Watched::new(scheduler, watch.clone())))?,
    };
    verdict(&engines, &watch, SALES).await
}

/// Checks a scheduler as [`check`] does, with data in tables: `provider`, `vendor` and `stores` open a writable catalog
/// whose codec lets plans travel. The engines seal with `grant_key` and mask with `mask_key`, which the scheduler's workers
/// must have too. The kit works in a schema of its own and drops it.
///
/// # Errors
/// What the scheduler does wrong, or that the catalog does not do what the kit needs.
pub async fn check_over<P: CatalogProvider + Clone>(
    scheduler: impl Scheduler,
    provider: P,
    vendor: impl CredentialVendor,
    stores: impl StoreOpener,
    grant_key: GrantKey,
    mask_key: Secret,
) -> Result<(), String> {
    let storage = Storage { vendor: Shared(Arc::new(vendor)), stores: Shared(Arc::new(stores)) };
    let opened = |provider: P| {
        let Storage { vendor, stores } = storage.clone();
        let builder = builder().grant_key(grant_key.clone()).mask_key(mask_key.clone());
        builder.catalog_with_storage(CATALOG, provider, vendor, stores)
    };
    let watch = Watch::default();
    let engines = Engines {
        here: build(opened(provider.clone()))?,
        there: build(opened(provider).scheduler(Watched::new(scheduler, watch.clone())))?,
    };
    let schema = format!("kit_{}", Uuid::new_v4().simple());
    let owner = session(&engines.here, "ann").await?;
    answer(&owner, &format!("CREATE SCHEMA {CATALOG}.{schema}")).await?;
    let table = format!("{CATALOG}.{schema}.sales");
    answer(&owner, &format!("CREATE TABLE {table} AS SELECT * FROM {SALES} s")).await?;
    let verdict = verdict(&engines, &watch, &table).await;
    answer(&owner, &format!("DROP TABLE {table}")).await?;
    answer(&owner, &format!("DROP SCHEMA {CATALOG}.{schema}")).await?;
    verdict
}

struct Engines {
    here: Engine,
    there: Engine,
}

fn build(builder: EngineBuilder) -> Result<Engine, String> {
    builder.build().map_err(|error| format!("no engine can be built: {error}"))
}

async fn verdict(engines: &Engines, watch: &Watch, sales: &str) -> Result<(), String> {
    let (here, there) = (session(&engines.here, "ann").await?, session(&engines.there, "ann").await?);
    compared(&here, &there, sales).await?;
    failing(&here, &there, sales).await?;
    for sql in ENDLESS {
        for batches in [0, 2] {
            cancelled(&there, watch, &sql.replace("{sales}", sales), batches).await?;
        }
    }
    let again = QUERIES.iter().map(async |sql| same(&here, &there, &sql.replace("{sales}", sales), false).await);
    let afterwards = |fault| format!("several queries at once, after others were cancelled: {fault}");
    join_all(again).await.into_iter().collect::<Result<(), String>>().map_err(afterwards)
}

async fn compared(here: &Session, there: &Session, sales: &str) -> Result<(), String> {
    for (ordered, queries) in [(false, QUERIES), (true, ORDERED)] {
        for sql in queries {
            same(here, there, &sql.replace("{sales}", sales), ordered).await?;
        }
    }
    Ok(())
}

async fn answer(session: &Session, sql: &str) -> Result<Vec<Row>, String> {
    let failed = |error| format!("{sql:?} failed: {error}");
    Ok(drain(session.query(sql).await.map_err(failed)?).await.map_err(failed)?.1)
}

async fn same(here: &Session, there: &Session, sql: &str, ordered: bool) -> Result<(), String> {
    let (mut expected, mut found) = (answer(here, sql).await?, answer(there, sql).await?);
    if !ordered {
        expected.sort();
        found.sort();
    }
    if expected == found {
        return Ok(());
    }
    let first = expected.iter().zip(&found).position(|(expected, found)| expected != found);
    let (expected, found) = (expected.len(), found.len());
    Err(format!("{sql:?} has {found} rows and {expected} in this process; the first that differs is {first:?}"))
}

async fn failing(here: &Session, there: &Session, sales: &str) -> Result<(), String> {
    for sql in BROKEN {
        let sql = sql.replace("{sales}", sales);
        let ends = async |session: &Session| drain(session.query(&sql).await?).await;
        match (ends(here).await, ends(there).await) {
            (Err(expected), Err(found)) if expected.kind() == found.kind() => {}
            (Err(expected), Err(found)) => {
                return Err(format!("{sql:?} fails as {} instead of {}: {found}", found.kind(), expected.kind()));
            }
            (Err(_), Ok((_, rows))) => {
                return Err(format!("{sql:?} ends after {} rows as if it were whole; it met an error", rows.len()));
            }
            (Ok(_), _) => return Err(format!("{sql:?} was to fail in this process and did not")),
        }
    }
    Ok(())
}

/// Drops a query that would go on for ever, and waits for it to stop.
async fn cancelled(session: &Session, watch: &Watch, sql: &str, batches: usize) -> Result<(), String> {
    let failed = |error| format!("{sql:?} failed: {error}");
    let mut stream = session.query(sql).await.map_err(failed)?;
    let mut read = 0;
    while read < batches {
        // Some of these queries never get as far as a batch: a while of running is all that can be asked.
        match tokio::time::timeout(Duration::from_millis(300), stream.next()).await {
            Ok(Some(batch)) => drop(batch.map_err(failed)?),
            Ok(None) => return Err(format!("{sql:?} ended")),
            Err(_) => break,
        }
        read += 1;
    }
    drop(stream);
    let stopped = tokio::time::timeout(GRACE, async {
        while !watch.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    stopped.await.map_err(|_| format!("{sql:?} goes on after its stream was dropped: {}", watch.left()))
}

#[cfg(test)]
mod tests;
