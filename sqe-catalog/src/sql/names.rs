//! Which names new things may have, and which folders they get.

use sqe_core::{Error, Result, TableName};
use uuid::Uuid;

/// Bytes of a name; the layout's columns hold 255 characters.
const LONGEST: usize = 255;
/// Characters of a name that its folder shows.
const SHOWN: usize = 64;

/// Checks the name of a schema to be created; its levels are joined with `.`.
pub(super) fn check_schema(schema: &str) -> Result<()> {
    schema.split('.').try_for_each(|level| check("schema", level))?;
    match schema.len() <= LONGEST {
        true => Ok(()),
        false => Err(Error::invalid(format!("the name of a schema must not be longer than {LONGEST} bytes"))),
    }
}

/// Checks the name of a table to be created.
pub(super) fn check_table(name: &TableName) -> Result<()> {
    check_schema(&name.schema)?;
    match name.table.contains('.') {
        true => Err(Error::invalid(format!("the name of a table must not contain a dot: {:?}", name.table))),
        false => check("table", &name.table),
    }
}

fn check(what: &str, name: &str) -> Result<()> {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
    if name.is_empty() || name.len() > LONGEST || name.trim() != name || name.chars().any(bad) {
        return Err(Error::invalid(format!(
            "{name:?} is not a name for a {what}: it must have 1 to {LONGEST} bytes, no slashes, no control characters and \
             no spaces at its ends"
        )));
    }
    Ok(())
}

/// The folder of a new table, without a trailing `/`. The same name always gives the same folder, and two names never
/// share one, whatever the file system thinks of letter case.
pub(super) fn location(warehouse: &str, name: &TableName) -> String {
    format!("{warehouse}/{}/{}", folder(&name.schema, true), folder(&name.table, false))
}

fn folder(name: &str, levels: bool) -> String {
    let simple = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || (levels && c == '.');
    if name.len() <= SHOWN && name.chars().all(simple) {
        return name.to_owned();
    }
    let shown: String = name
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    format!("{shown}-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("tpch", "customer", "tpch/customer")]
    #[case("a.b", "t", "a.b/t")]
    fn simple_names_are_their_own_folders(#[case] schema: &str, #[case] table: &str, #[case] folder: &str) {
        let name = TableName::new("lake", schema, table);
        check_table(&name).unwrap();
        assert_eq!(location("file:///w", &name), format!("file:///w/{folder}"));
    }

    #[rstest]
    #[case("", "t")]
    #[case("s", "")]
    #[case("a..b", "t")]
    #[case("..", "t")]
    #[case("s", "..")]
    #[case("s", "a.b")]
    #[case("s", "a/b")]
    #[case("s/x", "t")]
    #[case("s", "a\\b")]
    #[case("s", "a\u{1f}b")]
    #[case("s", " t")]
    fn names_that_make_paths_or_nothing_are_refused(#[case] schema: &str, #[case] table: &str) {
        assert!(check_table(&TableName::new("lake", schema, table)).is_err());
    }

    #[test]
    fn names_that_differ_only_in_case_or_in_odd_characters_get_different_folders() {
        let names = ["t", "T", "t t", "t-t", "t_t", "ť"];
        let folders: HashSet<_> = names.iter().map(|name| folder(name, false).to_lowercase()).collect();
        assert_eq!(folders.len(), names.len());
    }

    proptest! {
        #[test]
        fn every_accepted_name_stays_two_folders_below_the_warehouse(schema in "\\PC{1,20}", table in "\\PC{1,300}") {
            let name = TableName::new("lake", schema, table);
            if check_table(&name).is_ok() {
                let location = location("file:///w", &name);
                let path = crate::iceberg::io::store_path(&location).unwrap();
                prop_assert_eq!(path.parts().count(), 3);
                prop_assert!(path.parts().all(|part| part.as_ref().len() <= 255));
            }
        }
    }
}
