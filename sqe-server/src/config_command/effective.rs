//! Each value that is in force, and where it comes from.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::config::Layers;

/// What stands in place of a secret.
const REDACTED: &str = "redacted";

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Setting {
    /// The full name, as in `server.listen` or `identity.0.issuer`.
    pub(super) key: String,
    /// The value; null if there is none, which its key's description explains.
    pub(super) value: Value,
    #[serde(flatten)]
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub(super) enum Source {
    File,
    Variable { variable: String },
    Default,
}

/// All of them, in the order of the sections.
pub(super) fn settings(layers: &Layers) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let file = serde_json::to_value(&layers.file)?;
    collect(&serde_json::to_value(&layers.config)?, String::new(), &mut |key, value| {
        let source = source(layers, &file, &key);
        settings.push(Setting { value: without_secrets(&key, value), key, source });
    });
    Ok(settings)
}

fn collect(value: &Value, key: String, take: &mut impl FnMut(String, Value)) {
    let under = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| collect(inner, under(name), take)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(index, inner)| collect(inner, under(&index.to_string()), take));
        }
        other => take(key, other.clone()),
    }
}

fn source(layers: &Layers, file: &Value, key: &str) -> Source {
    // A variable may have set a whole list, or a part of what it was set in.
    let set = |name: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    if let Some((_, variable)) = layers.variables.iter().find(|(name, _)| set(name)) {
        return Source::Variable { variable: variable.clone() };
    }
    let pointer = format!("/{}", key.replace('.', "/"));
    if file.pointer(&pointer).is_some() { Source::File } else { Source::Default }
}

/// A value as anybody may see it. Secrets stand in files of their own, so there should be nothing to hide; addresses can
/// hold some all the same.
fn without_secrets(key: &str, value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    if let Ok(mut url) = Url::parse(text)
        && url.has_host()
    {
        let hidden = url.password().is_some() && url.set_password(Some(REDACTED)).is_ok();
        let asked = url.query().is_some();
        if asked {
            url.set_query(Some(REDACTED));
        }
        return if hidden || asked { Value::String(url.to_string()) } else { value };
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    let secret = ["password", "secret", "token"].iter().any(|word| name.contains(word)) && !name.ends_with("_file");
    if secret { Value::String(REDACTED.to_owned()) } else { value }
}

/// For people: one value a line.
pub(super) fn table(settings: &[Setting]) -> String {
    let written = |setting: &Setting| match &setting.value {
        Value::Null => "(unset)".to_owned(),
        value => value.to_string(),
    };
    let width = |of: &dyn Fn(&Setting) -> usize| settings.iter().map(of).max().unwrap_or(0);
    let (keys, values) = (width(&|it| it.key.len()), width(&|it| written(it).chars().count()).min(60));
    let mut text = String::new();
    for setting in settings {
        let source = match &setting.source {
            Source::File => "file",
            Source::Variable { variable } => variable,
            Source::Default => "default",
        };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{:keys$} = {:values$}  # {source}", setting.key, written(setting));
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("catalogs.lake.uri", "postgres://me:canary@db.example/x", "postgres://me:redacted@db.example/x")]
    #[case("identity.0.jwks_url", "https://idp.example/jwks?key=canary", "https://idp.example/jwks?redacted")]
    #[case("identity.0.client_secret", "canary", "redacted")]
    #[case("catalogs.lake.password", "canary", "redacted")]
    #[case("identity.0.client_secret_file", "/run/secrets/idp", "/run/secrets/idp")]
    #[case("identity.0.issuer", "https://idp.example", "https://idp.example")]
    #[case("server.listen", "127.0.0.1:1", "127.0.0.1:1")]
    fn secrets_are_not_shown(#[case] key: &str, #[case] value: &str, #[case] shown: &str) {
        assert_eq!(without_secrets(key, json!(value)), json!(shown));
    }

    #[test]
    fn lists_of_values_stay_together_and_lists_of_sections_do_not() {
        let mut keys = Vec::new();
        let tree = json!({"identity": [{"issuer": "i", "attributes": ["a", "b"]}], "limits": {"memory": null}});
        collect(&tree, String::new(), &mut |key, value| keys.push((key, value)));
        let expected = [
            ("identity.0.issuer".to_owned(), json!("i")),
            ("identity.0.attributes".to_owned(), json!(["a", "b"])),
            ("limits.memory".to_owned(), json!(null)),
        ];
        assert_eq!(keys.len(), 3);
        assert!(expected.iter().all(|it| keys.contains(it)), "{keys:?}");
    }
}
