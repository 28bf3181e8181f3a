//! `connection.json`: what a client needs, for the owner of the folder alone.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use sqe_core::Secret;

use super::whole;

/// The file's name in the folder of the demo.
pub(super) const FILE: &str = "connection.json";

#[derive(Serialize)]
struct Connection<'a> {
    uri: &'a str,
    people: BTreeMap<&'a str, Person<'a>>,
}

#[derive(Serialize)]
struct Person<'a> {
    token: &'a str,
}

/// Writes the file, readable and writable by its owner only. It appears whole: who sees it can connect.
pub(super) fn write(folder: &Path, uri: &str, tokens: &BTreeMap<&'static str, Secret>) -> Result<()> {
    let people = tokens.iter().map(|(name, token)| (*name, Person { token: token.expose() })).collect();
    let text = serde_json::to_vec_pretty(&Connection { uri, people })?;
    let path = folder.join(FILE);
    whole::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_its_owners_alone_even_if_it_was_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        write(folder.path(), "grpc://127.0.0.1:1", &BTreeMap::from([("alice", Secret::new("t"))])).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, serde_json::json!({"uri": "grpc://127.0.0.1:1", "people": {"alice": {"token": "t"}}}));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
    }
}
