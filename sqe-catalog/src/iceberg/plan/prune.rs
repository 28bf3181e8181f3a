//! Skips manifests and files of which no row can satisfy the filters.
//!
//! Everything known about a container (a manifest or a file) is brought into one form, bounds and counts of table
//! columns, and DataFusion's pruning predicate decides. What is not known is absent, and keeps the container.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, BooleanArray, UInt64Array},
    datatypes::{DataType, SchemaRef},
};
use datafusion::{
    catalog::Session,
    common::{
        Column, DFSchema, ScalarValue,
        pruning::PruningStatistics,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::{Expr, utils::split_conjunction},
    physical_expr::{PhysicalExpr, utils::collect_columns},
    physical_optimizer::pruning::PruningPredicate,
};
use iceberg::{
    spec::{DataFile, ManifestFile, PartitionSpec, PrimitiveLiteral, PrimitiveType, Schema, Struct, Transform},
    transform::create_transform_function,
};

use super::{ranges, scalar};

/// The filters of a scan in the form that prunes, and the columns that they look at.
#[derive(Debug)]
pub(crate) struct Pruner {
    /// One for each conjunct: one that cannot be evaluated leaves the others alone.
    predicates: Vec<PruningPredicate>,
    columns: Vec<Watched>,
    schema: SchemaRef,
}

/// A column that filters look at.
#[derive(Debug)]
struct Watched {
    position: usize,
    field_id: i32,
    ty: DataType,
    source: PrimitiveType,
}

/// What is known about one column within a container.
#[derive(Debug, Default, Clone)]
struct Known {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    nulls: Option<u64>,
    bucket: Option<Bucket>,
}

/// All non-NULL values of a column fall into one of these buckets.
#[derive(Debug, Clone)]
struct Bucket {
    transform: Transform,
    source: PrimitiveType,
    number: i32,
}

/// Containers side by side.
#[derive(Debug, Default)]
struct Containers {
    rows: Vec<Option<u64>>,
    known: Vec<BTreeMap<usize, Known>>,
    schema: Option<SchemaRef>,
}

impl Pruner {
    /// `None` if the filters cannot prune anything.
    pub(crate) fn new(filters: &[Expr], schema: &SchemaRef, table: &Schema, state: &dyn Session) -> Option<Self> {
        let bound = DFSchema::try_from(schema.as_ref().clone()).ok()?;
        // A filter that cannot be used is left out: filters only ever narrow.
        let usable: Vec<Arc<dyn PhysicalExpr>> = filters
            .iter()
            .flat_map(split_conjunction)
            .filter_map(|filter| state.create_physical_expr(prepared(filter)?, &bound).ok())
            .collect();
        let positions: BTreeSet<usize> = usable.iter().flat_map(collect_columns).map(|column| column.index()).collect();
        let columns = positions
            .into_iter()
            .filter_map(|position| {
                let field = schema.fields().get(position)?;
                let field_id = super::field_id(field)?;
                let source = table.field_by_id(field_id)?.field_type.as_primitive_type()?.clone();
                Some(Watched { position, field_id, ty: field.data_type().clone(), source })
            })
            .collect();
        let predicates: Vec<_> = usable
            .into_iter()
            .filter_map(|filter| PruningPredicate::try_new(filter, Arc::clone(schema)).ok())
            .filter(|predicate| !predicate.always_true())
            .collect();
        (!predicates.is_empty()).then(|| Self { predicates, columns, schema: Arc::clone(schema) })
    }

    /// Which of the manifests may hold rows that satisfy the filters. `spec` finds a manifest's partition spec.
    pub(crate) fn manifests<'a>(
        &self,
        manifests: &[ManifestFile],
        spec: impl Fn(i32) -> Option<&'a PartitionSpec>,
    ) -> Vec<bool> {
        let mut containers = self.containers();
        for manifest in manifests {
            let known = spec(manifest.partition_spec_id).map(|spec| self.summaries(manifest, spec));
            containers.rows.push(None);
            containers.known.push(known.unwrap_or_default());
        }
        self.prune(&containers)
    }

    /// Which of the files may hold rows that satisfy the filters.
    pub(crate) fn files<'a>(&self, files: impl Iterator<Item = (&'a DataFile, &'a PartitionSpec)>) -> Vec<bool> {
        let mut containers = self.containers();
        for (file, spec) in files {
            containers.rows.push(Some(file.record_count()));
            containers.known.push(self.columns_of(file, spec));
        }
        self.prune(&containers)
    }

    fn containers(&self) -> Containers {
        Containers { schema: Some(Arc::clone(&self.schema)), ..Containers::default() }
    }

    fn prune(&self, containers: &Containers) -> Vec<bool> {
        let mut kept = vec![true; containers.rows.len()];
        if kept.is_empty() {
            return kept;
        }
        for predicate in &self.predicates {
            match predicate.prune(containers) {
                Ok(found) if found.len() == kept.len() => {
                    kept.iter_mut().zip(found).for_each(|(kept, found)| *kept &= found);
                }
                _ => {}
            }
        }
        kept
    }

    /// What a manifest's partition summaries say. Fields of the spec whose column is gone from the table say nothing.
    fn summaries(&self, manifest: &ManifestFile, spec: &PartitionSpec) -> BTreeMap<usize, Known> {
        let mut known: BTreeMap<usize, Known> = BTreeMap::new();
        let Some(summaries) = manifest.partitions.as_ref().filter(|found| found.len() == spec.fields().len()) else {
            return known;
        };
        for (field, summary) in spec.fields().iter().zip(summaries) {
            let Some(column) = self.watched(field.source_id) else { continue };
            if matches!(field.transform, Transform::Void | Transform::Unknown) {
                continue;
            }
            let bound = |bytes: Option<&[u8]>| partition_bound(field.transform, column, bytes);
            let lower = bound(summary.lower_bound.as_ref().map(|bytes| bytes.as_slice()));
            let upper = bound(summary.upper_bound.as_ref().map(|bytes| bytes.as_slice()));
            let (min, max) = ranges::source(field.transform, lower.as_ref(), upper.as_ref(), &column.ty);
            let nulls = (!summary.contains_null).then_some(0);
            known.entry(column.position).or_default().narrow(Known { min, max, nulls, bucket: None });
        }
        known
    }

    /// What a file's bounds, counts and partition values say.
    fn columns_of(&self, file: &DataFile, spec: &PartitionSpec) -> BTreeMap<usize, Known> {
        let mut known: BTreeMap<usize, Known> = BTreeMap::new();
        for column in &self.columns {
            known.insert(column.position, bounds(file, column));
        }
        for (field, value) in partition(spec, file.partition()) {
            let Some(column) = self.watched(field.0) else { continue };
            known.entry(column.position).or_default().narrow(partition_value(field.1, value, column, file));
        }
        known
    }

    fn watched(&self, field_id: i32) -> Option<&Watched> {
        self.columns.iter().find(|column| column.field_id == field_id)
    }
}

