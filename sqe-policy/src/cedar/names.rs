//! The ids of Cedar entities: full names, written so that no two things share one.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use sqe_core::{Principal, TableName};

/// The entity types of the shipped schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    User,
    Group,
    Role,
    Catalog,
    Schema,
    Table,
    Column,
    Row,
    Opaque,
    Action,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::User,
        Self::Group,
        Self::Role,
        Self::Catalog,
        Self::Schema,
        Self::Table,
        Self::Column,
        Self::Row,
        Self::Opaque,
        Self::Action,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
            Self::Catalog => "Catalog",
            Self::Schema => "Schema",
            Self::Table => "Table",
            Self::Column => "Column",
            Self::Row => "Row",
            Self::Opaque => "Opaque",
            Self::Action => "Action",
        }
    }

    pub(super) fn of(uid: &EntityUid) -> Option<Self> {
        Self::named(uid.type_name())
    }

    pub(super) fn named(name: &EntityTypeName) -> Option<Self> {
        let name = name.to_string();
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The entity of this kind with an id. `None` never happens: the names of kinds are valid type names.
    pub(super) fn uid(self, id: &str) -> Option<EntityUid> {
        let name = self.as_str().parse::<EntityTypeName>().ok()?;
        Some(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
    }
}

/// `issuer#subject`. A `#` in an issuer is percent-encoded, so that no issuer can speak for the subjects of another.
pub(super) fn user(principal: &Principal) -> String {
    let issuer = principal.issuer.replace('%', "%25").replace('#', "%23");
    format!("{issuer}#{}", principal.subject)
}

/// One name inside of a full name: plain, or in quotes if it holds a dot or a quote.
fn part(name: &str) -> String {
    if name.contains(['.', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

pub(super) fn catalog(catalog: &str) -> String {
    part(catalog)
}

/// Every schema that a nested schema is inside of, outermost first, itself last.
pub(super) fn schemas(catalog: &str, schema: &str) -> Vec<String> {
    let mut id = part(catalog);
    schema
        .split('.')
        .map(|level| {
            id.push('.');
            id.push_str(level);
            id.clone()
        })
        .collect()
}

pub(super) fn table(name: &TableName) -> String {
    format!("{}.{}.{}", part(&name.catalog), name.schema, part(&name.table))
}

pub(super) fn column(table: &str, column: &str) -> String {
    format!("{table}.{}", part(column))
}

/// How many names an id is made of. `None` if its quotes do not match.
pub(super) fn depth(id: &str) -> Option<usize> {
    let mut names = 0;
    let mut rest = id;
    loop {
        names += 1;
        rest = match rest.strip_prefix('"') {
            Some(quoted) => after_quote(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, rest) = rest.split_at_checked(end)?;
                if name.is_empty() || name.contains('"') {
                    return None;
                }
                rest
            }
        };
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// What follows the closing quote of a quoted name.
fn after_quote(quoted: &str) -> Option<&str> {
    let mut rest = quoted;
    loop {
        rest = rest.split_once('"')?.1;
        match rest.strip_prefix('"') {
            Some(doubled) => rest = doubled,
            None => return Some(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_with_a_hash_does_not_collide_with_a_subject_with_one() {
        assert_eq!(user(&Principal::new("https://idp.example", "alice")), "https://idp.example#alice");
        assert_ne!(user(&Principal::new("a#b", "c")), user(&Principal::new("a", "b#c")));
        assert_ne!(user(&Principal::new("a#b", "c")), user(&Principal::new("a%23b", "c")));
    }

    #[test]
    fn a_dot_in_a_table_name_does_not_reach_into_a_nested_schema() {
        assert_eq!(table(&TableName::new("lake", "a.b", "c")), "lake.a.b.c");
        assert_eq!(table(&TableName::new("lake", "a", "b.c")), "lake.a.\"b.c\"");
        assert_eq!(column("lake.a.t", "odd\"name"), "lake.a.t.\"odd\"\"name\"");
    }

    #[test]
    fn a_nested_schema_lists_its_parents() {
        assert_eq!(schemas("lake", "a.b"), ["lake.a", "lake.a.b"]);
    }

    #[test]
    fn depth_counts_names_and_refuses_broken_quotes() {
        assert_eq!(depth("lake"), Some(1));
        assert_eq!(depth("lake.tpch.customer.c_phone"), Some(4));
        assert_eq!(depth("lake.a.\"b.c\".\"d\"\"e\""), Some(4));
        for broken in ["", "lake.", ".lake", "lake..t", "lake.\"t", "lake.t\"", "lake.\"t\"x"] {
            assert_eq!(depth(broken), None, "{broken}");
        }
    }
}
