//! Changing a file of an operator: one at a time, and never by halves.

use std::{
    fs, io,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use sqe_core::{Error, Result};

use super::{OperatorFile, Protection, beside};

/// The right to change a file, held by one process at a time.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] fs::File);

impl OperatorFile {
    /// Waits until nobody else changes the file. The lock is a file of its own beside it, which stays: the file itself is
    /// replaced, and a lock on what was replaced keeps nobody out.
    ///
    /// # Errors
    /// `Unavailable` if there can be no lock there.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let unlockable = |error: io::Error| {
            Error::unavailable(format!("the {self} cannot be locked; is its folder there, and writable?"))
                .with_source(error)
        };
        let path = beside(&self.path, ".lock");
        let lock = self.options().create(true).truncate(false).open(path).map_err(unlockable)?;
        lock.lock().map_err(unlockable)?;
        Ok(Lock(lock))
    }

    /// Puts `text` into the place of the whole file, or makes it. Readers see all of the old or all of the new.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be written; it then is as it was.
    #[cfg_attr(not(any(feature = "api-tokens", test)), expect(dead_code, reason = "for files of tokens"))]
    pub(crate) fn replace(&self, text: &str, _: &Lock) -> Result<()> {
        // A link stays a link: what it points to is replaced.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let draft = Draft(beside(&target, &format!(".{}.tmp", std::process::id())));
        let write = || -> io::Result<()> {
            let _ = fs::remove_file(&draft.0);
            let mut file = self.options().create_new(true).open(&draft.0)?;
            keep_owner(&target, &draft.0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft.0, &target)?;
            sync_folder(&target)
        };
        write().map_err(|error| self.unwritable(error))
    }

    /// Adds a line to the end of the file, or makes it. It is durable when this returns.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be written.
    pub(crate) fn append(&self, line: &str, _: &Lock) -> Result<()> {
        let write = || -> io::Result<()> {
            let is_new = !self.path.exists();
            let mut file = self.options().read(true).create(true).truncate(false).open(&self.path)?;
            // Somebody's editor may have left the last line without an end.
            let mut text = String::with_capacity(line.len() + 2);
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    text.push('\n');
                }
            }
            text.push_str(line);
            text.push('\n');
            // One write: who reads meanwhile sees the line or not.
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            if is_new { sync_folder(&self.path) } else { Ok(()) }
        };
        write().map_err(|error| self.unwritable(error))
    }

    fn options(&self) -> fs::OpenOptions {
        let mut options = fs::OpenOptions::new();
        options.write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(
            &mut options,
            match self.protection {
                Protection::Private => 0o600,
                Protection::NotWritable => 0o644,
            },
        );
        options
    }

    fn unwritable(&self, error: io::Error) -> Error {
        Error::unavailable(format!("the {self} cannot be written")).with_source(error)
    }
}

/// A file that is removed when it is no longer needed, or when writing it failed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What an administrator replaces stays the server's to read.
#[cfg(unix)]
fn keep_owner(old: &Path, new: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};

    match fs::metadata(old) {
        Ok(old) => {
            let own = fs::metadata(new)?;
            let same = (own.uid(), own.gid()) == (old.uid(), old.gid());
            if same { Ok(()) } else { chown(new, Some(old.uid()), Some(old.gid())) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// A new name is durable when its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
