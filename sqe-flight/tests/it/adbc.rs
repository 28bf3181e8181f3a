//! A real client: Python's ADBC driver, which is Go's underneath.

use std::process::Command;

use sqe_testkit::python::Python;

use crate::harness::server;

#[tokio::test(flavor = "multi_thread")]
async fn pythons_driver_passes_its_script() {
    let Some(python) = Python::find().unwrap() else { return };
    let server = server().await;
    let mut command = Command::new(python.interpreter());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/adbc.py")).args([
        &server.uri(),
        "alice-token",
        "--user",
        "alice",
        "--password",
        "alice-password",
    ]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    println!("{text}");
    assert!(output.status.success(), "{text}");
}
