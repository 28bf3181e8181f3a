//! What a crate may depend on. The fences keep three promises of the architecture: implementers of identity, policy and
//! vending build without a query engine; leaves can be taken one by one; types are the same everywhere.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    process::{Counts, check, output},
    workspace::Workspace,
};

const CORE: &str = "sqe-core";
const SERVER: &str = "sqe-server";
const LEAVES: [&str; 7] =
    ["sqe-auth", "sqe-policy", "sqe-catalog", "sqe-audit", "sqe-flight", "sqe-distributed", "sqe-bench"];
/// What the tests of a leaf may know: a scheduler is proven with the scans of a real catalog.
const IN_TESTS: [(&str, &str); 1] = [("sqe-distributed", "sqe-catalog")];
/// Packages that compose leaves and are no library.
const COMPOSERS: [&str; 3] = [SERVER, "sqe-examples", "sqe-testkit"];

/// Of these there is one version in the lock file.
const SINGLE: [&str; 9] = [
    "arrow",
    "arrow-array",
    "arrow-flight",
    "arrow-schema",
    "datafusion",
    "datafusion-common",
    "object_store",
    "parquet",
    "tonic",
];

/// What a package without its default features, or with them, must not bring along.
const LIGHT: [(&str, bool, &[&str]); 3] = [
    (CORE, false, &["datafusion", "arrow", "arrow-array", "parquet", "object_store", "tonic", "reqwest", "tokio"]),
    ("sqe-auth", true, &["datafusion", "arrow", "parquet", "object_store", "tonic"]),
    ("sqe-policy", true, &["datafusion", "arrow", "parquet", "object_store", "tonic", "reqwest"]),
];

pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    let metadata = workspace.metadata()?;
    let mut problems = borders(&metadata)?;
    problems.extend(doubles(&metadata)?);
    for (package, default_features, forbidden) in LIGHT {
        problems.extend(weight(workspace, package, default_features, forbidden)?);
    }
    if !problems.is_empty() {
        bail!("{} fences are broken\n{}", problems.len(), problems.join("\n"));
    }
    // A folder of its own: with other features in force than everywhere else it would rebuild what the tests use.
    let target = workspace.target().join("fences");
    for features in ["", "conformance"] {
        let mut command = workspace.cargo_alone("check");
        command.args(["--package", CORE, "--no-default-features", "--features", features, "--locked", "--target-dir"]);
        check(command.arg(&target).env("RUSTFLAGS", "-D warnings"))?;
    }
    let mut deny = workspace.tool("cargo-deny");
    // Advisories are not asked for: their database comes from the network.
    check(deny.args(["--offline", "check", "bans", "licenses", "sources"]))?;
    Ok(Counts::passed(4 + LIGHT.len() + SINGLE.len()))
}

/// Leaves know the core and, but for `IN_TESTS`, no leaf; only composers know leaves; nobody knows the server.
fn borders(metadata: &Value) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages(metadata)? {
        let name = text(package, "name")?;
        if !package["source"].is_null() || COMPOSERS.contains(&name) {
            continue;
        }
        let dependencies = package["dependencies"].as_array().context("a package without a list of dependencies")?;
        for dependency in dependencies {
            let other = text(dependency, "name")?;
            if dependency["kind"] == "dev" && IN_TESTS.contains(&(name, other)) {
                continue;
            }
            if LEAVES.contains(&other) || other == SERVER {
                problems.push(format!("{name} depends on {other}: a leaf is known to nobody but the server"));
            }
            if name == CORE && other.starts_with("sqe-") && other != "sqe-testkit" {
                problems.push(format!("{CORE} depends on {other}: the core knows nobody"));
            }
        }
    }
    Ok(problems)
}

/// Packages of `SINGLE` that are there in more than one version.
fn doubles(metadata: &Value) -> Result<Vec<String>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(metadata)? {
        versions.entry(text(package, "name")?).or_default().insert(text(package, "version")?);
    }
    let problem = |name: &&str| match versions.get(name) {
        Some(found) if found.len() == 1 => None,
        Some(found) => Some(format!("{name} is there {} times: {found:?}", found.len())),
        None => Some(format!("{name} is not there at all: is this fence still about the right crate?")),
    };
    Ok(SINGLE.iter().filter_map(problem).collect())
}

/// Forbidden packages among what a package needs to build.
fn weight(workspace: &Workspace, package: &str, default_features: bool, forbidden: &[&str]) -> Result<Vec<String>> {
    let mut command = workspace.cargo_alone("tree");
    command.args(["--package", package, "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--locked"]);
    if !default_features {
        command.arg("--no-default-features");
    }
    let tree = output(&mut command)?;
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if !names.contains(package) {
        bail!("the tree of {package} does not hold it");
    }
    let shown = if default_features { package.to_owned() } else { format!("bare {package}") };
    println!("{shown}: {} packages", names.len());
    Ok(forbidden.iter().filter(|name| names.contains(**name)).map(|name| format!("{shown} needs {name}")).collect())
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("cargo metadata lists no packages")
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("cargo metadata has no {key}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{borders, doubles};

    fn package(name: &str, dependency: &str) -> serde_json::Value {
        json!({"packages": [{"name": name, "source": null, "dependencies": [{"name": dependency}]}]})
    }

    #[test]
    fn a_leaf_that_knows_a_leaf_is_found_and_one_that_knows_the_core_is_not() {
        assert_eq!(borders(&package("sqe-auth", "sqe-policy")).unwrap().len(), 1);
        assert!(borders(&package("sqe-auth", "sqe-core")).unwrap().is_empty());
        assert!(borders(&package("sqe-server", "sqe-policy")).unwrap().is_empty());
    }

    #[test]
    fn a_core_that_knows_anybody_is_found() {
        assert!(!borders(&package("sqe-core", "sqe-audit")).unwrap().is_empty());
        assert!(borders(&package("sqe-core", "serde")).unwrap().is_empty());
    }

    #[test]
    fn two_versions_of_arrow_are_found() {
        let twice =
            json!({"packages": [{"name": "arrow", "version": "58.0.0"}, {"name": "arrow", "version": "59.0.0"}]});
        assert!(doubles(&twice).unwrap().iter().any(|problem| problem.starts_with("arrow is there 2 times")));
    }
}
