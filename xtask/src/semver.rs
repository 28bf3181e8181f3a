//! `cargo xtask semver`: whether what changed since each crate's last release fits the version that it has now. It is for
//! whoever releases, and no stage: it needs a tool that is not everybody's, builds each crate twice, and compares with
//! releases, which a shallow clone does not have.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{
    process::{check, output},
    stages::published,
    workspace::Workspace,
};

const TOOL: &str = "semver-checks";

/// Compares every library with its last release.
///
/// # Errors
/// No library was ever released, the tool is missing, or a change does not fit the version.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tags = output(Command::new("git").args(["tag", "--list", "--merged", "HEAD"]).current_dir(&workspace.root))?;
    let mut releases = Vec::new();
    for (name, version) in published(&workspace.metadata()?)? {
        // The server is a program: nobody can call it.
        if workspace.root.join(&name).join("src/lib.rs").exists() {
            let tag = last(&name, &tags);
            releases.push((name, version, tag));
        }
    }
    if releases.iter().all(|(_, _, tag)| tag.is_none()) {
        bail!(
            "there is nothing to compare with: no tag of a release, such as sqe-core-v0.1.0, leads here; in a shallow clone \
             `git fetch --tags --unshallow` brings them"
        );
    }
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !quiet(workspace.cargo(TOOL).arg("--version")).is_ok_and(|status| status.success()) {
        bail!("cargo-semver-checks is not installed; run `cargo install cargo-semver-checks --locked`");
    }
    let mut unfit = Vec::new();
    for (name, version, tag) in releases {
        let Some(tag) = tag else {
            println!("{name} {version}: never released, so there is nothing that it could break");
            continue;
        };
        if let Err(error) = check(workspace.cargo(TOOL).args(["--package", &name, "--baseline-rev", &tag])) {
            println!("{name} {version} since {tag}: {error}");
            unfit.push(name);
        }
    }
    if !unfit.is_empty() {
        bail!("what changed does not fit the version of {}, or could not be compared; see above", unfit.join(", "));
    }
    Ok(())
}

/// The tag of a crate's last release: `NAME-vMAJOR.MINOR.PATCH`. Others, such as those of release candidates, are none.
fn last(name: &str, tags: &str) -> Option<String> {
    let version = |tag: &str| {
        let numbers = tag.strip_prefix(name)?.strip_prefix("-v")?.split('.').map(str::parse::<u64>);
        numbers.collect::<Result<Vec<_>, _>>().ok().filter(|numbers| numbers.len() == 3)
    };
    tags.lines().filter_map(|tag| Some((version(tag)?, tag))).max().map(|(_, tag)| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::last;

    #[test]
    fn the_last_release_is_that_of_the_highest_version_of_this_very_crate() {
        let tags = "sqe-core-v0.2.0\nsqe-core-v0.10.1\nsqe-core-v0.10.2-rc.1\nsqe-core-v0.9.7\nsqe-core-extra-v9.0.0\n\
                    sqe-auth-v3.0.0\nv4.0.0\nsqe-core-v5\n";
        assert_eq!(last("sqe-core", tags).as_deref(), Some("sqe-core-v0.10.1"));
        assert_eq!(last("sqe-auth", tags).as_deref(), Some("sqe-auth-v3.0.0"));
        assert_eq!(last("sqe-policy", tags), None);
        assert_eq!(last("sqe-core", ""), None);
    }
}
