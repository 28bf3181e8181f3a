//! Files that an operator keeps: read as a whole, with bounds, and only while nobody else could have changed them.

mod write;

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use sqe_core::{Error, Result};

/// Who else than its owner may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Nobody else reads or writes it: it holds what helps to guess a secret.
    #[cfg_attr(not(any(feature = "api-tokens", test)), expect(dead_code, reason = "for files of tokens"))]
    Private,
    /// Nobody else writes it: who can is whoever they like.
    NotWritable,
}

/// A file, what it is called in messages, and what bounds it.
#[derive(Debug, Clone)]
pub(crate) struct OperatorFile {
    pub(crate) path: PathBuf,
    /// Such as "token file".
    pub(crate) what: &'static str,
    pub(crate) protection: Protection,
    pub(crate) max_bytes: u64,
}

/// What changes when a file does, for looking often without reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Another file put in its place by renaming may be as long and as old.
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }
}

impl OperatorFile {
    /// Its text, and the stamp it had before it was read: a change in between shows as another stamp.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes); `InvalidInput` if it is no UTF-8.
    pub(crate) fn read(&self) -> Result<(String, Stamp)> {
        let (bytes, stamp) = self.read_bytes()?;
        let text = String::from_utf8(bytes).map_err(|_| Error::invalid(format!("the {self} is not UTF-8 text")))?;
        Ok((text, stamp))
    }

    /// Its bytes, and the stamp it had before it was read.
    ///
    /// # Errors
    /// `NotFound` if it is not there, `PermissionDenied` if others may do with it what they must not, `InvalidInput` if it
    /// is too large, `Unavailable` if the system does not let it be read.
    pub(crate) fn read_bytes(&self) -> Result<(Vec<u8>, Stamp)> {
        let mut file = fs::File::open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(format!("there is no {self}")),
            _ => self.unreadable(error),
        })?;
        let metadata = file.metadata().map_err(|error| self.unreadable(error))?;
        self.check(&metadata)?;
        // One byte more than is allowed shows that there is more; the length of a file that grows says nothing.
        let mut bytes = Vec::new();
        let limit = self.max_bytes.saturating_add(1);
        file.by_ref().take(limit).read_to_end(&mut bytes).map_err(|error| self.unreadable(error))?;
        if bytes.len() as u64 > self.max_bytes {
            return Err(Error::invalid(format!(
                "the {self} has more than {} bytes; remove old entries",
                self.max_bytes
            )));
        }
        Ok((bytes, Stamp::of(&metadata)))
    }

    /// Its stamp now. `None` if it cannot be had.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// An error about a line or an entry of it.
    pub(crate) fn wrong(&self, place: impl std::fmt::Display, problem: impl std::fmt::Display) -> Error {
        Error::invalid(format!("in the {self}, {place}: {problem}"))
    }

    #[cfg(unix)]
    fn check(&self, metadata: &fs::Metadata) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;

        let (forbidden, what, mode) = match self.protection {
            Protection::Private => (0o077, "read or write", "600"),
            Protection::NotWritable => (0o022, "write", "644"),
        };
        if metadata.permissions().mode() & forbidden == 0 {
            return Ok(());
        }
        Err(Error::denied(format!("others than its owner can {what} the {self}; set its mode to {mode}")))
    }

    #[cfg(not(unix))]
    fn check(&self, _: &fs::Metadata) -> Result<()> {
        Ok(())
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::unavailable(format!("the {self} cannot be read")).with_source(error)
    }
}

impl std::fmt::Display for OperatorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.what, self.path.display())
    }
}

/// `path` with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
