//! What a person may see at all.

use std::{collections::BTreeSet, error::Error as _, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};

use super::{Session, decide::decide};
use crate::{
    Access, Action, Decision, Error, ErrorKind, Resource, Result, TableName, catalog::CatalogTable,
    govern::visible_schema as visible_schema_of,
};

/// Which tables to list. Patterns are SQL `LIKE` patterns without an escape character.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListingRequest {
    /// Only this catalog.
    pub catalog: Option<String>,
    /// Only schemas like this.
    pub schema_pattern: Option<String>,
    /// Only tables like this.
    pub table_pattern: Option<String>,
}

/// A table that a person may see.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VisibleTable {
    /// Its name.
    pub name: TableName,
    /// `BASE TABLE` or `VIEW`.
    pub table_type: &'static str,
    /// The columns that this person may see.
    pub schema: SchemaRef,
}

/// All that a listing found in one pass.
pub(super) struct Listing {
    pub(super) catalogs: BTreeSet<String>,
    pub(super) schemas: BTreeSet<(String, String)>,
    pub(super) tables: Vec<VisibleTable>,
}

impl Session {
    /// The names of the catalogs that this person may see: those that policy lets them discover, and those in which
    /// they may see something.
    ///
    /// # Errors
    /// `Unavailable` if a catalog or the policy engine does not answer: never an empty list instead.
    pub async fn catalogs(&self) -> Result<Vec<String>> {
        Ok(self.list(&ListingRequest::default()).await?.catalogs.into_iter().collect())
    }

    /// The schemas, as (catalog, schema), that this person may see.
    ///
    /// # Errors
    /// `Unavailable` if a catalog or the policy engine does not answer: never an empty list instead.
    pub async fn schemas(&self, request: &ListingRequest) -> Result<Vec<(String, String)>> {
        Ok(self.list(request).await?.schemas.into_iter().collect())
    }

    /// The tables that this person may see, with their visible columns, ordered by name.
    ///
    /// # Errors
    /// `Unavailable` if a catalog or the policy engine does not answer: never an empty list instead.
    pub async fn tables(&self, request: &ListingRequest) -> Result<Vec<VisibleTable>> {
        Ok(self.list(request).await?.tables)
    }

    pub(super) async fn list(&self, request: &ListingRequest) -> Result<Listing> {
        self.check_alive()?;
        let mut listing = Listing { catalogs: BTreeSet::new(), schemas: BTreeSet::new(), tables: Vec::new() };
        for catalog in self.engine().catalogs.keys() {
            if request.catalog.as_ref().is_none_or(|wanted| wanted == catalog) {
                self.list_catalog(catalog, request, &mut listing).await?;
            }
        }
        listing.tables.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(listing)
    }

    async fn list_catalog(&self, catalog: &str, request: &ListingRequest, listing: &mut Listing) -> Result<()> {
        let opened = match self.catalog(catalog).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            // A catalog that does not know this person has nothing to show.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        let wanted = |name: &String| matches(request.schema_pattern.as_deref(), name);
        let schemas: Vec<String> = opened.schemas().await?.into_iter().filter(wanted).collect();
        let mut names = Vec::new();
        for schema in &schemas {
            match opened.tables(schema).await {
                Ok(tables) => {
                    names.extend(
                        tables.into_iter().filter(|name| matches(request.table_pattern.as_deref(), &name.table)),
                    );
                }
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let mut accesses = vec![Access::new(Action::Discover, Resource::Catalog(catalog.to_owned()))];
        for schema in &schemas {
            let resource = Resource::Schema { catalog: catalog.to_owned(), schema: schema.clone() };
            accesses.push(Access::new(Action::Discover, resource));
        }
        let mut tables = Vec::with_capacity(names.len());
        for loaded in opened.load(&names).await {
            match loaded {
                Ok(table) => tables.push(table),
                // Dropped since it was listed, or not this person's to load.
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {}
                Err(error) if is_of_one_table(error.kind()) => {
                    tracing::warn!(catalog, %error, source = ?error.source(), "a table that cannot be loaded is not listed");
                }
                Err(error) => return Err(error),
            }
        }
        for table in &tables {
            for action in [Action::Discover, Action::Select, Action::Describe] {
                accesses.push(Access::new(action, Resource::Table(table.facts().clone())));
            }
        }
        let mut decisions = decide(self, &accesses).await?.into_iter();
        let mut next = || decisions.next().ok_or_else(|| Error::internal("a decision is missing"));
        if next()?.is_permit() {
            listing.catalogs.insert(catalog.to_owned());
        }
        for schema in schemas {
            if next()?.is_permit() {
                listing.catalogs.insert(catalog.to_owned());
                listing.schemas.insert((catalog.to_owned(), schema));
            }
        }
        for table in &tables {
            let (discover, select, describe) = (next()?, next()?, next()?);
            if discover.is_permit() || select.is_permit() {
                let name = table.facts().id.name.clone();
                listing.catalogs.insert(catalog.to_owned());
                listing.schemas.insert((catalog.to_owned(), name.schema.clone()));
                match visible_schema(&**table, &select, &describe) {
                    Ok(schema) => listing.tables.push(VisibleTable { name, table_type: "BASE TABLE", schema }),
                    Err(error) => tracing::warn!(table = %name, %error, "a table without a valid schema is not listed"),
                }
            }
        }
        Ok(())
    }
}

/// Whether a failure to load a table is that table's own: one that is broken, or of a kind that this engine cannot read,
/// is not a reason to list nothing. A catalog that does not answer, and a person who is not accepted any more, are.
fn is_of_one_table(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unsupported
            | ErrorKind::Internal
            | ErrorKind::InvalidInput
            | ErrorKind::Conflict
            | ErrorKind::AlreadyExists
    )
}

/// The columns that may be shown: those that may be read, or all that may be described.
pub(super) fn visible_schema(table: &dyn CatalogTable, select: &Decision, describe: &Decision) -> Result<SchemaRef> {
    let Some(restrictions) = select.restrictions().or(describe.restrictions()) else {
        return Ok(Arc::new(Schema::empty()));
    };
    visible_schema_of(&table.schema(), restrictions)
}

/// SQL `LIKE` without an escape character.
fn matches(pattern: Option<&str>, text: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let text: Vec<char> = text.chars().collect();
    // The set of text positions that the pattern read so far can have reached.
    let mut reached = vec![false; text.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for symbol in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        let mut open = false;
        for (at, slot) in next.iter_mut().enumerate() {
            let here = reached.get(at).copied().unwrap_or(false);
            let before = at.checked_sub(1);
            let stepped = before.is_some_and(|before| reached.get(before).copied().unwrap_or(false));
            let same =
                before.and_then(|before| text.get(before)).is_some_and(|letter| symbol == '_' || symbol == *letter);
            open |= here;
            *slot = if symbol == '%' { open } else { stepped && same };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_sql_like_does() {
        for (pattern, text, expected) in [
            ("%", "", true),
            ("c%", "customer", true),
            ("%mer", "customer", true),
            ("c_stomer", "customer", true),
            ("c_", "customer", false),
            ("%st%m%", "customer", true),
            ("", "customer", false),
            ("customer", "customers", false),
        ] {
            assert_eq!(matches(Some(pattern), text), expected, "{pattern} on {text}");
        }
        assert!(matches(None, "anything"));
    }
}
