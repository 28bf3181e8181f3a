//! The stages that build the workspace. All of them build it whole, so that features and so builds are the same.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    process::{Counts, check, tests},
    workspace::Workspace,
};

/// Tests in modules of this name talk to real clients or independent engines.
const CLIENTS: &str = "clients::";

pub(crate) fn format(workspace: &Workspace) -> Result<Counts> {
    check(workspace.cargo("fmt").args(["--all", "--check"]))?;
    Ok(Counts::passed(1))
}

pub(crate) fn clippy(workspace: &Workspace) -> Result<Counts> {
    check(workspace.cargo("clippy").args(["--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    Ok(Counts::passed(1))
}

pub(crate) fn test(workspace: &Workspace) -> Result<Counts> {
    let mut command = workspace.cargo("test");
    command.args(["--workspace", "--all-targets", "--locked", "--no-fail-fast", "--", "--skip", CLIENTS]);
    tests(&mut command)
}

pub(crate) fn clients(workspace: &Workspace) -> Result<Counts> {
    let mut command = workspace.cargo("test");
    command.args(["--workspace", "--all-targets", "--locked", "--no-fail-fast", "--", CLIENTS]);
    tests(&mut command)
}

pub(crate) fn doctest(workspace: &Workspace) -> Result<Counts> {
    tests(workspace.cargo("test").args(["--workspace", "--doc", "--locked", "--no-fail-fast"]))
}

/// As docs.rs builds it, which names the features that an item needs.
pub(crate) fn rustdoc(workspace: &Workspace) -> Result<Counts> {
    check(&mut documentation(workspace, &["--cfg", "docsrs", "-D", "warnings"])?)?;
    Ok(Counts::passed(1))
}

/// `cargo doc` of the workspace, with flags for rustdoc that stable compilers keep to themselves.
pub(super) fn documentation(workspace: &Workspace, flags: &[&str]) -> Result<Command> {
    // A variable for the whole build would make every dependency that looks at it build again.
    let rustdoc = workspace.target().join("rustdoc-with-features.sh");
    std::fs::create_dir_all(workspace.target())?;
    std::fs::write(&rustdoc, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    std::fs::set_permissions(&rustdoc, std::fs::Permissions::from_mode(0o755))?;
    let mut command = workspace.cargo("doc");
    command.args(["--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOC", rustdoc).env("RUSTDOCFLAGS", flags.join(" "));
    Ok(command)
}

/// Runs every program of the `examples` package to its end.
pub(crate) fn examples(workspace: &Workspace) -> Result<Counts> {
    check(workspace.cargo("build").args(["--workspace", "--bins", "--examples", "--locked"]))?;
    let built = workspace.target().join("debug");
    let programs = programs(&workspace.metadata()?)?;
    if programs.is_empty() {
        bail!("there is no example to run");
    }
    let mut counts = Counts::default();
    for (kind, name) in programs {
        let folder = if kind == "example" { built.join("examples") } else { built.clone() };
        match run_program(&folder.join(&name), workspace) {
            Ok(()) => counts.passed += 1,
            Err(error) => {
                eprintln!("{error:#}");
                counts.failed += 1;
            }
        }
    }
    Ok(counts)
}

fn run_program(program: &Path, workspace: &Workspace) -> Result<()> {
    check(Command::new(program).current_dir(&workspace.root))
}

/// The programs of the `examples` package, as (kind, name).
fn programs(metadata: &Value) -> Result<Vec<(String, String)>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let package = packages.iter().find(|package| package["name"] == "sqe-examples");
    let targets = package.and_then(|package| package["targets"].as_array()).context("there is no examples package")?;
    let program = |target: &Value| {
        let kind = target["kind"].as_array()?.first()?.as_str()?;
        let name = target["name"].as_str()?;
        ["example", "bin"].contains(&kind).then(|| (kind.to_owned(), name.to_owned()))
    };
    Ok(targets.iter().filter_map(program).collect())
}
