use std::{process::Command, time::Duration};

use sqe_bench::{
    answer::Value,
    oracle::{Options, Oracle, Source},
};
use sqe_core::ErrorKind;

use crate::fixture::{TPCH, python};

#[tokio::test]
async fn values_arrive_exactly_as_duckdb_has_them() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 1)).await.unwrap();
    assert_eq!(oracle.version(), "1.5.5");
    let sql = "select 1.10::decimal(38, 2) as d, 170141183460469231731687303715884105727::hugeint as h, \
               date '0001-02-03' as day, 0.1::double as f, 'a''\n\u{e9}' as t, null::integer as n, true as b";
    let (answer, elapsed) = oracle.query(sql).await.unwrap();
    assert_eq!(answer.columns, ["d", "h", "day", "f", "t", "n", "b"]);
    assert_eq!(
        answer.rows,
        [[
            Value::Decimal { unscaled: 110, scale: 2 },
            Value::Integer(i128::MAX),
            Value::Date(-719_129),
            Value::Float(0.1),
            Value::Text("a'\n\u{e9}".to_owned()),
            Value::Null,
            Value::Boolean(true),
        ]]
    );
    assert!(elapsed > Duration::ZERO);
    assert!(oracle.peak_memory().await.unwrap() > 1 << 20);
}

/// Needs `pyiceberg` and `pyarrow` in that Python besides; without them the server's tests, which write the tables
/// themselves, have to do.
#[tokio::test]
async fn an_iceberg_table_is_read_by_its_metadata() {
    let Some(python) = python() else { return };
    let folder = tempfile::Builder::new().prefix("ice berg ").tempdir().unwrap();
    let made = Command::new(&python)
        .args(["-I", "-c", PYICEBERG])
        .arg(folder.path())
        .args(&TPCH.tables["nation"])
        .output()
        .unwrap();
    let location = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    if location == "absent" {
        eprintln!("skipped: this python has no pyiceberg");
        return;
    }
    assert!(location.ends_with(".metadata.json"), "{}", String::from_utf8_lossy(&made.stderr));
    let path = location.strip_prefix("file://").unwrap().to_owned();
    for location in [location, path] {
        let options = Options::new(&python, 2).with_table("nation", Source::Iceberg(location));
        let oracle = Oracle::start(&options).await.unwrap();
        let (answer, _) = oracle.query("select count(*) as n, max(n_name) as m from nation").await.unwrap();
        assert_eq!(answer.rows, [[Value::Integer(25), Value::Text("VIETNAM".to_owned())]]);
    }
}

const PYICEBERG: &str = r#"
import sys
try:
    import pyarrow, pyarrow.parquet
    from pyiceberg.catalog.sql import SqlCatalog
except ImportError:
    print("absent")
    sys.exit()
folder, *files = sys.argv[1:]
catalog = SqlCatalog("test", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
catalog.create_namespace("tpch")
rows = pyarrow.concat_tables([pyarrow.parquet.ParquetFile(file).read() for file in files])
catalog.create_table("tpch.nation", schema=rows.schema).append(rows)
print(catalog.load_table("tpch.nation").metadata_location)
"#;

#[tokio::test]
async fn the_order_of_a_large_answer_is_kept() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 4)).await.unwrap();
    let (answer, _) = oracle.query("select range as n from range(500000) order by n desc").await.unwrap();
    assert!(answer.rows.iter().zip((0..500_000).rev()).all(|(row, n)| row[0] == Value::Integer(n)));
    assert_eq!(answer.rows.len(), 500_000);
}

#[tokio::test]
async fn an_error_of_one_query_leaves_the_next_unharmed() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 1)).await.unwrap();
    let error = oracle.query("select no_such_column from nowhere").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("nowhere"), "{error}");
    assert_eq!(oracle.query("select 7 as n").await.unwrap().0.rows, [[Value::Integer(7)]]);
}

#[tokio::test]
async fn the_answer_of_an_abandoned_query_is_not_taken_for_the_next() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 1)).await.unwrap();
    let slow = oracle.query("select count(*) as n from range(300000000) where range % 7 = 1");
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    assert_eq!(oracle.query("select 7 as n").await.unwrap().0.rows, [[Value::Integer(7)]]);
}

#[tokio::test]
async fn a_query_beyond_the_deadline_ends_the_process() {
    let Some(python) = python() else { return };
    let mut options = Options::new(python, 1);
    options.deadline = Duration::from_secs(3);
    let oracle = Oracle::start(&options).await.unwrap();
    let slow = "select count(*) as n from range(100000000000) where sin(range) > 2";
    assert_eq!(oracle.query(slow).await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(oracle.query("select 1 as n").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn missing_tables_and_extensions_are_told_at_the_start() {
    let Some(python) = python() else { return };
    let missing = Source::Parquet(vec!["/does/not/exist.parquet".into()]);
    let error = Oracle::start(&Options::new(&python, 1).with_table("t", missing)).await.unwrap_err();
    assert!(error.message().contains("/does/not/exist.parquet"), "{error}");
    let error = Oracle::start(&Options::new(&python, 1).with_extension("no_such")).await.unwrap_err();
    assert!(error.message().contains("duckdb-extension-no_such==1.5.5"), "{error}");
    assert!(Oracle::start(&Options::new(&python, 1)).await.is_ok());
}

#[tokio::test]
async fn a_python_that_does_not_exist_or_is_none_is_unavailable() {
    for wrong in ["/does/not/exist/python", "/bin/false"] {
        let error = Oracle::start(&Options::new(wrong, 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{wrong}: {error}");
    }
}
