//! The terminal: its size, and the pager for what does not fit it.

use std::{
    io::{self, IsTerminal, Write},
    process::{Child, ChildStdin, Command, Stdio},
};

use unicode_width::UnicodeWidthStr;

use crate::surroundings::variable;

/// The pager of whoever names none: lines are cut and can be moved sideways, colours pass, what fits is not paged, and
/// what was shown stays.
const PAGER: &str = "less -SRFX";
/// As much is held back to see whether it fits.
const HELD_BYTES: usize = 1 << 20;

/// Columns and lines of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// The size of the terminal behind standard output. `None`: it is no terminal.
pub(super) fn size() -> Option<Size> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let (columns, lines) = told.map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()));
    // A terminal that does not know is one of the classical size.
    let or = |size: usize, usual: usize| if size == 0 { usual } else { size };
    Some(Size { columns: or(columns, 80), lines: or(lines, 24) })
}

/// The pager that the person wants: `$PAGER`, else `less`. `None`: none.
pub(super) fn pager() -> Option<String> {
    let wanted = variable("PAGER").unwrap_or_else(|| PAGER.to_owned());
    Some(wanted).filter(|wanted| !wanted.trim().is_empty() && wanted.trim() != "cat")
}

/// Standard output, if it is a terminal: what fits goes there at its end, what does not goes through the pager as it
/// comes.
pub(super) struct Paged {
    size: Size,
    pager: Option<String>,
    held: Vec<u8>,
    /// Whole lines of the terminal that were held back, and how wide the line is that has begun.
    lines: usize,
    begun: usize,
    to: To,
}

enum To {
    Undecided,
    Terminal,
    Pager(Child, ChildStdin),
}

impl Paged {
    pub(super) fn new(size: Size, pager: Option<String>) -> Self {
        let to = if pager.is_some() { To::Undecided } else { To::Terminal };
        Self { size, pager, held: Vec::new(), lines: 0, begun: 0, to }
    }

    /// Shows what was held back, and waits until the person leaves the pager.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush_held()?;
        match self.to {
            To::Pager(mut pager, pipe) => {
                drop(pipe);
                pager.wait().map(|_| ())
            }
            To::Undecided | To::Terminal => io::stdout().flush(),
        }
    }

    fn flush_held(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        match &mut self.to {
            To::Pager(_, pipe) => pipe.write_all(&held),
            To::Undecided | To::Terminal => io::stdout().write_all(&held),
        }
    }

    fn decide(&mut self) -> io::Result<()> {
        self.to = match self.pager.as_ref().and_then(|pager| start(pager)) {
            Some((child, pipe)) => To::Pager(child, pipe),
            // Without a pager the answer is worth more than the complaint.
            None => To::Terminal,
        };
        self.flush_held()
    }

    /// Counts the lines of the terminal that these bytes take.
    fn measure(&mut self, bytes: &[u8]) {
        for piece in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            self.begun += piece.trim_end_matches('\n').width();
            if piece.ends_with('\n') {
                self.lines += self.begun.div_ceil(self.size.columns).max(1);
                self.begun = 0;
            }
        }
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Terminal => io::stdout().write(bytes),
            To::Pager(_, pipe) => pipe.write(bytes),
            To::Undecided => {
                self.measure(bytes);
                self.held.extend_from_slice(bytes);
                // One line is left for the prompt.
                if self.lines + self.begun / self.size.columns >= self.size.lines || self.held.len() > HELD_BYTES {
                    self.decide()?;
                }
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Undecided => Ok(()),
            To::Terminal => io::stdout().flush(),
            To::Pager(_, pipe) => pipe.flush(),
        }
    }
}

fn start(pager: &str) -> Option<(Child, ChildStdin)> {
    let mut child = Command::new("sh").args(["-c", pager]).stdin(Stdio::piped()).spawn().ok()?;
    let pipe = child.stdin.take()?;
    Some((child, pipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_the_terminal_shows_them_however_they_are_written() {
        let measured = |pieces: &[&str]| {
            let mut paged = Paged::new(Size { columns: 10, lines: 5 }, Some("true".to_owned()));
            pieces.iter().for_each(|piece| paged.measure(piece.as_bytes()));
            (paged.lines, paged.begun)
        };
        assert_eq!(measured(&["a\nb\n"]), (2, 0));
        assert_eq!(measured(&["a", "b", "\n", "\n"]), (2, 0));
        assert_eq!(measured(&["eleven char", "s\n", "open"]), (2, 4));
        assert_eq!(measured(&["漢字漢字漢字\n"]), (2, 0));
    }
}
