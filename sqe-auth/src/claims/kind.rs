//! Marks of what is not an access token.

use serde_json::Value;

use crate::rejection::Rejection;

/// Rejects what has a mark of another kind of token; they are listed at [`TokenType`](crate::TokenType).
pub(crate) fn check_is_access(claims: &Value) -> Result<(), Rejection> {
    let marks: &[&'static str] = match claims.get("typ") {
        Some(Value::String(typ)) if typ == "Bearer" => &["at_hash", "c_hash", "s_hash", "events"],
        Some(_) => return Err(Rejection::NotAccess("typ")),
        None => &["at_hash", "c_hash", "s_hash", "events", "nonce"],
    };
    if let Some(mark) = marks.iter().find(|mark| claims.get(**mark).is_some()) {
        return Err(Rejection::NotAccess(mark));
    }
    match claims.get("token_use") {
        None => Ok(()),
        Some(usage) if usage == "access" || usage == "access_token" => Ok(()),
        Some(_) => Err(Rejection::NotAccess("token_use")),
    }
}
