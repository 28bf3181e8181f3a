//! Rewrites expressions over the table's columns into expressions over a file's columns.
//!
//! By the time this runs, fields have the table's names (see [`super::resolve`]) and constants of identity partitions
//! have replaced their columns. What is left: columns that the file lacks, and types that changed.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::{
        ScalarValue,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    error::{DataFusionError, Result},
    physical_expr::{
        PhysicalExpr,
        expressions::{CastExpr, Column, Literal},
    },
    physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory},
};
use sqe_core::Error;

use super::nested::{NestedCast, readable};

/// What a table's columns hold in files that were written before the column was there: field name → value
/// (Apache Iceberg specification, "Default values", `initial-default`).
pub(crate) type Defaults = BTreeMap<String, ScalarValue>;

/// Makes an adapter for each file.
#[derive(Debug)]
pub(crate) struct AdapterFactory {
    pub(crate) defaults: Arc<Defaults>,
}

impl PhysicalExprAdapterFactory for AdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let defaults = Arc::clone(&self.defaults);
        Ok(Arc::new(Adapter { table: logical_file_schema, file: physical_file_schema, defaults }))
    }
}

#[derive(Debug)]
struct Adapter {
    table: SchemaRef,
    file: SchemaRef,
    defaults: Arc<Defaults>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform_down(|expr| match expr.downcast_ref::<Column>() {
            // What replaces a column is not to be looked into again: it holds file columns.
            Some(column) => {
                let new = self.column(&expr, column)?;
                let recursion = datafusion::common::tree_node::TreeNodeRecursion::Jump;
                Ok(Transformed::new(new, true, recursion))
            }
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

impl Adapter {
    fn column(&self, expr: &Arc<dyn PhysicalExpr>, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let wanted = field(&self.table, column.name())?;
        let Some((index, found)) = self.file.column_with_name(column.name()) else {
            return self.absent(wanted);
        };
        let same: Arc<dyn PhysicalExpr> = match index == column.index() {
            true => Arc::clone(expr),
            false => Arc::new(Column::new(column.name(), index)),
        };
        // Differences of nullability and metadata cost nothing: the batch gets the table's schema at the end.
        if found.data_type() == wanted.data_type() {
            return Ok(same);
        }
        if !readable(found.data_type(), wanted.data_type()) {
            return Err(refused(format!(
                "column {:?} has type {} in a data file, which cannot be read as {}",
                wanted.name(),
                found.data_type(),
                wanted.data_type()
            )));
        }
        let wanted = Arc::new(wanted.clone());
        Ok(if wanted.data_type().is_nested() {
            Arc::new(NestedCast { input: same, field: wanted })
        } else {
            Arc::new(CastExpr::new_with_target_field(same, wanted, None))
        })
    }

    /// A column that the file does not have (specification, "Column Projection").
    fn absent(&self, wanted: &Field) -> Result<Arc<dyn PhysicalExpr>> {
        let value = match self.defaults.get(wanted.name()) {
            Some(default) => default.clone(),
            None if wanted.is_nullable() => ScalarValue::try_new_null(wanted.data_type())?,
            None => {
                return Err(refused(format!(
                    "a data file lacks the required column {:?}, which has no initial default",
                    wanted.name()
                )));
            }
        };
        Ok(Arc::new(Literal::new(value)))
    }
}

fn field<'a>(schema: &'a Schema, name: &str) -> Result<&'a Field> {
    Ok(schema.field_with_name(name)?)
}

fn refused(message: String) -> DataFusionError {
    Error::unsupported(message).into()
}
