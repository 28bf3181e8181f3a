//! The same rows as in this process, for a person without restrictions and for one with a row filter, masks and a hidden
//! column.

use crate::{
    cluster::Cluster,
    world::{Lake, rows, session},
};

/// Queries whose plans read files, and so go to both workers.
const SPREAD: &[&str] = &[
    "SELECT * FROM people",
    "SELECT id, phone FROM people WHERE id > 700 AND name IS NOT NULL",
    "SELECT name, phone FROM people WHERE segment = 'BUILDING'",
    "SELECT count(name), max(id), sum(id) FROM people",
    "SELECT count(*) FROM people WHERE id % 2 = 0",
    "SELECT count(*), max(id) FROM people WHERE id + 0 < 0",
    "SELECT segment, count(*), min(phone) FROM people GROUP BY segment",
    "SELECT branch, count(*), sum(total), count(note) FROM orders GROUP BY branch HAVING count(*) > 10",
    "SELECT count(DISTINCT person) FROM orders",
    "SELECT p.name, o.id, o.note FROM people p JOIN orders o ON o.person = p.id WHERE o.total > 5000",
    "SELECT p.id, o.id FROM people p LEFT JOIN orders o ON o.person = p.id AND o.branch = 2",
    "SELECT p.id FROM people p WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.person = p.id AND o.branch < 4)",
    "SELECT id FROM people WHERE id IN (SELECT person FROM orders WHERE total < 200)",
    "SELECT id FROM people WHERE id > (SELECT avg(person) FROM orders)",
    "SELECT id FROM people UNION SELECT person FROM orders WHERE branch = 1",
    "SELECT id, sum(total) OVER (PARTITION BY branch ORDER BY id) FROM orders WHERE id % 10 = 0",
    "SELECT count(*) FROM (SELECT id FROM orders WHERE id > 0 ORDER BY id LIMIT 10) o",
    "SELECT t.branch, count(*) FROM tiny t JOIN orders o ON o.branch = t.branch GROUP BY t.branch",
];

/// Queries whose answers have an order.
const ORDERED: &[&str] = &[
    "SELECT id, phone FROM people ORDER BY phone NULLS FIRST, id DESC",
    "SELECT id, total FROM orders ORDER BY total DESC, id LIMIT 25 OFFSET 10",
    "SELECT branch, sum(total) AS sum FROM orders GROUP BY branch ORDER BY sum, branch",
    "SELECT p.segment, count(*) FROM people p JOIN orders o ON o.person = p.id GROUP BY p.segment ORDER BY 2 DESC, 1",
];

/// Queries that one task or the table's statistics can answer. They must not be split where that changes the answer.
const WHOLE: &[&str] = &[
    "SELECT count(*) FROM people",
    "SELECT count(*) FROM (SELECT id FROM tiny LIMIT 10) t",
    "SELECT branch, count(*) FROM (SELECT branch FROM tiny LIMIT 100) t GROUP BY branch",
    "SELECT count(*) FROM (SELECT id FROM tiny ORDER BY id LIMIT 10 OFFSET 5) t JOIN orders o ON o.id = t.id",
    "SELECT id, row_number() OVER (ORDER BY id) FROM tiny",
    "SELECT t.n, count(*) FROM (SELECT count(branch) AS n FROM tiny) t JOIN orders o ON o.id = t.n GROUP BY t.n",
    "SELECT count(*), max(id) FROM people WHERE id < 0",
    "SELECT 1 AS one",
];

async fn compare(lake: &Lake, person: &str, queries: &[&str], ordered: bool, spread: bool) {
    let cluster = Cluster::start(lake.fitting()).await;
    let (here, there) = (session(&lake.local(), person).await, session(&lake.over(cluster.clone()), person).await);
    for sql in queries {
        let (mut expected, mut found) = (rows(&here, sql).await.unwrap(), rows(&there, sql).await.unwrap());
        if !ordered {
            expected.sort();
            found.sort();
        }
        assert_eq!(found.len(), expected.len(), "{person}: {sql}");
        assert!(found == expected, "{person}: {sql}");
        let (ran, work) = (cluster.ran(), cluster.work());
        if spread {
            assert!(ran.iter().all(|ran| ran.distributed && ran.boundaries > 0 && ran.codecs == 2), "{sql}: {ran:?}");
            assert!(work.iter().all(|(rows, _)| *rows > 0), "{person}: {sql}: {work:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_two_workers_are_those_of_this_process() {
    let lake = Lake::filled().await;
    for person in ["auditor", "analyst"] {
        compare(&lake, person, SPREAD, false, true).await;
        compare(&lake, person, ORDERED, true, true).await;
        compare(&lake, person, WHOLE, false, false).await;
    }
}
