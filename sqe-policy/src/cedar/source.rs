//! Where policies come from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use sqe_core::{Error, Result};

use super::SCHEMA;

/// Where a bundle is read, and read again at a reload.
#[derive(Debug)]
pub(super) enum Source {
    Directory(PathBuf),
    Texts(Vec<(String, String)>),
}

impl Source {
    /// The texts by name. Their order, and so the snapshot, does not depend on the file system.
    pub(super) fn read(&self) -> Result<BTreeMap<String, String>> {
        match self {
            Self::Directory(path) => read_directory(path),
            Self::Texts(texts) => {
                let mut named = BTreeMap::new();
                for (name, text) in texts {
                    if named.insert(name.clone(), text.clone()).is_some() {
                        return Err(Error::invalid(format!(
                            "two policy sources are called {name:?}; give each its own name"
                        )));
                    }
                }
                Ok(named)
            }
        }
    }
}

fn read_directory(directory: &Path) -> Result<BTreeMap<String, String>> {
    let unreadable = |path: &Path, cause: std::io::Error| {
        Error::new(
            sqe_core::ErrorKind::Unavailable,
            format!("the policies at {} cannot be read; check that the path exists and is readable", path.display()),
        )
        .with_source(cause)
    };
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(|cause| unreadable(directory, cause))? {
        let path = entry.map_err(|cause| unreadable(directory, cause))?.path();
        if path.extension().is_none_or(|extension| extension != "cedar") || path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|cause| unreadable(&path, cause))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        texts.insert(name, text);
    }
    Ok(texts)
}

/// SHA-256 over the shipped schema and the texts, each with its length so that no two bundles share their bytes.
pub(super) fn snapshot(texts: &BTreeMap<String, String>) -> String {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    part(SCHEMA);
    for (name, text) in texts {
        part(name);
        part(text);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
