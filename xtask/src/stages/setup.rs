//! Installs what the other stages need, from the package registries, into `target/venv-*` and `target/node-*`.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{Counts, check},
    workspace::{ENVIRONMENTS, Environment, Workspace},
};

const CANDIDATES: [&str; 5] = ["python3", "python3.13", "python3.12", "python3.11", "python3.14"];
const IS_NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 11))";
const IS_NEW_ENOUGH_NODE: &str = "const [major, minor] = process.versions.node.split('.').map(Number); process.exit(major * 100 + minor < 2019 ? 1 : 0)";

pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    for environment in ENVIRONMENTS {
        install(workspace, environment)?;
    }
    for component in ["rustfmt", "clippy"] {
        if !succeeds(Command::new("cargo").args([subcommand(component), "--version"])) {
            check(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    node(workspace)?;
    debian("promtool", "prometheus")?;
    Ok(Counts::default())
}

fn install(workspace: &Workspace, environment: Environment) -> Result<()> {
    let venv = workspace.venv(environment);
    let stamp = venv.join("complete");
    if !stamp.exists() {
        let python = CANDIDATES.into_iter().find(|name| succeeds(Command::new(name).args(["-c", IS_NEW_ENOUGH])));
        let python = python.context("Python 3.11 or newer is needed for the tests; install it")?;
        create(python, &venv)?;
        let mut install = Command::new(workspace.python(environment));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        check(install.arg(workspace.root.join(environment.requirements)))?;
        // Written last: an interrupted installation is begun again.
        std::fs::write(&stamp, b"")?;
    }
    println!("{}: {}", environment.variable, workspace.python(environment).display());
    Ok(())
}

/// The packages of the services that tests start. A developer's machine may lack Node: then those tests are skipped.
fn node(workspace: &Workspace) -> Result<()> {
    if !succeeds(Command::new("node").args(["-e", IS_NEW_ENOUGH_NODE]))
        || !succeeds(Command::new("npm").arg("--version"))
    {
        if std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0") {
            bail!("Node.js 20.19 or newer with npm is needed for the tests; install it");
        }
        println!("node: none; tests with OpenID providers will be skipped");
        return Ok(());
    }
    let folder = workspace.node();
    let stamp = folder.join("complete");
    if !stamp.exists() {
        std::fs::create_dir_all(&folder)?;
        for file in workspace.node_packages() {
            let name = file.file_name().context("a list of packages has no name")?;
            std::fs::copy(&file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        let mut install = Command::new("npm");
        // Packages run nothing while they are installed.
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        check(install.current_dir(&folder))?;
        std::fs::write(&stamp, b"")?;
    }
    println!("node: {}", workspace.node_modules().display());
    Ok(())
}

fn subcommand(component: &str) -> &str {
    if component == "rustfmt" { "fmt" } else { component }
}

/// A tool that only Debian packages. Elsewhere its tests are skipped, or fail under `CI=true`.
fn debian(program: &str, package: &str) -> Result<()> {
    if succeeds(Command::new(program).arg("--version")) || !succeeds(Command::new("apt-get").arg("--version")) {
        return Ok(());
    }
    check(Command::new("apt-get").arg("update").stdout(Stdio::null()))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends", package]).env("DEBIAN_FRONTEND", "noninteractive");
    check(install.stdout(Stdio::null()))
}

/// Debian ships `venv` apart from Python; there it is installed when it is missing.
fn create(python: &str, venv: &Path) -> Result<()> {
    let make = || {
        let mut command = Command::new(python);
        command.args(["-m", "venv", "--clear"]).arg(venv);
        command
    };
    if check(&mut make()).is_ok() {
        return Ok(());
    }
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("`{python} -m venv` does not work; install Python's venv module");
    }
    check(Command::new("apt-get").arg("update").stdout(Stdio::null()))?;
    check(Command::new("apt-get").args(["install", "--yes", "python3-venv"]).stdout(Stdio::null()))?;
    check(&mut make())
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
