//! Which trace something belongs to: W3C Trace Context (<https://www.w3.org/TR/trace-context/>).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Error, Result};

/// The length of a version 00 `traceparent`, in bytes.
const LENGTH: usize = 55;

/// The longest header of a later version that is looked at, in bytes.
const LONGEST: usize = 256;

/// The id of a trace: 16 bytes that are not all zero. Written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// A new id.
    #[must_use]
    pub fn random() -> Self {
        // Those who keep a part of all traces choose it by the last bytes, so these have to be random; of a random UUID
        // the bytes 6 and 8 are not wholly.
        let [a, b, c, d, e, f, _, _, _, i, j, k, l, m, n, o] = Uuid::new_v4().into_bytes();
        let [x, y, z, ..] = Uuid::new_v4().into_bytes();
        Self([a, b, c, d, e, f, x, y, z, i, j, k, l, m, n, o])
    }

    /// The bytes, as protocols carry them.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// The id of one span of a trace: 8 bytes that are not all zero. Written as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// A new id.
    #[must_use]
    pub fn random() -> Self {
        let [a, .., i, j, k, l, m, n, o] = Uuid::new_v4().into_bytes();
        Self([a, i, j, k, l, m, n, o])
    }

    /// The bytes, as protocols carry them.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

/// A place in a trace: a span, and what its trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that what happens now belongs to.
    pub span: SpanId,
    /// Whether whoever began the trace keeps it. `None`: nobody has decided yet.
    pub sampled: Option<bool>,
}

impl TraceContext {
    /// The first span of a new trace.
    #[must_use]
    pub fn random() -> Self {
        Self { trace: TraceId::random(), span: SpanId::random(), sampled: None }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: SpanId::random(), ..*self }
    }

    /// Reads the value of a `traceparent` header (Trace Context, section 3.2). Whoever sends something else takes part in
    /// no trace: that is no error of theirs, and no reason to refuse anything.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        if header.len() < LENGTH || header.len() > LONGEST {
            return None;
        }
        let mut parts = header.splitn(5, '-');
        let version = hex::<1>(parts.next()?)?;
        let trace = TraceId(hex(parts.next()?).filter(|bytes| *bytes != [0; 16])?);
        let span = SpanId(hex(parts.next()?).filter(|bytes| *bytes != [0; 8])?);
        let [flags] = hex::<1>(parts.next()?)?;
        match version {
            [0xff] => return None,
            // Later versions may have more parts, of which nothing is known.
            [0] if parts.next().is_some() => return None,
            _ => {}
        }
        Some(Self { trace, span, sampled: Some(flags & 1 == 1) })
    }
}

impl fmt::Display for TraceContext {
    /// The value of a `traceparent` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled == Some(true)))
    }
}

/// Exactly so many bytes in lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (into, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *into = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = hex(text).filter(|bytes| *bytes != [0; 16]);
        bytes.map(Self).ok_or_else(|| Error::invalid("a trace id has 32 lower-case hexadecimal digits, not all 0"))
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_header_is_read_and_written_back() {
        let header = format!("00-{TRACE}-{SPAN}-01");
        let context = TraceContext::from_traceparent(&header).unwrap();
        assert_eq!((context.trace.to_string().as_str(), context.span.to_string().as_str()), (TRACE, SPAN));
        assert_eq!(context.sampled, Some(true));
        assert_eq!(context.to_string(), header);
        // Of the flags only the first is known.
        let context = TraceContext::from_traceparent(&format!("00-{TRACE}-{SPAN}-fe")).unwrap();
        assert_eq!(context.sampled, Some(false));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let header = format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like");
        assert!(TraceContext::from_traceparent(&header).is_some());
        assert!(TraceContext::from_traceparent(&format!("cc-{TRACE}-{SPAN}-01")).is_some());
        let endless = format!("cc-{TRACE}-{SPAN}-01-{}", "x".repeat(1 << 20));
        assert!(TraceContext::from_traceparent(&endless).is_none());
    }

    #[rstest]
    #[case::nothing("")]
    #[case::the_version_that_never_is("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case::more_than_version_00_has("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")]
    #[case::a_trace_of_zeros("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    #[case::a_span_of_zeros("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")]
    #[case::upper_case("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")]
    #[case::too_short("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01")]
    #[case::without_flags("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-")]
    #[case::letters_of_two_bytes("00-4bf92f3577b34da6a3ce929d0e0e47ää-00f067aa0ba902b7-01")]
    #[case::separated_otherwise("00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01")]
    fn anything_else_is_no_trace(#[case] header: &str) {
        assert!(TraceContext::from_traceparent(header).is_none(), "{header}");
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let context = TraceContext::random();
        let child = context.child();
        assert_eq!(child.trace, context.trace);
        assert_ne!(child.span, context.span);
        assert_ne!(TraceContext::random().trace, context.trace);
    }

    #[test]
    fn an_id_survives_json_and_a_wrong_one_is_refused() {
        let id = TraceId::random();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<TraceId>(&json).unwrap(), id);
        for wrong in ["\"\"", "\"x\"", "7", &format!("\"{}\"", "0".repeat(32))] {
            assert!(serde_json::from_str::<TraceId>(wrong).is_err(), "{wrong}");
        }
    }
}
