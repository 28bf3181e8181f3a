//! The folder of the demo: a complete configuration, with the policies in it.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The configuration's name in the folder.
pub(crate) const CONFIG: &str = "sqe.toml";

/// The policies that the folder begins with.
const POLICIES: [(&str, &str); 4] = [
    ("analysts.cedar", include_str!("../../demo/policies/analysts.cedar")),
    ("auditors.cedar", include_str!("../../demo/policies/auditors.cedar")),
    ("ownership.cedar", include_str!("../../demo/policies/ownership.cedar")),
    ("stewards.cedar", include_str!("../../demo/policies/stewards.cedar")),
];

/// `sqe serve --config DIR/sqe.toml` serves the same data again.
const CONFIG_TEXT: &str = r#"# Written by `sqe demo`. For trying out: whoever can read this folder is everybody.
[server]
listen = "127.0.0.1:50051"
profile = "dev"
catalog = "lake"
schema = "tpch"

[[identity]]
kind = "dev"
path = "."

[policy]
kind = "cedar"
path = "policies"

[catalogs.lake]
kind = "sql"
path = "catalog.db"
warehouse = "warehouse"

[credentials]
kind = "local"

[audit]
path = "audit"
"#;

/// Makes the folder and what is missing in it; what is there stays as it is. Returns its absolute path.
pub(crate) fn prepare(folder: &Path) -> Result<PathBuf> {
    let problem = || format!("cannot prepare {}", folder.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(problem)?;
    let folder = folder.canonicalize().with_context(problem)?;
    let policies = folder.join("policies");
    if !policies.exists() {
        fs::create_dir(&policies).with_context(problem)?;
        for (name, text) in POLICIES {
            fs::write(policies.join(name), text).with_context(problem)?;
        }
    }
    let config = folder.join(CONFIG);
    if !config.exists() {
        fs::write(&config, CONFIG_TEXT).with_context(problem)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_folder_holds_a_configuration_that_is_accepted_and_policies_that_load() {
        let folder = tempfile::tempdir().unwrap();
        let folder = prepare(&folder.path().join("new")).unwrap();
        config::load(&folder.join(CONFIG), []).unwrap();
        sqe_policy::CedarPolicy::from_dir(folder.join("policies")).unwrap();
    }

    #[test]
    fn every_shipped_policy_is_in_the_binary() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/policies");
        let mut names: Vec<String> =
            fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, POLICIES.map(|(name, _)| name));
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = prepare(folder.path()).unwrap();
        fs::write(prepared.join("policies/analysts.cedar"), "").unwrap();
        fs::remove_file(prepared.join("policies/auditors.cedar")).unwrap();
        prepare(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(prepared.join("policies/analysts.cedar")).unwrap(), "");
        assert!(!prepared.join("policies/auditors.cedar").exists());
    }
}
