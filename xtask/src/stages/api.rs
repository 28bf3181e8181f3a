//! What others can call: the public API of every crate, one line an item, is under version control, so that a change of it
//! shows in the commit that makes it.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Result, bail};

use super::{build::documentation, package::published};
use crate::{
    process::{Counts, check, output},
    workspace::Workspace,
};

/// The file in a crate's folder.
const LIST: &str = "public-api.txt";
/// The compiler whose rustdoc the lists are made of: its JSON has another form with every other version.
const COMPILER: &str = "rustc 1.95.";

pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    let lists = lists(workspace)?;
    let mut stale = Vec::new();
    for (name, path, list) in &lists {
        if fs::read_to_string(path).unwrap_or_default() != *list {
            stale.push(name.as_str());
        }
    }
    if !stale.is_empty() {
        let stale = stale.join(", ");
        bail!(
            "{LIST} does not say what the public API of {stale} is; run `cargo xtask api` and look at the difference"
        );
    }
    Ok(Counts::passed(lists.len()))
}

/// Writes the lists anew.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for (name, path, list) in lists(workspace)? {
        let before = fs::read_to_string(&path).unwrap_or_default();
        if before != list {
            fs::write(&path, &list)?;
            println!("{name}: {} lines, {} before", list.lines().count(), before.lines().count());
        }
    }
    Ok(())
}

/// Name, file and present list of every published library.
fn lists(workspace: &Workspace) -> Result<Vec<(String, PathBuf, String)>> {
    let compiler = output(Command::new("rustc").arg("--version"))?;
    if !compiler.starts_with(COMPILER) {
        bail!("{LIST} can be read with {COMPILER}x alone, and this is {}", compiler.lines().next().unwrap_or_default());
    }
    check(&mut documentation(workspace, &["-Z", "unstable-options", "--output-format", "json"])?)?;
    let lister = lister(workspace)?;
    let mut lists = Vec::new();
    for (name, _) in published(&workspace.metadata()?)? {
        let json = workspace.target().join(format!("doc/{}.json", name.replace('-', "_")));
        if !workspace.root.join(&name).join("src/lib.rs").exists() {
            // The server is a program: nobody can call it.
            continue;
        }
        let list = output(Command::new(&lister).arg(&json))?;
        lists.push((name.clone(), workspace.root.join(&name).join(LIST), list));
    }
    Ok(lists)
}

/// Builds the program that makes a list, and gives its path.
fn lister(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.target().join("fences");
    let mut command = workspace.cargo_alone("build");
    command.args(["--locked", "--manifest-path", "xtask/public-api/Cargo.toml", "--target-dir"]);
    check(command.arg(&target))?;
    Ok(target.join("debug/list-public-api"))
}
