//! Where answers go.

use std::{
    fs::File,
    io::{self, BufWriter, Stdout, Write},
    path::Path,
};

use super::screen::{self, Paged};
use crate::exit::UsageError;

/// One answer's way out.
pub(super) enum Sink {
    /// A terminal, perhaps through a pager.
    Screen(Paged),
    /// Standard output that is no terminal.
    Pipe(BufWriter<Stdout>),
    /// What `\o` named.
    File(BufWriter<File>),
}

impl Sink {
    /// Into the file, if there is one; else to standard output.
    ///
    /// # Errors
    /// The file cannot be shared with the next answer.
    pub(super) fn open(file: Option<&File>, paged: bool) -> io::Result<Self> {
        if let Some(file) = file {
            return Ok(Self::File(BufWriter::new(file.try_clone()?)));
        }
        Ok(match screen::size() {
            Some(size) => Self::Screen(Paged::new(size, screen::pager().filter(|_| paged))),
            None => Self::Pipe(BufWriter::with_capacity(64 << 10, io::stdout())),
        })
    }

    pub(super) fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    /// Sees everything off.
    ///
    /// # Errors
    /// Nobody takes it any more.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Screen(paged) => paged.finish(),
            Self::Pipe(mut to) => to.flush(),
            Self::File(mut to) => to.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Screen(to) => to.write(bytes),
            Self::Pipe(to) => to.write(bytes),
            Self::File(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Screen(to) => to.flush(),
            Self::Pipe(to) => to.flush(),
            Self::File(to) => to.flush(),
        }
    }
}

/// Makes the file that `\o` names.
///
/// # Errors
/// It cannot be written.
pub(super) fn create(path: &Path) -> Result<File, UsageError> {
    File::create(path).map_err(|error| UsageError(format!("cannot write {}: {error}", path.display())))
}

/// Whether whoever read the answer left: a pager that was quit, `head`.
pub(super) fn is_left(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}
