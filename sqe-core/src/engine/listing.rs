//! What a person may see at all.

use std::{collections::BTreeSet, error::Error as _, str::Chars, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};

use super::{Session, decide::decide, resolve::discovery, views};
use crate::{
    Access, Action, Decision, Error, ErrorKind, Resource, Result, TableName,
    catalog::CatalogTable,
    govern::visible_schema as visible_schema_of,
    observe::{CatalogCall, Room, Turn},
};

/// The longest pattern, in bytes: each is held against every name, also against those that are not shown.
const MAX_PATTERN: usize = 1024;

/// Which tables to list. Patterns are SQL `LIKE` patterns of at most 1 KiB, in which `\` makes the symbol after it an ordinary
/// one.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListingRequest {
    /// Only this catalog.
    pub catalog: Option<String>,
    /// Only schemas like this.
    pub schema_pattern: Option<String>,
    /// Only tables like this.
    pub table_pattern: Option<String>,
    /// Names are enough: the columns of views, for which their queries have to be bound, are left out.
    pub names_only: bool,
}

/// A table that a person may see.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VisibleTable {
    /// Its name.
    pub name: TableName,
    /// `BASE TABLE` or `VIEW`.
    pub table_type: &'static str,
    /// The columns that this person may see. Of a view those that its query has for them; none if they may not read it.
    pub schema: SchemaRef,
    /// The query of a view that this person may describe.
    pub definition: Option<String>,
}

/// The type of a view.
pub(super) const VIEW: &str = "VIEW";

/// All that a listing found in one pass.
#[derive(Default)]
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
    /// Those of [`tables`](Self::tables).
    pub async fn catalogs(&self) -> Result<Vec<String>> {
        Ok(self.list_in_turn(&ListingRequest::default(), false).await?.catalogs.into_iter().collect())
    }

    /// The schemas, as (catalog, schema), that this person may see.
    ///
    /// # Errors
    /// Those of [`tables`](Self::tables).
    pub async fn schemas(&self, request: &ListingRequest) -> Result<Vec<(String, String)>> {
        Ok(self.list_in_turn(request, false).await?.schemas.into_iter().collect())
    }

    /// The tables that this person may see, with their visible columns, ordered by name.
    ///
    /// # Errors
    /// `Unavailable` if a catalog, the policy engine, or the storage of a table that this person may know of does not answer:
    /// never an empty list instead. `InvalidInput` for a pattern that is too long; `ResourceExhausted` if too much is being
    /// listed; `DeadlineExceeded` if it takes longer than a statement may take.
    pub async fn tables(&self, request: &ListingRequest) -> Result<Vec<VisibleTable>> {
        Ok(self.list_in_turn(request, !request.names_only).await?.tables)
    }

    /// Lists in turn: a list of everything is much work, and comes with few bytes.
    async fn list_in_turn(&self, request: &ListingRequest, columns: bool) -> Result<Listing> {
        self.check_alive()?;
        request.check()?;
        let engine = self.engine();
        let turn = engine.admission.admit_listing(&self.identity().principal);
        let _slot = engine.watch(Room::Turn(Turn::Listing), turn).await?;
        let listed = tokio::time::timeout(engine.limits.deadline, self.list(request, columns)).await;
        listed.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::DeadlineExceeded, "listing took longer than a statement may take"))
        })
    }

    /// Lists at once: for a statement that has its turn already. `columns`: with those of views, for which their queries
    /// are bound.
    pub(super) async fn list(&self, request: &ListingRequest, columns: bool) -> Result<Listing> {
        self.check_alive()?;
        let mut listing = Listing::default();
        for catalog in self.engine().catalogs.keys() {
            if request.catalog.as_ref().is_none_or(|wanted| wanted == catalog) {
                self.list_catalog(catalog, request, &mut listing).await?;
            }
        }
        listing.tables.sort_by(|left, right| left.name.cmp(&right.name));
        if columns {
            let views = listing.tables.iter_mut().filter(|table| table.table_type == VIEW);
            views::describe(self, views.collect()).await?;
        }
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
        let room = Room::Catalog { catalog, call: CatalogCall::List };
        let wanted = |name: &String| matches(request.schema_pattern.as_deref(), name);
        let found = self.engine().watch(room, opened.schemas()).await?;
        let schemas: Vec<String> = found.into_iter().filter(wanted).collect();
        let mut names = Vec::new();
        for schema in &schemas {
            match self.engine().watch(room, opened.tables(schema)).await {
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
        let mut failed = Vec::new();
        let loaded = self.engine().watch_loading(catalog, opened.load(&names)).await;
        for (name, loaded) in names.iter().zip(loaded) {
            match loaded {
                Ok(table) => tables.push(table),
                // Dropped since it was listed, or not this person's to load.
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {}
                Err(error) if is_of_one_table(error.kind()) => {
                    tracing::warn!(catalog, %error, source = ?error.source(), "a table that cannot be loaded is not listed");
                }
                Err(error) => failed.push((name, error)),
            }
        }
        for table in &tables {
            for action in [Action::Discover, Action::Select, Action::Describe] {
                accesses.push(Access::new(action, Resource::Table(table.facts().clone())));
            }
        }
        accesses.extend(failed.iter().map(|(name, _)| discovery(name)));
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
            if discover.is_permit() {
                let name = table.facts().id.name.clone();
                listing.catalogs.insert(catalog.to_owned());
                listing.schemas.insert((catalog.to_owned(), name.schema.clone()));
                let found = match table.view() {
                    // Its columns are those that its query has for this person, which is not known yet.
                    Some(view) => {
                        let definition = describe.is_permit().then(|| view.sql.clone());
                        let schema = Arc::new(Schema::empty());
                        Ok(VisibleTable { name: name.clone(), table_type: VIEW, schema, definition })
                    }
                    None => visible_schema(&**table, &select, &describe).map(|schema| VisibleTable {
                        name: name.clone(),
                        table_type: "BASE TABLE",
                        schema,
                        definition: None,
                    }),
                };
                match found {
                    Ok(found) => listing.tables.push(found),
                    Err(error) => tracing::warn!(table = %name, %error, "a table without a valid schema is not listed"),
                }
            }
        }
        for (name, error) in failed {
            if next()?.is_permit() {
                return Err(error);
            }
            // Or the failure would tell which patterns fit the name of a table that may not be known.
            tracing::warn!(table = %name, %error, source = ?error.source(), "a table that cannot be loaded is not listed");
        }
        Ok(())
    }
}