impl Known {
    /// Adds what another source says about the same column. All of it is true at once.
    fn narrow(&mut self, other: Self) {
        self.min = match (self.min.take(), other.min) {
            (Some(a), Some(b)) => Some(if b > a { b } else { a }),
            (a, b) => a.or(b),
        };
        self.max = match (self.max.take(), other.max) {
            (Some(a), Some(b)) => Some(if b < a { b } else { a }),
            (a, b) => a.or(b),
        };
        self.nulls = self.nulls.or(other.nulls);
        self.bucket = self.bucket.take().or(other.bucket);
    }
}

/// A file's own bounds and counts of a column.
fn bounds(file: &DataFile, column: &Watched) -> Known {
    let id = column.field_id;
    let bound =
        |datum: Option<&iceberg::spec::Datum>| datum.and_then(|datum| scalar::scalar(datum.literal(), &column.ty));
    let (mut min, mut max) = (bound(file.lower_bounds().get(&id)), bound(file.upper_bounds().get(&id)));
    if is_float(&column.ty) {
        min = min.and_then(lowest_zero);
        // NaN sorts above all numbers and is no part of the bounds.
        max = max.and_then(highest_zero).filter(|_| file.nan_value_counts().get(&id) == Some(&0));
    }
    let nulls = file.null_value_counts().get(&id).copied().filter(|nulls| *nulls <= file.record_count());
    Known { min, max, nulls, bucket: None }
}

/// What a file's partition value says. All transforms here map NULL to NULL and nothing else to NULL.
fn partition_value(transform: Transform, value: Option<&PrimitiveLiteral>, column: &Watched, file: &DataFile) -> Known {
    if matches!(transform, Transform::Void | Transform::Unknown) {
        return Known::default();
    }
    let Some(value) = value else {
        return Known { nulls: Some(file.record_count()), ..Known::default() };
    };
    let (min, max) = ranges::source(transform, Some(value), Some(value), &column.ty);
    let bucket = match (transform, value) {
        (Transform::Bucket(_), PrimitiveLiteral::Int(number)) => {
            Some(Bucket { transform, source: column.source.clone(), number: *number })
        }
        _ => None,
    };
    Known { min, max, nulls: Some(0), bucket }
}

/// A file's partition values with the column and transform of each; nothing if the file does not fit the spec.
pub(crate) fn partition<'a>(
    spec: &'a PartitionSpec,
    values: &'a Struct,
) -> impl Iterator<Item = ((i32, Transform), Option<&'a PrimitiveLiteral>)> {
    let fits = spec.fields().len() == values.fields().len();
    spec.fields().iter().zip(values.fields()).filter(move |_| fits).filter_map(|(field, value)| {
        let value = match value {
            None => None,
            Some(iceberg::spec::Literal::Primitive(literal)) => Some(literal),
            Some(_) => return None,
        };
        Some(((field.source_id, field.transform), value))
    })
}

