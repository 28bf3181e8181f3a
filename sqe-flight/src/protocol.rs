//! Messages and names of the Flight protocol that `arrow-flight` 58 lacks.
//!
//! Source: `format/Flight.proto` of Apache Arrow, "Session management" ("EXPERIMENTAL" there): field numbers and types
//! as in that file.

use std::collections::HashMap;

/// Action `CreatePreparedStatement`.
pub const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";
/// Action `ClosePreparedStatement`.
pub const CLOSE_PREPARED_STATEMENT: &str = "ClosePreparedStatement";
/// Action `CancelFlightInfo`.
pub const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
/// Action `CancelQuery`, the deprecated form of [`CANCEL_FLIGHT_INFO`].
pub const CANCEL_QUERY: &str = "CancelQuery";
/// Action `SetSessionOptions`.
pub const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// Action `GetSessionOptions`.
pub const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// Action `CloseSession`.
pub const CLOSE_SESSION: &str = "CloseSession";

/// The value of a session option. Without a value it unsets the option.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionOptionValue {
    /// The value.
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub option_value: Option<OptionValue>,
}

/// The kinds of value of a session option.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OptionValue {
    /// Text.
    #[prost(string, tag = "1")]
    String(String),
    /// `true` or `false`.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// An integer.
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    /// A floating point number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// Several texts.
    #[prost(message, tag = "5")]
    StringList(StringListValue),
}

/// Several texts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringListValue {
    /// The texts.
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// Request of [`SET_SESSION_OPTIONS`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetSessionOptionsRequest {
    /// Options by name.
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// Why an option was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OptionErrorValue {
    /// Not used.
    Unspecified = 0,
    /// There is no option of this name.
    InvalidName = 1,
    /// The option cannot have this value.
    InvalidValue = 2,
    /// The option cannot be set.
    Error = 3,
}

/// An option that was not set.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OptionError {
    /// Why.
    #[prost(enumeration = "OptionErrorValue", tag = "1")]
    pub value: i32,
}

/// Answer of [`SET_SESSION_OPTIONS`]: only the options that were not set.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetSessionOptionsResult {
    /// Errors by option name.
    #[prost(map = "string, message", tag = "1")]
    pub errors: HashMap<String, OptionError>,
}

/// Request of [`GET_SESSION_OPTIONS`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetSessionOptionsRequest {}

/// Answer of [`GET_SESSION_OPTIONS`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetSessionOptionsResult {
    /// Options by name.
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// Request of [`CLOSE_SESSION`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseSessionRequest {}

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CloseStatus {
    /// Not used.
    Unspecified = 0,
    /// It is closed.
    Closed = 1,
    /// It is being closed.
    Closing = 2,
    /// It cannot be closed.
    NotCloseable = 3,
}

/// Answer of [`CLOSE_SESSION`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseSessionResult {
    /// What became of it.
    #[prost(enumeration = "CloseStatus", tag = "1")]
    pub status: i32,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_catalog_option_has_the_bytes_that_other_implementations_write() {
        let value = SessionOptionValue { option_value: Some(OptionValue::String("lake".into())) };
        let request = SetSessionOptionsRequest { session_options: HashMap::from([("catalog".to_owned(), value)]) };
        // field 1 (map entry): { field 1: "catalog", field 2: { field 1: "lake" } }
        let expected = [&[0x0a, 17, 0x0a, 7][..], b"catalog", &[0x12, 6, 0x0a, 4], b"lake"].concat();
        assert_eq!(request.encode_to_vec(), expected);
        assert_eq!(SetSessionOptionsRequest::decode(&*expected).unwrap(), request);
    }

    #[test]
    fn every_kind_of_value_survives_the_wire() {
        for value in [
            OptionValue::String("x".into()),
            OptionValue::Bool(true),
            OptionValue::Int64(-7),
            OptionValue::Double(0.5),
            OptionValue::StringList(StringListValue { values: vec!["a".into(), "b".into()] }),
        ] {
            let value = SessionOptionValue { option_value: Some(value) };
            assert_eq!(SessionOptionValue::decode(&*value.encode_to_vec()).unwrap(), value);
        }
        let unset = SessionOptionValue { option_value: None };
        assert!(unset.encode_to_vec().is_empty());
    }

    #[test]
    fn an_integer_is_fixed_width() {
        let value = SessionOptionValue { option_value: Some(OptionValue::Int64(1)) };
        assert_eq!(value.encode_to_vec(), [0x19, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn close_result_carries_its_status() {
        let result = CloseSessionResult { status: CloseStatus::Closed.into() };
        assert_eq!(result.encode_to_vec(), [0x08, 1]);
    }
}
