//! A table as one query of one person may see it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session as DataFusionSession, TableProvider},
    common::{
        DFSchema, Statistics, ToDFSchema,
        stats::Precision,
        tree_node::{Transformed, TreeNode},
    },
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{
        Expr, TableProviderFilterPushDown, TableType, expr_rewriter::unnormalize_col, lit, simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::PhysicalExpr,
    physical_plan::ExecutionPlan,
};

use super::{
    GrantedScanExec, ScanGrant, SecurityBarrierExec,
    barrier::{Policy, Source},
    leakproof,
    lower::{field_id, lower},
    mask::FittedMask,
    opaque::OpaqueScanExec,
    plain::plain,
};
use crate::{
    Decision, Error, QueryId, Result, Secret,
    catalog::{CatalogSession, CatalogTable, ScanRequest, StoreRef},
    policy::{Effect, Restrictions},
};

/// A visible column: where it stands in the raw schema, and its mask.
#[derive(Debug, Clone)]
pub(crate) struct VisibleColumn {
    pub(crate) raw: usize,
    mask: Option<FittedMask>,
}

impl VisibleColumn {
    pub(crate) fn is_masked(&self) -> bool {
        self.mask.is_some()
    }
}

/// The sealed provider that SQL is bound against. It belongs to one query: it holds that query's grant and nothing that
/// could outlive it.
pub(crate) struct GovernedTable {
    grant: ScanGrant,
    decision: Decision,
    digest: String,
    readable: bool,
    raw: Arc<dyn CatalogTable>,
    session: Arc<dyn CatalogSession>,
    visible: SchemaRef,
    columns: Vec<VisibleColumn>,
    filter: Option<Expr>,
    mask_key: Secret,
    store: OnceLock<Option<StoreRef>>,
}

impl fmt::Debug for GovernedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedTable").field("table", &self.grant.table().name).finish_non_exhaustive()
    }
}

impl GovernedTable {
    /// Fits `decision` to the table.
    ///
    /// # Errors
    /// `PermissionDenied` for a denial and for a policy that cannot be carried out exactly.
    pub(crate) fn new(
        query: QueryId,
        decision: &Decision,
        raw: Arc<dyn CatalogTable>,
        session: Arc<dyn CatalogSession>,
        principal: crate::Principal,
        mask_key: Secret,
    ) -> Result<Self> {
        let Effect::Permit(restrictions) = &decision.effect else {
            return Err(Error::denied(format!("you may not read {}", raw.facts().id.name)));
        };
        if raw.view().is_some() {
            return Err(Error::internal(format!("view {} was to be read like a table", raw.facts().id.name)));
        }
        let schema = check_schema(&*raw)?;
        let columns = visible_columns(&schema, restrictions)?;
        let visible = schema_of(&schema, &columns);
        let filter = restrictions.filter.as_ref().map(|filter| lower(filter, &schema)).transpose()?;
        let grant = ScanGrant::mint(query, principal, raw.facts().id.clone(), restrictions.is_none());
        Ok(Self {
            grant,
            decision: decision.clone(),
            digest: decision.digest(),
            readable: true,
            raw,
            session,
            visible,
            columns,
            filter,
            mask_key,
            store: OnceLock::new(),
        })
    }

