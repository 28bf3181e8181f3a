//! Real clients and independent engines, in Python: the scripts of `testkit/clients` hold the checks.

use std::path::Path;

use sqe_testkit::{process::Sqe, python::Python};

use crate::{
    site::{Demo, Site, binary},
    tls::{Authority, Secure},
    tokens::good_and_bad,
};

/// Runs a script against the shared demo; it must say that it checked something.
fn script(name: &str) {
    script_by(&Python::find().unwrap(), name);
}

fn script_by(python: &Option<Python>, name: &str) {
    let Some(python) = python else { return };
    let demo = Demo::shared();
    let said = python.run(name, [demo.folder.as_os_str()]).unwrap();
    assert!(said.trim_end().ends_with(" checks"), "{said}");
    println!("{name}: {said}");
}

#[test]
fn three_people_see_what_policy_lets_them_see() {
    script("people.py");
}

#[test]
fn adbc_opens_nothing_with_a_token_that_is_not_good() {
    let Some(python) = Python::find().unwrap() else { return };
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    let (good, bad) = good_and_bad(&site);
    let (file, bad) = (site.path().join("tokens.json"), bad.into_iter().collect::<std::collections::BTreeMap<_, _>>());
    std::fs::write(&file, serde_json::json!({ "uri": uri, "good": good, "bad": bad }).to_string()).unwrap();
    let said = python.run("tokens.py", [file.as_os_str()]).unwrap();
    assert!(said.trim_end().ends_with(" checks"), "{said}");
    println!("tokens.py: {said}");
}

#[test]
fn adbc_finds_the_protocol_that_it_needs() {
    script("protocol.py");
}

#[test]
fn adbc_pandas_and_polars_do_all_that_they_can() {
    script("driver.py");
}

#[test]
fn adbc_speaks_tls_and_shows_its_certificate() {
    let Some(python) = Python::find().unwrap() else { return };
    let (own, people) = (Authority::new(), Authority::new());
    let secure = Secure::new(&own);
    let put = |name: &str, text: String| {
        let path = secure.site.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    put("clients.pem", people.pem());
    let (_server, uri) = secure.serve(&[("SQE__TLS__CLIENT_CA_FILE", "clients.pem")]);
    let (certificate, key) = people.sign(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let given = serde_json::json!({
        "uri": uri,
        "token": secure.site.token("ann"),
        "authority": own.pem(),
        "other_authority": people.pem(),
        "certificate": certificate,
        "key": key,
    });
    let file = put("tls.json", given.to_string());
    let said = python.run("tls.py", [file.as_os_str()]).unwrap();
    assert!(said.trim_end().ends_with(" checks"), "{said}");
    println!("tls.py: {said}");
}

#[test]
fn the_python_of_the_book_runs() {
    script("book.py");
    script_by(&Python::with_flightsql_dbapi().unwrap(), "book_sqlalchemy.py");
}

#[test]
fn flightsql_dbapi_and_its_dialect_of_sqlalchemy_work() {
    script_by(&Python::with_flightsql_dbapi().unwrap(), "superset.py");
}

#[test]
fn pyiceberg_reads_what_we_write_and_we_read_what_it_writes() {
    script("exchange.py");
}

#[test]
fn all_queries_of_tpch_have_the_answers_of_duckdb() {
    let Some(python) = Python::find().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_server, _) = Sqe::demo(binary(), folder.path(), &["--scale", "0.1"], &[]).unwrap();
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sqe-bench/src/tpch/queries");
    // At this scale no query is without an answer.
    let said =
        python.run("tpch.py", [folder.path().as_os_str(), queries.as_os_str(), "0.1".as_ref(), "0".as_ref()]).unwrap();
    assert!(said.trim_end().ends_with(" checks"), "{said}");
    println!("{said}");
}
