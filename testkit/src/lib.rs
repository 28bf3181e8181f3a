//! Starts real things for the tests of SQE, and stops them when the test is over. Everything stays on loopback.
//!
//! A thing that a test needs and that is not there skips the test on a developer's machine and fails it under
//! `CI=true`: see [`required`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![expect(clippy::disallowed_methods, reason = "tests find their tools by environment")]

pub mod idp;
pub mod node;
pub mod process;
pub mod promtool;
pub mod python;
pub mod reference;
pub mod rotel;
pub mod trap;

/// Whether this run must not skip anything.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// `found`, or a reason to skip. Under `CI=true` what is missing is an error, so that a test cannot pass by not running.
///
/// # Errors
/// Nothing was found and this is CI.
pub fn required<T>(what: &str, found: Option<T>) -> anyhow::Result<Option<T>> {
    if found.is_none() {
        if is_ci() {
            anyhow::bail!("{what} is missing, and CI skips nothing");
        }
        eprintln!("skipped: {what} is missing");
    }
    Ok(found)
}

/// How many cases of a property to try: `SQE_PROPERTY_CASES` of each thousand of `default`, at least one.
#[must_use]
pub fn property_cases(default: u32) -> u32 {
    let share = std::env::var("SQE_PROPERTY_CASES").ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(1000);
    (default * share / 1000).max(1)
}

/// A TCP port of loopback that was free a moment ago. Prefer letting a server choose (`:0`) and asking it.
///
/// # Errors
/// The machine has no free port.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Takes the credentials of cloud providers away from a child, so that a test means the same on every machine.
pub fn without_cloud(command: &mut std::process::Command) -> &mut std::process::Command {
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}