fn partition_bound(transform: Transform, column: &Watched, bytes: Option<&[u8]>) -> Option<PrimitiveLiteral> {
    let source = iceberg::spec::Type::Primitive(column.source.clone());
    let ty = transform.result_type(&source).ok()?.as_primitive_type()?.clone();
    let datum = iceberg::spec::Datum::try_from_bytes(bytes?, ty).ok()?;
    Some(datum.literal().clone())
}

impl Containers {
    fn position(&self, column: &Column) -> Option<(usize, &DataType)> {
        let (position, field) = self.schema.as_ref()?.column_with_name(&column.name)?;
        Some((position, field.data_type()))
    }

    fn values(&self, column: &Column, of: impl Fn(&Known) -> Option<ScalarValue>) -> Option<ArrayRef> {
        let (position, ty) = self.position(column)?;
        let absent = ScalarValue::try_new_null(ty).ok()?;
        let values =
            self.known.iter().map(|known| known.get(&position).and_then(&of).unwrap_or_else(|| absent.clone()));
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for Containers {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |known| known.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |known| known.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.rows.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (position, _) = self.position(column)?;
        let counts = self.known.iter().map(|known| known.get(&position).and_then(|known| known.nulls));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.rows.iter().copied().collect::<UInt64Array>()))
    }

    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        let (position, _) = self.position(column)?;
        let contained = self.known.iter().map(|known| {
            let bucket = known.get(&position)?.bucket.as_ref()?;
            let elsewhere = values.iter().all(|value| bucket.excludes(value));
            elsewhere.then_some(false)
        });
        Some(contained.collect())
    }
}

impl Bucket {
    /// Whether `value` falls into another bucket; `false` if that cannot be told.
    fn excludes(&self, value: &ScalarValue) -> bool {
        if value.is_null() {
            return true;
        }
        let Some(datum) = scalar::datum(value, &self.source) else { return false };
        let Ok(function) = create_transform_function(&self.transform) else { return false };
        match function.transform_literal(&datum) {
            Ok(Some(hashed)) => matches!(hashed.literal(), PrimitiveLiteral::Int(number) if *number != self.number),
            _ => false,
        }
    }
}

/// The filter with plain column names, the table stands alone here; and prefixes as ranges: DataFusion's pruning of
/// `LIKE` compares with text that is no view, which fails for columns of views.
fn prepared(filter: &Expr) -> Option<Expr> {
    let plain = filter
        .clone()
        .transform(|expr| match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name))))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
        .ok()?;
    Some(prefix_range(&plain).unwrap_or(plain))
}

/// `column LIKE 'abc%'` as `column >= 'abc' AND column < 'abd'`, which holds for at least the same rows.
fn prefix_range(filter: &Expr) -> Option<Expr> {
    let Expr::Like(like) = filter else { return None };
    let (Expr::Column(_), Expr::Literal(pattern, _)) = (like.expr.as_ref(), like.pattern.as_ref()) else { return None };
    let pattern = pattern.try_as_str().flatten()?;
    let prefix = pattern.split(['%', '_']).next().filter(|prefix| !prefix.is_empty())?;
    if like.negated || like.case_insensitive || like.escape_char.is_some() || pattern.contains('\\') {
        return None;
    }
    let text = |text: String| Expr::Literal(ScalarValue::Utf8View(Some(text)), None);
    let column = like.expr.as_ref().clone();
    let low = column.clone().gt_eq(text(prefix.to_owned()));
    Some(match ranges::above(prefix) {
        Some(above) => low.and(column.lt(text(above))),
        None => low,
    })
}

pub(crate) fn is_float(ty: &DataType) -> bool {
    matches!(ty, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// A lower bound that -0.0 does not escape, which sorts below 0.0. NaN is no bound.
fn lowest_zero(bound: ScalarValue) -> Option<ScalarValue> {
    match bound {
        ScalarValue::Float32(Some(value)) if value.is_nan() => None,
        ScalarValue::Float64(Some(value)) if value.is_nan() => None,
        ScalarValue::Float32(Some(0.0)) => Some(ScalarValue::Float32(Some(-0.0))),
        ScalarValue::Float64(Some(0.0)) => Some(ScalarValue::Float64(Some(-0.0))),
        other => Some(other),
    }
}

/// An upper bound that 0.0 does not escape.
fn highest_zero(bound: ScalarValue) -> Option<ScalarValue> {
    match bound {
        ScalarValue::Float32(Some(value)) if value.is_nan() => None,
        ScalarValue::Float64(Some(value)) if value.is_nan() => None,
        ScalarValue::Float32(Some(0.0)) => Some(ScalarValue::Float32(Some(0.0))),
        ScalarValue::Float64(Some(0.0)) => Some(ScalarValue::Float64(Some(0.0))),
        other => Some(other),
    }
}
