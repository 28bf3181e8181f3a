//! The folder of the demo: a complete configuration, with the policies in it.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The configuration's name in the folder.
pub(super) const CONFIG: &str = "sqe.toml";

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
pub(super) fn prepare(folder: &Path) -> Result<PathBuf> {
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
