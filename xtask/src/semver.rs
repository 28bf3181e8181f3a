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
    let mut libraries = published(&workspace.metadata()?)?;
    // The server is a program: nobody can call it.
    libraries.retain(|(name, _)| workspace.root.join(name).join("src/lib.rs").exists());
    let releases = releases(libraries, &tags)?;
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

/// Name, version and the tag of the last release of each library.
fn releases(libraries: Vec<(String, String)>, tags: &str) -> Result<Vec<(String, String, Option<String>)>> {
    let with_tag = |(name, version): (String, String)| {
        let tag = last(&name, tags);
        (name, version, tag)
    };
    let releases: Vec<_> = libraries.into_iter().map(with_tag).collect();
    if releases.iter().all(|(_, _, tag)| tag.is_none()) {
        bail!(
            "there is nothing to compare with: no tag of a release, such as sqe-core-v0.1.0, leads here; in a shallow clone \
             `git fetch --tags --unshallow` brings them"
        );
    }
    Ok(releases)
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
    use super::{last, releases};

    #[test]
    fn the_last_release_is_that_of_the_highest_version_of_this_very_crate() {
        let tags = "sqe-core-v0.2.0\nsqe-core-v0.10.1\nsqe-core-v0.10.2-rc.1\nsqe-core-v0.9.7\nsqe-core-extra-v9.0.0\n\
                    sqe-auth-v3.0.0\nv4.0.0\nsqe-core-v5\n";
        assert_eq!(last("sqe-core", tags).as_deref(), Some("sqe-core-v0.10.1"));
        assert_eq!(last("sqe-auth", tags).as_deref(), Some("sqe-auth-v3.0.0"));
        assert_eq!(last("sqe-policy", tags), None);
        assert_eq!(last("sqe-core", ""), None);
    }
    #[test]
    fn what_was_released_is_compared_and_where_nothing_was_it_is_said() {
        let libraries = || ["sqe-core", "sqe-auth"].map(|name| (name.to_owned(), "0.2.0".to_owned())).to_vec();
        let found = releases(libraries(), "sqe-core-v0.1.0\n").unwrap();
        let tags: Vec<_> = found.iter().map(|(name, _, tag)| (name.as_str(), tag.as_deref())).collect();
        assert_eq!(tags, [("sqe-core", Some("sqe-core-v0.1.0")), ("sqe-auth", None)]);
        for none in ["", "v0.1.0\n", "sqe-server-v0.1.0\n"] {
            let error = releases(libraries(), none).unwrap_err().to_string();
            assert!(error.contains("nothing to compare with") && error.contains("git fetch --tags"), "{error}");
        }
    }
}
