//! What the Prometheus project's own checker says of metrics.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Has `promtool check metrics` read an exposition. `None`: it is not there, and this is not CI.
///
/// # Errors
/// It finds fault with something; the error holds what. It is missing, and this is CI.
pub fn check(metrics: &str) -> Result<Option<()>> {
    let version = Command::new("promtool").arg("--version").output();
    let there = version.is_ok_and(|output| output.status.success());
    let Some(()) = crate::required("promtool (Debian package prometheus)", there.then_some(()))? else {
        return Ok(None);
    };
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("promtool does not start")?;
    child.stdin.take().context("promtool takes no input")?.write_all(metrics.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    // It warns with a status of its own; nothing at all is to be found.
    if !output.status.success() || !said.trim().is_empty() {
        bail!("promtool: {said}");
    }
    Ok(Some(()))
}
