//! SQL against this person's visible schemas → a logical plan.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, TableProvider},
    catalog::{CatalogProviderList, SchemaProvider},
    common::{ScalarValue, TableReference},
    execution::SessionState,
    logical_expr::LogicalPlan,
    sql::parser::Statement as Parsed,
};

use super::{
    Session, information_schema,
    prepared::{typed, untyped},
    resolve::{INFORMATION_SCHEMA, full_name, readable},
    shape,
    trail::Case,
};
use crate::{Error, Result, TableName, govern::GovernedTable};

/// A statement bound against governed tables only: nothing else can be reached by name.
pub(super) struct Bound {
    pub(super) plan: LogicalPlan,
    pub(super) tables: Vec<Arc<GovernedTable>>,
    pub(super) state: SessionState,
}

/// Resolves, decides and binds a query.
pub(super) async fn bind_query(case: &mut Case, statement: Parsed) -> Result<Bound> {
    let tables = bind_sources(case, &statement).await?;
    let statement = typed(statement, &case.types);
    let bound = bind_against(case, statement, tables, Vec::new()).await?;
    Ok(Bound { plan: untyped(bound.plan), ..bound })
}

/// The names in a statement, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Of tables in catalogs.
    pub(super) tables: Vec<TableName>,
    /// Of the engine's own.
    pub(super) own: Vec<TableName>,
}

/// The names of what a statement reads.
pub(super) fn names(session: &Session, statement: &Parsed) -> Result<Names> {
    let mut names = Names::default();
    for reference in session.engine().template.resolve_table_references(statement)? {
        if is_table_function(session, &reference) {
            continue;
        }
        let name = full_name(session, &reference);
        let kind = if name.schema == INFORMATION_SCHEMA { &mut names.own } else { &mut names.tables };
        if !kind.contains(&name) {
            kind.push(name);
        }
    }
    Ok(names)
}

/// The governed tables that a statement reads.
pub(super) async fn bind_sources(case: &mut Case, statement: &Parsed) -> Result<Vec<Source>> {
    let session = case.session.clone();
    let names = names(&session, statement)?;
    let mut sources = Vec::new();
    for name in names.own {
        let table = information_schema::table(&session, &name).await?;
        sources.push(Source { name, provider: Arc::new(table), governed: None });
    }
    let governed = readable(case, &names.tables).await?;
    for (name, table) in names.tables.into_iter().zip(governed) {
        sources.push(Source::governed(name, table));
    }
    Ok(sources)
}

/// A table that a statement may name.
pub(super) struct Source {
    name: TableName,
    provider: Arc<dyn TableProvider>,
    governed: Option<Arc<GovernedTable>>,
}

impl Source {
    pub(super) fn governed(name: TableName, table: Arc<GovernedTable>) -> Self {
        Self { name, provider: Arc::clone(&table) as Arc<dyn TableProvider>, governed: Some(table) }
    }
}

/// Binds a statement against `sources` and `extra`; a name in both means the one in `sources`.
pub(super) async fn bind_against(
    case: &Case,
    statement: Parsed,
    sources: Vec<Source>,
    extra: Vec<Source>,
) -> Result<Bound> {
    let session = &case.session;
    let mut tables: Vec<Arc<GovernedTable>> = Vec::new();
    let mut schemas: HashMap<(String, String), Arc<MemorySchemaProvider>> = HashMap::new();
    for source in sources.into_iter().chain(extra) {
        let key = (source.name.catalog.clone(), source.name.schema.clone());
        let schema = schemas.entry(key).or_default();
        if !schema.table_exist(&source.name.table) {
            schema.register_table(source.name.table, source.provider)?;
            tables.extend(source.governed);
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
    let (catalog, schema) = session.defaults();
    let options = &mut state.config_mut().options_mut().catalog;
    options.default_catalog = catalog;
    options.default_schema = schema;
    session.settings().apply(&mut state)?;
    // Last: expressions keep the options as they are now.
    state.mark_start_execution();
    let plan = state.statement_to_plan(statement).await?;
    shape::check_plan(&plan)?;
    Ok(Bound { plan, tables, state })
}

/// Whether a name means one of DataFusion's table functions, such as `generate_series`, which read nothing.
fn is_table_function(session: &Session, reference: &TableReference) -> bool {
    matches!(reference, TableReference::Bare { table } if session.engine().table_functions.contains(table.as_ref()))
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
