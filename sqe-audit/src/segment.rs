//! Segment files: their names, and reading them line by line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use sqe_core::{Error, Result};

/// Longer lines are not read into memory: no writer makes them.
pub(crate) const LINE_LIMIT: u64 = 256 << 20;

const SUFFIX: &str = ".jsonl";

/// One segment file, named after the sequence number of its first record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
}

impl Segment {
    pub(crate) fn new(dir: &Path, first: u64) -> Self {
        Self { first, path: dir.join(format!("{first:020}{SUFFIX}")) }
    }

    /// The file's name without its folder.
    pub(crate) fn name(&self) -> String {
        format!("{:020}{SUFFIX}", self.first)
    }

    /// All segments of a folder, in order. Other files do not count.
    pub(crate) fn list(dir: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let first = digits.and_then(|digits| digits.parse().ok()).map(|first| Self::new(dir, first));
            // A name that is not spelled as `new` spells it is somebody's copy, not a segment.
            found.extend(first.filter(|segment| segment.path.file_name() == Some(&name)));
        }
        found.sort();
        Ok(found)
    }

    pub(crate) fn lines(&self) -> io::Result<Lines> {
        Lines::open(&self.path, u64::MAX)
    }
}

/// The error of a file that cannot be read or written.
pub(crate) fn io_error(what: &str, path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("{what} {}: {error}", path.display())).with_source(error)
}

pub(crate) fn list(dir: &Path) -> Result<Vec<Segment>> {
    Segment::list(dir).map_err(|error| io_error("cannot list the audit trail's folder", dir, error))
}

/// `len` bytes of a file from `start` on.
pub(crate) fn bytes(path: &Path, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file's lines and where they begin.
#[derive(Debug)]
pub(crate) struct Lines {
    reader: BufReader<io::Take<File>>,
    offset: u64,
    next: u64,
    line: Vec<u8>,
}

/// What a step of [`Lines`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A line with its line feed.
    Line,
    /// Bytes without a line feed at the end.
    Unfinished,
    /// Nothing more.
    End,
}

impl Lines {
    /// The lines among the first `len` bytes.
    pub(crate) fn open(path: &Path, len: u64) -> io::Result<Self> {
        let reader = BufReader::with_capacity(64 << 10, File::open(path)?.take(len));
        Ok(Self { reader, offset: 0, next: 0, line: Vec::new() })
    }

    /// The lines that begin at `offset`, among the first `len` bytes.
    pub(crate) fn open_at(path: &Path, offset: u64, len: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let reader = BufReader::with_capacity(64 << 10, file.take(len.saturating_sub(offset)));
        Ok(Self { reader, offset, next: offset, line: Vec::new() })
    }

    /// The one line that begins at `offset`.
    pub(crate) fn at(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut lines = Self { reader: BufReader::new(file.take(LINE_LIMIT)), offset, next: offset, line: Vec::new() };
        match lines.step()? {
            Step::Line => Ok(lines.line),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no whole line there")),
        }
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        self.line.clear();
        self.offset = self.next;
        let read = (&mut self.reader).take(LINE_LIMIT).read_until(b'\n', &mut self.line)?;
        self.next += u64::try_from(read).unwrap_or(u64::MAX);
        if read == 0 {
            return Ok(Step::End);
        }
        Ok(if self.line.pop_if(|byte| *byte == b'\n').is_some() { Step::Line } else { Step::Unfinished })
    }

    /// The current line, without its line feed.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Where the current line begins, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }
}
