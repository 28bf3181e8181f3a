//! What each key means, as a chapter of the book: made of the schema, which is made of the code's own descriptions.

use std::fmt::Write as _;

use schemars::Schema;
use serde_json::{Map, Value};

const BEGINNING: &str = "# Configuration reference

<!-- Made by `sqe config reference`; a test compares. Change the descriptions in the code. -->

One TOML file. Relative paths in it are relative to the file. Each key can be set by a variable `SQE__SECTION__KEY`, which
wins over the file: `SQE__SERVER__LISTEN`, `SQE__CATALOGS__LAKE__PATH`, `SQE__IDENTITY__0__ISSUER`. An unknown key is refused.
Secrets stand in files, which keys name that end in `_file`.

`sqe config check --config FILE --effective` shows the values in force and where each comes from; `sqe config schema` prints
this page for editors.
";

/// The chapter.
pub(super) fn markdown(schema: &Schema) -> String {
    let root = schema.as_value();
    let mut page = Page { root, text: BEGINNING.to_owned() };
    for (name, section) in members(root) {
        page.section(name, section, is_required(root, name));
    }
    page.text
}

struct Page<'a> {
    root: &'a Value,
    text: String,
}

impl<'a> Page<'a> {
    fn line(&mut self, line: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// A section and those in it. `name` is its full name.
    fn section(&mut self, name: &str, given: &'a Value, required: bool) {
        let described = self.resolve(given);
        let (heading, described) = match (described.get("items"), described.get("additionalProperties")) {
            (Some(items), _) => (format!("[[{name}]]"), self.resolve(items)),
            (None, Some(inner)) if is_section(self.resolve(inner)) => (format!("[{name}.NAME]"), self.resolve(inner)),
            _ => (format!("[{name}]"), described),
        };
        self.line(&format!("\n## `{heading}`\n"));
        let words = text(given, "description").unwrap_or_default();
        let need = if required { "Required." } else { "Optional." };
        self.line(format!("{} {need}", one_line(words)).trim_start());
        match described.get("oneOf").and_then(Value::as_array) {
            Some(kinds) => kinds.iter().for_each(|kind| self.kind(kind, &heading)),
            None => self.keys(described),
        }
        self.inner(name, described);
    }

    /// One of several forms of a section, told apart by `kind`.
    fn kind(&mut self, kind: &'a Value, section: &str) {
        let name = kind.pointer("/properties/kind/const").and_then(Value::as_str).unwrap_or_default();
        self.line(&format!("\n### `{section} kind = \"{name}\"`\n"));
        self.line(&one_line(text(kind, "description").unwrap_or_default()));
        // A kind with a type of its own refers to it.
        let described = if kind.get("$ref").is_some() { self.resolve(kind) } else { kind };
        self.keys(described);
        let section = section.trim_matches(['[', ']']).to_owned();
        self.inner(&section, described);
    }

    fn inner(&mut self, name: &str, described: &'a Value) {
        for (key, inner) in members(described) {
            if is_section(self.resolve(inner)) {
                self.section(&format!("{name}.{key}"), inner, is_required(described, key));
            }
        }
    }

    fn keys(&mut self, described: &'a Value) {
        let shown = |(name, key): &(&String, &Value)| *name != "kind" && !is_section(self.resolve(key));
        let keys: Vec<_> = members(described).filter(shown).collect();
        if keys.is_empty() {
            return;
        }
        self.line("\n| key | value | default | |\n|---|---|---|---|");
        for (name, key) in keys {
            let default = match key.get("default") {
                Some(Value::Null) | None if is_required(described, name) => "*required*".to_owned(),
                Some(Value::Null) | None => String::new(),
                Some(default) => format!("`{default}`"),
            };
            let resolved = self.resolve(key);
            let words =
                one_line(text(key, "description").or_else(|| text(resolved, "description")).unwrap_or_default());
            let choices = choices(resolved);
            let line = format!("| `{name}` | {} | {default} | {words}{choices} |", kind_of(resolved));
            self.line(&line);
        }
    }

    /// What a description stands for: without references, and without the possibility of nothing.
    fn resolve(&self, described: &'a Value) -> &'a Value {
        let mut described = described;
        loop {
            let next = match (text(described, "$ref"), described.get("anyOf").and_then(Value::as_array)) {
                (Some(reference), _) => self.root.pointer(reference.trim_start_matches('#')),
                (None, Some(either)) => either.iter().find(|one| text(one, "type") != Some("null")),
                (None, None) => None,
            };
            match next {
                Some(next) => described = next,
                None => return described,
            }
        }
    }
}

/// Whether something is written with keys of its own.
fn is_section(described: &Value) -> bool {
    let object = |one: &Value| text(one, "type") == Some("object");
    let several = described.get("oneOf").and_then(Value::as_array);
    object(described)
        || several.is_some_and(|kinds| kinds.iter().all(object))
        || described.get("items").is_some_and(|items| items.get("$ref").is_some())
}

fn members(described: &Value) -> impl Iterator<Item = (&String, &Value)> {
    described.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn is_required(described: &Value, key: &str) -> bool {
    let required = described.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|name| name == key))
}

fn text<'a>(described: &'a Value, member: &str) -> Option<&'a str> {
    described.get(member)?.as_str()
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What kind of value a key has, for people.
fn kind_of(described: &Value) -> &'static str {
    let named = |name: &Value| match name.as_str() {
        Some("integer" | "number") => "number",
        Some("boolean") => "true or false",
        Some("array") => "list",
        _ => "text",
    };
    match described.get("type") {
        // Or nothing.
        Some(Value::Array(names)) => names.iter().find(|name| *name != "null").map_or("text", named),
        Some(name) => named(name),
        None => "text",
    }
}

/// The words that a key accepts, if it accepts only some.
fn choices(described: &Value) -> String {
    let Some(several) = described.get("oneOf").and_then(Value::as_array) else { return String::new() };
    let choice = |one: &Value| {
        let word = text(one, "const")?;
        let means = text(one, "description").map(|words| format!(": {}", one_line(words).trim_end_matches('.')));
        Some(format!("`{word}`{}", means.unwrap_or_default()))
    };
    let choices: Vec<String> = several.iter().filter_map(choice).collect();
    if choices.is_empty() { String::new() } else { format!(" {}.", choices.join("; ")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_chapter_of_the_book_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src/configuration.md");
        let written = std::fs::read_to_string(path).unwrap();
        let made = markdown(&super::super::described());
        assert!(
            written == made,
            "the chapter is stale: run `sqe config reference > docs/book/src/configuration.md`\n{made}"
        );
    }

    #[test]
    fn every_key_has_a_description() {
        let schema = super::super::described();
        let mut undescribed = Vec::new();
        let mut look = vec![("".to_owned(), schema.as_value())];
        while let Some((place, value)) = look.pop() {
            for (name, key) in members(value) {
                let place = format!("{place}.{name}");
                if name != "kind" && text(key, "description").is_none_or(|words| words.len() < 10) {
                    undescribed.push(place.clone());
                }
                look.push((place, key));
            }
            for member in ["$defs", "oneOf"] {
                match value.get(member) {
                    Some(Value::Object(all)) => {
                        look.extend(all.iter().map(|(name, it)| (format!("{place}#{name}"), it)))
                    }
                    Some(Value::Array(all)) => look.extend(all.iter().map(|it| (place.clone(), it))),
                    _ => {}
                }
            }
        }
        assert!(undescribed.is_empty(), "{undescribed:?}");
    }
}
