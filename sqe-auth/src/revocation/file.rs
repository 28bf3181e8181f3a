//! The file of withdrawn rights: a line of JSON each.

use std::path::PathBuf;

use chrono::Utc;
use sqe_core::{Error, Result};

use super::{entry::Revocation, list::List};
use crate::operator_file::{OperatorFile, Protection, Stamp};

/// The most withdrawn rights that are remembered at once.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// The file that [`Revocations`](super::Revocations) reads: withdrawn rights, a line of JSON each. Everything here blocks
/// on the file system.
#[derive(Debug, Clone)]
pub struct RevocationFile(pub(super) OperatorFile);

impl RevocationFile {
    /// The file at `path`, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let (what, protection) = ("revocation file", Protection::NotWritable);
        Self(OperatorFile { path: path.into(), what, protection, max_bytes: 64 << 20 })
    }

    /// Adds one to the end of the file, or makes it. It is durable when this returns. A server that watches the file
    /// finds it by itself.
    ///
    /// # Errors
    /// `InvalidInput` if it could not be read again, `Unavailable` if the file cannot be written.
    pub fn append(&self, revocation: &Revocation) -> Result<()> {
        revocation.check().map_err(|problem| Error::invalid(format!("this cannot be revoked: {problem}")))?;
        let line = serde_json::to_string(revocation)
            .map_err(|error| Error::internal("a revocation cannot be written down").with_source(error))?;
        let lock = self.0.lock()?;
        self.0.append(&line, &lock)
    }

    /// Makes the file if it is not there, so that a server can start with it.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be made.
    pub fn create(&self) -> Result<()> {
        let lock = self.0.lock()?;
        if self.0.stamp().is_some() { Ok(()) } else { self.0.append("", &lock) }
    }

    pub(super) fn read(&self) -> Result<(List, Stamp)> {
        let (text, stamp) = self.0.read()?;
        Ok((parse(&self.0, &text)?, stamp))
    }
}

/// Reads the lines of a file. It is taken as a whole: one wrong line is an error, for nobody knows whom it names.
pub(super) fn parse(file: &OperatorFile, text: &str) -> Result<List> {
    let (mut list, now) = (List::default(), Utc::now());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", number + 1);
        let entry: Revocation = serde_json::from_str(line).map_err(|error| file.wrong(&place, error))?;
        entry.check().map_err(|problem| file.wrong(&place, problem))?;
        list.add(&entry, now);
        if list.len() > MAX_ENTRIES {
            return Err(file.wrong(&place, format!("there are more than {MAX_ENTRIES}; remove those that are over")));
        }
    }
    Ok(list)
}

/// Reads a file of any text.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &str) {
    let RevocationFile(file) = RevocationFile::at("fuzz");
    let identity = sqe_core::Identity::new(sqe_core::Principal::new("https://idp.example", "alice"));
    if let Ok(list) = parse(&file, text) {
        let _ = list.covers(&identity);
    }
}
