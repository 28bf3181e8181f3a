//! No operator holds more than the engine may, whatever it accounts for by itself.

use rstest::rstest;
use sqe_core::{ErrorKind, engine::Limits};

use crate::people::{World, world_with};

fn small() -> World {
    world_with(|builder| {
        let mut limits = Limits::default();
        limits.memory = Some(8 << 20);
        builder.limits(limits)
    })
}

#[rstest]
#[case::whole("SELECT max(n) FROM (SELECT count(*) OVER () AS n FROM generate_series(1, {n}))")]
#[case::in_order("SELECT max(n) FROM (SELECT ntile(4) OVER () AS n FROM generate_series(1, {n}))")]
#[case::look_back(
    "SELECT max(n) FROM (SELECT sum(value) OVER (ROWS BETWEEN {n} PRECEDING AND CURRENT ROW) AS n FROM generate_series(1, {n}))"
)]
#[case::look_back_by_offset("SELECT max(n) FROM (SELECT lag(value, {n}) OVER () AS n FROM generate_series(1, {n}))")]
#[case::look_ahead("SELECT max(n) FROM (SELECT lead(value, {n}) OVER () AS n FROM generate_series(1, {n}))")]
#[tokio::test(flavor = "multi_thread")]
async fn windows_hold_no_more_than_the_engine_may(#[case] sql: &str) {
    let world = small();
    let of = |rows: u64| sql.replace("{n}", &rows.to_string());
    let error = world.rows("root", &of(3_000_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{sql}: {error}");
    assert_eq!(world.rows("root", &of(10_000)).await.unwrap().len(), 1);
}

/// What came out is not held any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_reaches_nowhere_has_no_end() {
    let sql = "SELECT max(n) FROM (SELECT row_number() OVER () AS n FROM generate_series(1, 3000000))";
    assert_eq!(small().rows("root", sql).await.unwrap(), ["3000000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_not_unnested_beside_large_columns() {
    let world = small();
    let of = |length: u64| {
        format!(
            "SELECT max(u), max(length(t)) FROM (SELECT unnest(range(0, {length})) AS u, repeat('x', 1000) || v AS t FROM (VALUES ('a'), ('b')) l(v))"
        )
    };
    assert_eq!(world.rows("root", &of(100_000)).await.unwrap(), ["99999|1001"]);
    let error = world.rows("root", &of(1_000_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}
