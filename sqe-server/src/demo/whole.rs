//! Files that appear whole or not at all, for the owner of the folder alone.

use std::{fs, io, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// Replaces the file at `path`, which is readable and writable by its owner only from its first byte on.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_added_extension(format!("{}.tmp", uuid::Uuid::new_v4()));
    let written = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    written().inspect_err(|_| _ = fs::remove_file(&draft))
}