/// Whether a failure to load a table is that table's own: one that is broken, or of a kind that this engine cannot read,
/// is not a reason to list nothing. A catalog that does not answer, and a person who is not accepted any more, are.
pub(super) fn is_of_one_table(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unsupported
            | ErrorKind::Internal
            | ErrorKind::InvalidInput
            | ErrorKind::Conflict
            | ErrorKind::AlreadyExists
    )
}

impl ListingRequest {
    fn check(&self) -> Result<()> {
        match [&self.schema_pattern, &self.table_pattern].into_iter().flatten().find(|it| it.len() > MAX_PATTERN) {
            Some(pattern) => Err(Error::invalid(format!(
                "a pattern has {} bytes and at most {MAX_PATTERN} are accepted; shorten it",
                pattern.len()
            ))),
            None => Ok(()),
        }
    }
}

/// The columns that may be shown: those that may be read, or all that may be described.
pub(super) fn visible_schema(table: &dyn CatalogTable, select: &Decision, describe: &Decision) -> Result<SchemaRef> {
    let Some(restrictions) = select.restrictions().or(describe.restrictions()) else {
        return Ok(Arc::new(Schema::empty()));
    };
    visible_schema_of(&table.schema(), restrictions)
}

/// What comes next in a pattern.
enum Wanted {
    /// `%`
    Any,
    /// `_`
    One,
    Letter(char),
}

fn next_wanted(pattern: &mut Chars<'_>) -> Option<Wanted> {
    Some(match pattern.next()? {
        '%' => Wanted::Any,
        '_' => Wanted::One,
        // At the end it stands for itself.
        '\\' => Wanted::Letter(pattern.next().unwrap_or('\\')),
        letter => Wanted::Letter(letter),
    })
}

/// SQL `LIKE` with the escape character `\`, in time of at most pattern × text and without memory of its own.
fn matches(pattern: Option<&str>, text: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let (mut wanted, mut rest) = (pattern.chars(), text.chars());
    // What follows the last `%`, and where in the text it was tried last: an earlier `%` need not take more than it has.
    let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let (mut ahead, mut left) = (wanted.clone(), rest.clone());
        match (next_wanted(&mut ahead), left.next()) {
            (Some(Wanted::Any), _) => {
                retry = Some((ahead.clone(), rest.clone()));
                wanted = ahead;
            }
            (Some(Wanted::One), Some(_)) => (wanted, rest) = (ahead, left),
            (Some(Wanted::Letter(symbol)), Some(letter)) if symbol == letter => (wanted, rest) = (ahead, left),
            (None, None) => return true,
            _ => {
                let Some((after, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (wanted, rest) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ListingRequest, MAX_PATTERN, matches};
    use crate::ErrorKind;

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
            ("%", "customer", true),
            ("_", "", false),
            ("_", "ä", true),
            ("a%b%c", "a1b2b3c", true),
            ("a%b%c", "a1c2b", false),
            ("%aab", "aaaab", true),
            ("%a_", "bab", true),
            ("%a_", "aba", false),
            ("%%_", "x", true),
            ("", "", true),
            ("a\\_b", "a_b", true),
            ("a\\_b", "axb", false),
            ("a\\%", "a%", true),
            ("a\\%", "abc", false),
            ("%\\_%", "a_b", true),
            ("%\\_%", "ab", false),
            ("a\\\\b", "a\\b", true),
            ("a\\", "a\\", true),
            ("a\\b", "ab", true),
        ] {
            assert_eq!(matches(Some(pattern), text), expected, "{pattern} on {text}");
        }
        assert!(matches(None, "anything"));
    }

    #[test]
    fn a_pattern_of_many_symbols_is_no_work_and_a_longer_one_is_refused() {
        let name = "n".repeat(255);
        assert!(!matches(Some(&"%_".repeat(MAX_PATTERN / 2)), &name));
        assert!(matches(Some(&"%_".repeat(255)), &name));
        let request = |bytes: usize| ListingRequest { table_pattern: Some("_".repeat(bytes)), ..Default::default() };
        request(MAX_PATTERN).check().unwrap();
        let refused = request(MAX_PATTERN + 1).check().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.message().contains("1024"), "{refused}");
        let schemas = ListingRequest { schema_pattern: Some("_".repeat(MAX_PATTERN + 1)), ..Default::default() };
        assert_eq!(schemas.check().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
