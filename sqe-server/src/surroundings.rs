//! What the command line takes from the environment of whoever runs it: variables, and folders of the XDG Base Directory
//! Specification 0.8.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A variable that is set to some text.
#[expect(clippy::disallowed_methods, reason = "the command line speaks for the person who runs it")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The person's home.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// Where configuration is: `$XDG_CONFIG_HOME/sqe`, else `~/.config/sqe`.
pub(crate) fn config_folder() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config")
}

/// Where the program keeps what it notes down: `$XDG_STATE_HOME/sqe`, else `~/.local/state/sqe`.
pub(crate) fn state_folder() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

fn folder(name: &str, under_home: &str) -> Option<PathBuf> {
    // A relative path in such a variable is to be ignored, says the specification.
    let named = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(named.or_else(|| home().map(|home| home.join(under_home)))?.join("sqe"))
}

/// Makes a folder that only its owner may look into, with those around it.
///
/// # Errors
/// As the system says.
pub(crate) fn own_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file that only its owner may read, and makes it if it is not there.
///
/// # Errors
/// As the system says, or others may read or write it.
pub(crate) fn own_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        own_folder(folder)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    refuse_shared(path, &file.metadata()?)?;
    Ok(file)
}

/// # Errors
/// Others than the owner may read or write it.
pub(crate) fn refuse_shared(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    match metadata.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("others may read or change {}; run: chmod 600 {0}", path.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_ones_own_is_made_so_and_refused_if_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        own_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        own_file(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(own_file(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
