//! What would be published: every crate packages, in the order of their dependencies, with all that belongs into it; and
//! somebody outside of this repository can build on the packages.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    process::{Counts, check, output, tests},
    workspace::Workspace,
};

/// A crate of somebody else, and the longest that its implementation of a trait may be, in lines.
const OUTSIDE: &str = "xtask/outside";
const LONGEST_TRAIT: usize = 40;

/// What a package lacks on purpose, as the end of a file's name.
const LEFT_OUT: [&str; 1] = ["Cargo.lock"];

pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    let metadata = workspace.metadata()?;
    let published = published(&metadata)?;
    let folder = workspace.target().join("package");
    let mut command = workspace.cargo_alone("package");
    // All are built from the very same files by the other stages; a build of each by itself would be nine of DataFusion.
    command.args(["--locked", "--no-verify", "--allow-dirty"]);
    for (name, _) in &published {
        command.args(["--package", name]);
    }
    check(&mut command)?;
    let mut counts = Counts::default();
    for (name, version) in &published {
        let unpacked = unpack(&folder, name, version)?;
        complete(workspace, name, &unpacked)?;
        counts.passed += 1;
    }
    counts.passed += outside(workspace, &folder, &published)?.passed;
    Ok(counts)
}

/// Names and versions of the workspace's packages that are for others.
pub(crate) fn published(metadata: &Value) -> Result<Vec<(String, String)>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    // `publish` is null where everything is allowed and an empty list where nothing is.
    let ours = packages.iter().filter(|package| package["source"].is_null() && package["publish"].is_null());
    let named = |package: &Value| Some((package["name"].as_str()?.to_owned(), package["version"].as_str()?.to_owned()));
    let found: Vec<_> = ours.filter_map(named).collect();
    ensure!(!found.is_empty(), "no package of the workspace is published");
    Ok(found)
}

fn unpack(folder: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let unpacked = folder.join(format!("{name}-{version}"));
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    let archive = folder.join(format!("{name}-{version}.crate"));
    check(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder))?;
    Ok(unpacked)
}

/// The package holds every file of its folder that is under version control, so what was tested is what is published. A
/// folder with a package of its own in it, such as the fuzz targets, is not a part of this one.
fn complete(workspace: &Workspace, name: &str, unpacked: &Path) -> Result<()> {
    let prefix = format!("{name}/");
    let mut missing = BTreeSet::new();
    let files = workspace.files()?;
    let inside = || files.iter().filter_map(|file| file.strip_prefix(&prefix));
    let others: Vec<&str> = inside().filter_map(|file| file.strip_suffix("/Cargo.toml")).collect();
    for inner in inside() {
        if others.iter().any(|other| Path::new(inner).starts_with(other)) {
            continue;
        }
        if !unpacked.join(inner).is_file() && !LEFT_OUT.iter().any(|name| inner.ends_with(name)) {
            missing.insert(inner.to_owned());
        }
    }
    ensure!(missing.is_empty(), "the package of {name} lacks {missing:?}");
    let manifest = fs::read_to_string(unpacked.join("Cargo.toml"))?;
    for wanted in ["description", "license", "readme", "repository", "rust-version", "[package.metadata.docs.rs]"] {
        ensure!(manifest.contains(wanted), "the manifest in the package of {name} has no {wanted}");
    }
    ensure!(!manifest.contains("path = \"../"), "the manifest in the package of {name} leads out of it");
    Ok(())
}

/// The tests of a crate that knows the packages alone.
fn outside(workspace: &Workspace, folder: &Path, published: &[(String, String)]) -> Result<Counts> {
    let from = workspace.root.join(OUTSIDE);
    let source = fs::read_to_string(from.join("src/lib.rs"))?;
    let lines = source.lines().skip_while(|line| !line.contains("ANCHOR: trait")).skip(1);
    let lines = lines.take_while(|line| !line.contains("ANCHOR_END")).count();
    if lines == 0 || lines >= LONGEST_TRAIT {
        bail!("a trait takes {lines} lines to implement, of at most {LONGEST_TRAIT}");
    }
    let to = workspace.target().join("outside");
    fs::create_dir_all(to.join("src"))?;
    fs::write(to.join("src/lib.rs"), source)?;
    let mut manifest = fs::read_to_string(from.join("Cargo.toml"))?;
    manifest.push_str("\n[patch.crates-io]\n");
    // Only what it needs: cargo warns of others.
    for (name, version) in published.iter().filter(|(name, _)| ["sqe-core", "sqe-auth"].contains(&name.as_str())) {
        let path = folder.join(format!("{name}-{version}"));
        manifest.push_str(&format!("{name} = {{ path = {:?} }}\n", path.display().to_string()));
    }
    fs::write(to.join("Cargo.toml"), manifest)?;
    // The versions that everything else was tested with; cargo leaves out what is not needed.
    fs::copy(workspace.root.join("Cargo.lock"), to.join("Cargo.lock"))?;
    let mut command = workspace.cargo_alone("test");
    command.current_dir(&to).arg("--target-dir").arg(workspace.target().join("fences"));
    let counts = tests(&mut command)?;
    let mut tree = workspace.cargo_alone("tree");
    let tree = output(tree.current_dir(&to).args(["--edges", "normal", "--prefix", "none"]))?;
    for heavy in ["datafusion", "arrow", "tonic", "reqwest"] {
        let found = tree.lines().any(|line| line.split_whitespace().next() == Some(heavy));
        ensure!(!found, "an implementer of identity has to build {heavy}");
    }
    Ok(counts)
}

#[cfg(test)]
mod named {
    use serde_json::json;

    use super::published;

    #[test]
    fn packages_that_are_kept_private_and_those_of_others_are_not_published() {
        let metadata = json!({"packages": [
            {"name": "ours", "version": "0.1.0", "source": null, "publish": null},
            {"name": "private", "version": "0.1.0", "source": null, "publish": []},
            {"name": "theirs", "version": "1.0.0", "source": "registry", "publish": null},
        ]});
        assert_eq!(published(&metadata).unwrap(), [("ours".to_owned(), "0.1.0".to_owned())]);
        assert!(published(&json!({"packages": []})).is_err());
    }
}