    /// A table that may be written and not read: its schema is visible, a scan of it is refused.
    pub(crate) fn write_only(mut self) -> Self {
        self.readable = false;
        self
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    pub(crate) fn grant(&self) -> &ScanGrant {
        &self.grant
    }

    pub(crate) fn decision(&self) -> &Decision {
        &self.decision
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn raw(&self) -> &Arc<dyn CatalogTable> {
        &self.raw
    }

    pub(crate) fn columns(&self) -> &[VisibleColumn] {
        &self.columns
    }

    /// The columns that the person sees.
    pub(crate) fn visible(&self) -> &SchemaRef {
        &self.visible
    }

    /// Hands over the store that the vend room obtained.
    pub(crate) fn provide_store(&self, store: Option<StoreRef>) {
        let _ = self.store.set(store);
    }

    fn is_open(&self, name: &str) -> bool {
        let position = self.visible.index_of(name).ok();
        let column = position.and_then(|index| self.columns.get(index).zip(self.visible.fields().get(index)));
        column.is_some_and(|(column, field)| column.mask.is_none() && !field.data_type().is_nested())
    }

    async fn scan_raw(
        &self,
        state: &dyn DataFusionSession,
        projection: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if !self.readable {
            return Err(Error::denied(format!("you may not read {}", self.grant.table().name)).into());
        }
        let Some(store) = self.store.get() else {
            return Err(DataFusionError::Internal("a table was scanned before its lease was vended".into()));
        };
        let mut request = ScanRequest::new(&self.grant, &self.raw, state);
        request.projection = Some(projection);
        request.filters = filters;
        request.limit = limit;
        request.store = store.as_ref();
        let plan = self.session.scan(request).await?;
        let expected = self.raw.schema().project(projection)?;
        let fits = plan.schema().fields().len() == expected.fields().len()
            && (plan.schema().fields().iter().zip(expected.fields()))
                .all(|(got, want)| got.name() == want.name() && got.data_type() == want.data_type());
        if !fits {
            return Err(Error::internal("a catalog's scan has another schema than it announced").into());
        }
        Ok(if has_constant_leaf(&plan) { Arc::new(OpaqueScanExec::new(plan)) } else { plan })
    }

    /// The scan below a barrier is planned with the policy's filter alone. What a person asks for must not choose among
    /// files by the bounds of hidden rows while the plan can still be looked at; leakproof predicates reach the scan
    /// later, through the barrier, and prune while it runs.
    async fn scan_restricted(
        &self,
        state: &dyn DataFusionSession,
        projection: &[usize],
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let raw_schema = self.raw.schema();
        let mut needed: Vec<usize> = Vec::new();
        let mut place = |raw: usize| match needed.iter().position(|have| *have == raw) {
            Some(index) => index,
            None => {
                needed.push(raw);
                needed.len() - 1
            }
        };
        let mut sources = Vec::with_capacity(projection.len());
        for index in projection {
            let column = self.columns.get(*index).ok_or_else(|| DataFusionError::Internal("no such column".into()))?;
            sources.push(match &column.mask {
                None => Source::Raw(place(column.raw)),
                Some(mask) if mask.reads_raw() => Source::Masked(place(column.raw), mask.clone()),
                Some(mask) => Source::Blank(mask.clone()),
            });
        }
        let mut hints: Vec<Expr> = Vec::new();
        if let Some(filter) = &self.filter {
            for column in filter.column_refs() {
                place(raw_schema.index_of(column.name())?);
            }
            hints.push(filter.clone());
        }
        let input = self.scan_raw(state, &needed, &hints, None).await?;
        let filter = match &self.filter {
            Some(filter) => Some(physical(state, filter, &input.schema())?),
            None => None,
        };
        let policy = Policy {
            filter,
            sources,
            schema: Arc::new(self.visible.project(projection)?),
            mask_key: self.mask_key.clone(),
            blurred_rows: self.blurred_rows(),
            partitions: state.config().target_partitions(),
        };
        Ok(Arc::new(SecurityBarrierExec::new(self.grant.clone(), self.digest.clone(), policy, input)))
    }

    /// The table's total number of rows, rounded to a power of ten.
    fn blurred_rows(&self) -> Option<usize> {
        let rows = match self.raw.statistics()?.num_rows {
            Precision::Exact(rows) | Precision::Inexact(rows) => rows,
            Precision::Absent => return None,
        };
        Some(10_usize.saturating_pow(rows.max(1).ilog10()))
    }
}

#[async_trait]
impl TableProvider for GovernedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.visible)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        if self.grant.is_unconditional() {
            let filters = filters.iter().cloned().map(unnormalize_col).collect::<Vec<_>>();
            let limit = if filters.is_empty() { limit } else { None };
            let input = self.scan_raw(state, projection, &filters, limit).await?;
            return Ok(Arc::new(GrantedScanExec::new(self.grant.clone(), input)?));
        }
        self.scan_restricted(state, projection).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let open = |name: &str| self.is_open(name);
        Ok((filters.iter())
            .map(|filter| {
                if self.grant.is_unconditional() || leakproof::logical(filter, &open) {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        if self.grant.is_unconditional() {
            return self.raw.statistics();
        }
        let mut statistics = Statistics::new_unknown(&self.visible);
        statistics.num_rows = Precision::Inexact(self.blurred_rows()?);
        Some(statistics)
    }
}

/// The raw schema, after checking that it says what the table's facts say. A catalog that contradicts itself would let a
/// mask miss its column.
fn check_schema(raw: &dyn CatalogTable) -> Result<SchemaRef> {
    let schema = raw.schema();
    let facts = raw.facts();
    let agrees = schema.fields().len() == facts.columns.len()
        && (schema.fields().iter().zip(&facts.columns))
            .all(|(field, column)| field_id(field) == Some(column.field_id) && *field.name() == column.name);
    if agrees {
        Ok(schema)
    } else {
        Err(Error::internal(format!("the catalog describes the columns of {} in two ways", facts.id.name)))
    }
}

fn visible_columns(schema: &Schema, restrictions: &Restrictions) -> Result<Vec<VisibleColumn>> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (raw, field) in schema.fields().iter().enumerate() {
        let id = field_id(field).ok_or_else(|| Error::internal("a column has no field id"))?;
        if !restrictions.hidden.contains(&id) {
            let mask = restrictions.masks.get(&id).map(|mask| FittedMask::fit(mask, field.data_type()));
            columns.push(VisibleColumn { raw, mask });
        }
    }
    Ok(columns)
}

/// The columns of `schema`, each with its field id, that remain visible under `restrictions`.
pub(crate) fn visible_schema(schema: &Schema, restrictions: &Restrictions) -> Result<SchemaRef> {
    Ok(schema_of(schema, &visible_columns(schema, restrictions)?))
}

fn schema_of(schema: &Schema, columns: &[VisibleColumn]) -> SchemaRef {
    let fields: Vec<Field> = (columns.iter())
        .filter_map(|column| {
            let field = schema.fields().get(column.raw)?.as_ref().clone();
            let nulls = column.mask.as_ref().is_some_and(FittedMask::adds_nulls);
            let nullable = field.is_nullable() || nulls;
            Some(field.with_nullable(nullable))
        })
        .collect();
    plain(&Schema::new(fields))
}

/// Whether some leaf below looks like a constant of a statement.
fn has_constant_leaf(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let children = plan.children();
    if children.is_empty() {
        super::verify::is_constant_leaf(&**plan)
    } else {
        children.into_iter().any(has_constant_leaf)
    }
}

/// Coerces and compiles a row filter.
///
/// Constants are cast, and nothing else is simplified: DataFusion's simplifier is right about where a condition is true,
/// and may turn unknown into false on the way (`x IN (1) AND x IN (2)`), which a negation above would turn into rows.
fn physical(
    state: &dyn DataFusionSession,
    filter: &Expr,
    schema: &SchemaRef,
) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    let schema: DFSchema = Arc::clone(schema).to_dfschema()?;
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    let filter = ExprSimplifier::new(context).coerce(filter.clone(), &schema)?;
    let filter = filter.transform_up(|expr| {
        let constant = match &expr {
            Expr::Cast(cast) => match cast.expr.as_ref() {
                Expr::Literal(value, _) => value.cast_to(cast.field.data_type()).ok(),
                _ => None,
            },
            _ => None,
        };
        Ok(constant.map_or_else(|| Transformed::no(expr), |value| Transformed::yes(lit(value))))
    })?;
    state.create_physical_expr(filter.data, &schema)
}

/// Finds the governed table behind a scan of a logical plan.
pub(crate) fn governed(source: &Arc<dyn datafusion::logical_expr::TableSource>) -> Option<&GovernedTable> {
    let provider = source.downcast_ref::<datafusion::datasource::DefaultTableSource>()?;
    let provider: &dyn Any = &*provider.table_provider;
    provider.downcast_ref::<GovernedTable>()
}
