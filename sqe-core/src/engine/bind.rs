//! SQL against this person's visible schemas → a logical plan.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
        SchemaProvider,
    },
    common::ScalarValue,
    execution::SessionState,
    logical_expr::LogicalPlan,
    sql::parser::Statement as Parsed,
};

use super::{
    prepared::{typed, untyped},
    shape,
    sources::{Own, ReadView, Scope, Source, bind_sources},
    trail::Case,
    versions,
};
use crate::{Error, Result, TableName, govern::GovernedTable};

/// A statement bound against governed tables only: nothing else can be reached by name.
pub(super) struct Bound {
    pub(super) plan: LogicalPlan,
    pub(super) tables: Vec<Arc<GovernedTable>>,
    pub(super) state: SessionState,
    /// The views that are read in it, each once.
    pub(super) views: Vec<ReadView>,
}

impl Bound {
    /// Whoever sees a plan sees the text of the views in it.
    ///
    /// # Errors
    /// `PermissionDenied` if this person may not describe one of them.
    pub(super) fn check_described(&self, case: &Case) -> Result<()> {
        match self.views.iter().find(|view| !view.described) {
            // Of views inside of one another the outermost is named: which it reads is part of its text.
            Some(view) => Err(undescribed(case.secret.as_ref().unwrap_or(&view.name))),
            None => Ok(()),
        }
    }
}

pub(super) fn undescribed(view: &TableName) -> Error {
    Error::denied(format!("EXPLAIN shows the text of view {view}, which you may not describe; ask its owner"))
}

/// Resolves, decides and binds a query.
pub(super) async fn bind_query(case: &mut Case, mut statement: Parsed) -> Result<Bound> {
    let (versions, scope) = (versions::take(case, &mut statement).await?, Scope::of(&case.session));
    let sources = bind_sources(case, &statement, &scope, &versions, Own::Rows).await?;
    let statement = typed(statement, &case.types);
    let bound = bind_against(case, statement, &scope, sources, Vec::new()).await?;
    Ok(Bound { plan: untyped(bound.plan), ..bound })
}

/// Binds a statement against `sources` and `extra`; a name in both means the one in `sources`.
pub(super) async fn bind_against(
    case: &Case,
    statement: Parsed,
    scope: &Scope,
    sources: Vec<Source>,
    extra: Vec<Source>,
) -> Result<Bound> {
    let session = &case.session;
    let (mut tables, mut known): (Vec<Arc<GovernedTable>>, HashSet<uuid::Uuid>) = Default::default();
    let mut views: Vec<ReadView> = Vec::new();
    let mut schemas: HashMap<(String, String), Arc<MemorySchemaProvider>> = HashMap::new();
    for source in sources.into_iter().chain(extra) {
        let key = (source.name.catalog.clone(), source.name.schema.clone());
        let schema = schemas.entry(key).or_default();
        if !schema.table_exist(&source.name.table) {
            schema.register_table(source.name.table, source.provider)?;
            tables.extend(source.governed.into_iter().filter(|table| known.insert(table.grant().id())));
            views.extend(source.views);
        }
    }
    let list = MemoryCatalogProviderList::new();
    for ((catalog, name), schema) in schemas {
        let provider = match list.catalog(&catalog) {
            Some(provider) => provider,
            None => {
                let provider: Arc<dyn CatalogProvider> = Arc::new(MemoryCatalogProvider::new());
                list.register_catalog(catalog, Arc::clone(&provider));
                provider
            }
        };
        provider.register_schema(&name, schema)?;
    }
    let mut state = session.engine().template.clone();
    state.register_catalog_list(Arc::new(list));
    let options = &mut state.config_mut().options_mut().catalog;
    options.default_catalog.clone_from(&scope.catalog);
    options.default_schema.clone_from(&scope.schema);
    session.settings().apply(&mut state)?;
    // Last: expressions keep the options as they are now.
    state.mark_start_execution();
    if versions::remain(&statement) {
        return Err(Error::unsupported("an older state of a table cannot be read here"));
    }
    let plan = state.statement_to_plan(statement).await?;
    shape::check_plan(&plan)?;
    views.sort_by(|left, right| left.name.cmp(&right.name));
    views.dedup();
    Ok(Bound { plan, tables, state, views })
}

/// The parameters of a plan, in order, named `$1`, `$2`, …; a type that cannot be known is Null.
pub(super) fn parameters(plan: &LogicalPlan) -> Result<SchemaRef> {
    let types = plan.get_parameter_types()?;
    let mut numbered: Vec<(usize, Field)> = Vec::with_capacity(types.len());
    for (name, data_type) in types {
        let number = name.strip_prefix('$').and_then(|digits| digits.parse().ok()).ok_or_else(|| {
            Error::unsupported(format!("parameter {name} has a name; number parameters as $1, $2, … or write ?"))
        })?;
        numbered.push((number, Field::new(name, data_type.unwrap_or(DataType::Null), true)));
    }
    numbered.sort_by_key(|(number, _)| *number);
    for (expected, (number, _)) in (1..).zip(&numbered) {
        if expected != *number {
            return Err(Error::invalid(format!("parameter ${expected} is missing; number parameters without gaps")));
        }
    }
    Ok(Arc::new(Schema::new(numbered.into_iter().map(|(_, field)| field).collect::<Vec<_>>())))
}

/// Puts one row of values in the place of the parameters.
pub(super) fn with_parameters(plan: LogicalPlan, row: Option<&RecordBatch>) -> Result<LogicalPlan> {
    let wanted = parameters(&plan)?;
    let given = row.map_or(0, RecordBatch::num_columns);
    if wanted.fields().len() != given {
        return Err(Error::invalid(format!(
            "the statement has {} parameters and {given} values were bound",
            wanted.fields().len()
        )));
    }
    let Some(row) = row else { return Ok(plan) };
    if row.num_rows() != 1 {
        return Err(Error::invalid(format!("parameters are bound as one row, not {}", row.num_rows())));
    }
    let values =
        row.columns().iter().map(|column| ScalarValue::try_from_array(column, 0)).collect::<Result<Vec<_>, _>>()?;
    Ok(plan.with_param_values(values)?)
}
