//! From a document to a value in it (RFC 8259), without recursion: a document can nest as deep as it is long.

/// A step into a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The member of this name; the first, if there are several.
    Key(&'a str),
    /// The element at this position, from 0.
    Index(usize),
}

/// The text of the value at the end of a path.
pub(super) fn find<'a>(json: &'a str, path: &[Step<'_>]) -> Option<&'a str> {
    let mut walk = Walk::new(json);
    walk.space();
    for step in path {
        walk.enter(*step)?;
    }
    walk.value()
}

/// The elements of an array.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    let mut walk = Walk::new(json);
    let mut elements = Vec::new();
    let mut more = walk.open(b'[', b']')?;
    while more {
        elements.push(walk.value()?);
        more = walk.next(b']')?;
    }
    Some(elements)
}

/// The names of the members of an object, as they are written, with their quotes.
pub(super) fn keys(json: &str) -> Option<Vec<&str>> {
    let mut walk = Walk::new(json);
    let mut keys = Vec::new();
    let mut more = walk.open(b'{', b'}')?;
    while more {
        keys.push(walk.key()?);
        walk.value()?;
        more = walk.next(b'}')?;
    }
    Some(keys)
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes a byte, and the space behind it.
    fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek() != Some(byte) {
            return None;
        }
        self.at += 1;
        self.space();
        Some(())
    }

    /// Enters an array or an object; says whether there is something in it.
    fn open(&mut self, open: u8, close: u8) -> Option<bool> {
        self.space();
        self.take(open)?;
        Some(self.peek() != Some(close))
    }

    /// Goes on behind a value; says whether another one follows.
    fn next(&mut self, close: u8) -> Option<bool> {
        if self.take(b',').is_some() {
            return Some(true);
        }
        (self.peek() == Some(close)).then_some(false)
    }

    fn enter(&mut self, step: Step<'_>) -> Option<()> {
        match step {
            Step::Key(wanted) => {
                let mut more = self.open(b'{', b'}')?;
                while more {
                    if is_key(self.key()?, wanted) {
                        return Some(());
                    }
                    self.value()?;
                    more = self.next(b'}')?;
                }
                None
            }
            Step::Index(index) => {
                let mut more = self.open(b'[', b']')?;
                for _ in 0..index {
                    if !more {
                        return None;
                    }
                    self.value()?;
                    more = self.next(b']')?;
                }
                more.then_some(())
            }
        }
    }

    /// The name of a member, as it is written; goes on to its value.
    fn key(&mut self) -> Option<&'a str> {
        let begin = self.at;
        self.string()?;
        let key = self.text.get(begin..self.at)?;
        self.space();
        self.take(b':')?;
        Some(key)
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<()> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// The text of a value; goes on behind it and the space that follows. Of what is inside only strings and brackets are looked
    /// at: whoever wants a value reads it.
    fn value(&mut self) -> Option<&'a str> {
        let begin = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => self.at += 1,
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => self.word(),
                _ => return None,
            }
            if depth == 0 {
                break;
            }
        }
        let value = self.text.get(begin..self.at);
        self.space();
        value
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
            self.at += 1;
        }
    }
}

fn is_key(written: &str, wanted: &str) -> bool {
    if written.contains('\\') {
        return string(written).is_some_and(|key| key == wanted);
    }
    written.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(wanted)
}

/// What a string says.
pub(super) fn string(written: &str) -> Option<String> {
    serde_json::from_str(written).ok()
}
