//! Text for people's eyes. What a terminal would obey, or what would make text look like something else, is written out:
//! data must not be able to move the cursor, change colours, or hide itself.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// The text with every control written out as in JSON: `\n`, `\t`, `\u001b`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// The same, and lines stay lines.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hidden(c))
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn escape(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // RFC 8259, section 7: characters beyond the first plane are two of these.
        c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
    }
}

/// Controls of terminals (C0, DEL, C1), of the direction of writing, and characters that take no place at all. Joiners
/// and variation selectors stay: people's own scripts need them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Lets nothing but visible text and line ends through, whatever is written: for formats of programs that a person looks
/// at on a terminal. In JSON the escapes mean what they replace.
pub(crate) struct OnlyVisible<W: Write> {
    to: W,
    /// The beginning of a character whose end is still to come.
    begun: Vec<u8>,
}

impl<W: Write> OnlyVisible<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, begun: Vec::new() }
    }
}

impl<W: Write> Write for OnlyVisible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Ok(text) => text.len(),
            // A character that is cut off waits for its end; what is no text at all does not.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = String::from_utf8_lossy(&self.begun);
        self.to.write_all(visible_lines(&text).as_bytes())?;
        self.begun = rest;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain ü 漢 👩‍👩‍👧", "plain ü 漢 👩‍👩‍👧")]
    #[case("\u{1b}]0;owned\u{7}", "\\u001b]0;owned\\u0007")]
    #[case("a\r\nb\tc", "a\\r\\nb\\tc")]
    #[case("\u{9b}31m\u{7f}", "\\u009b31m\\u007f")]
    #[case("user\u{202e}gpj.exe", "user\\u202egpj.exe")]
    #[case("\u{e0041}", "\\udb40\\udc41")]
    fn what_a_terminal_would_obey_is_written_out(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(visible(text), shown);
    }

    #[test]
    fn characters_may_be_cut_between_two_writes() {
        let mut to = Vec::new();
        let mut writer = OnlyVisible::new(&mut to);
        for byte in "é\u{1b}[2J\u{9b}漢\n".bytes() {
            writer.write_all(&[byte]).unwrap();
        }
        assert_eq!(String::from_utf8(to).unwrap(), "é\\u001b[2J\\u009b漢\n");
    }

    #[test]
    fn escapes_in_json_mean_what_they_replace() {
        let text = "a\u{9b}b\u{e0041}\u{202e}";
        let json = serde_json::to_string(text).unwrap();
        let shown = visible_lines(&json).into_owned();
        assert!(!shown.contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
