//! What a statement names, groups by and nests, before a planner looks at it.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement as Parsed,
    sqlparser::ast::{self, Query, TableFactor, Visit, Visitor},
};

use super::too_much;
use crate::{Error, Result};

/// Tables, subqueries and table functions that a statement names, each as often as it names it.
pub(super) const RELATIONS: usize = 500;
/// The same, once every common table expression is written out wherever it is named.
const EXPANDED: u64 = 5_000;
/// Common table expressions inside of one another. Each of them doubles the work of finding tables.
pub(super) const NESTED: usize = 8;
/// How often planners look at one part of an expression, because what stands around it makes them look again.
pub(super) const READINGS: u64 = 1_000;
/// Sets of columns that one query groups by.
pub(super) const GROUPINGS: u64 = 256;
/// Columns in all of these sets together.
const GROUPED: u64 = 50_000;

/// Refuses a statement that names more relations than planners, which compare them all, can look at, that uses what it
/// names so often that it stands for more than anybody would write out, or that makes planners look at its parts again
/// and again.
///
/// # Errors
/// `InvalidInput` for such a statement.
pub(in crate::engine) fn check_relations(statement: &Parsed) -> Result<()> {
    match statement {
        Parsed::Statement(ast) => {
            let mut count = Relations::default();
            if let ControlFlow::Break(refusal) = ast.visit(&mut count) {
                return Err(refusal);
            }
            if count.outside > EXPANDED || count.largest > EXPANDED {
                return Err(too_much("uses what it names again and again"));
            }
            Ok(())
        }
        Parsed::Explain(explain) => check_relations(&explain.statement),
        _ => Ok(()),
    }
}

/// Counts relations, and what each common table expression stands for once every name in it is replaced.
#[derive(Default)]
pub(super) struct Relations {
    pub(super) written: usize,
    /// What the queries stand for that are being read, from the outermost.
    queries: Vec<u64>,
    /// The bodies of common table expressions, by where they are.
    bodies: HashMap<usize, String>,
    /// What names stand for; of several expressions of one name the largest.
    names: HashMap<String, u64>,
    largest: u64,
    pub(super) outside: u64,
    /// Common table expressions that are being read.
    within: usize,
    /// For each expression that is being read, see [`readings`].
    exprs: Vec<(u64, bool)>,
}

impl Visitor for Relations {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if self.bodies.contains_key(&std::ptr::from_ref(query).addr()) {
            self.within += 1;
            if self.within > NESTED {
                return ControlFlow::Break(too_much(&format!("nests more than {NESTED} common table expressions")));
            }
        }
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = super::super::statement::normal(&cte.alias.name);
            self.bodies.insert(std::ptr::from_ref(cte.query.as_ref()).addr(), name);
        }
        self.queries.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let stands_for = self.queries.pop().unwrap_or(0);
        self.largest = self.largest.max(stands_for);
        if let Some(name) = self.bodies.get(&std::ptr::from_ref(query).addr()) {
            self.within -= 1;
            let known = self.names.entry(name.clone()).or_insert(0);
            *known = stands_for.max(*known);
        } else {
            let around = self.queries.last_mut().unwrap_or(&mut self.outside);
            *around = around.saturating_add(stands_for);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<Error> {
        let (sets, columns) = groupings(&select.group_by);
        if sets > GROUPINGS || (sets > 1 && columns.saturating_mul(sets) > GROUPED) {
            return ControlFlow::Break(too_much(&format!("groups by more than {GROUPINGS} sets of columns")));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Error> {
        let read = readings(expr, self.exprs.last().copied().unwrap_or((1, true)));
        self.exprs.push(read);
        if read.0 > READINGS {
            return ControlFlow::Break(too_much("nests expressions that are expensive to look at"));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &ast::Expr) -> ControlFlow<Error> {
        self.exprs.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        self.written += 1;
        let name = match factor {
            TableFactor::Table { name, .. } => match name.0.as_slice() {
                [part] => part.as_ident().map(super::super::statement::normal),
                _ => None,
            },
            _ => None,
        };
        let stands_for = name.and_then(|name| self.names.get(&name).copied()).unwrap_or(1).max(1);
        let around = self.queries.last_mut().unwrap_or(&mut self.outside);
        *around = around.saturating_add(stands_for);
        if self.written > RELATIONS {
            return ControlFlow::Break(too_much(&format!("names more than {RELATIONS} tables")));
        }
        ControlFlow::Continue(())
    }
}

/// How often planners look at what is inside of `expr`, given the same for what it is inside of; and whether a `CASE` in
/// there is asked for its type and, apart from that, for whether it may be null. Functions want to know both of their
/// arguments whichever they are asked for themselves, so a `CASE` in a function in a `CASE` is asked four times.
fn readings(expr: &ast::Expr, (times, both): (u64, bool)) -> (u64, bool) {
    use ast::{BinaryOperator as Op, Expr};
    let again = match expr {
        Expr::Case { .. } if both => 2,
        // Both are written as what they mean, in which the array stands several times.
        Expr::AnyOp { right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => 4,
        Expr::AllOp { right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => 5,
        // Planned once to see which kind of map it is.
        Expr::Function(function) if is_map(&function.name) => 2,
        _ => 1,
    };
    let both = match expr {
        Expr::Case { .. } => false,
        Expr::Nested(_)
        | Expr::Cast { .. }
        | Expr::UnaryOp { .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::BinaryOp {
            op:
                Op::Plus
                | Op::Minus
                | Op::Multiply
                | Op::Divide
                | Op::Modulo
                | Op::And
                | Op::Or
                | Op::Eq
                | Op::NotEq
                | Op::Lt
                | Op::LtEq
                | Op::Gt
                | Op::GtEq,
            ..
        } => both,
        _ => true,
    };
    (times.saturating_mul(again), both)
}

fn is_map(name: &ast::ObjectName) -> bool {
    match name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| super::super::statement::normal(ident) == "map"),
        _ => false,
    }
}

/// How many sets of columns a query groups by, and how many columns all its groupings name.
fn groupings(group_by: &ast::GroupByExpr) -> (u64, u64) {
    // What stands behind, as in WITH CUBE, is refused or ignored, but not planned.
    let ast::GroupByExpr::Expressions(items, _) = group_by else { return (1, 0) };
    let number = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let mut total = (1_u64, 0_u64);
    for item in items {
        let (sets, columns) = match item {
            ast::Expr::Cube(sets) => {
                let subsets = u32::try_from(sets.len()).ok().and_then(|length| 1_u64.checked_shl(length));
                (subsets.unwrap_or(u64::MAX), number(sets.len()))
            }
            ast::Expr::Rollup(sets) => (number(sets.len()).saturating_add(1), number(sets.len())),
            ast::Expr::GroupingSets(sets) => (number(sets.len()), number(sets.iter().map(Vec::len).sum())),
            _ => (1, 1),
        };
        total = (total.0.saturating_mul(sets.max(1)), total.1.saturating_add(columns));
    }
    total
}
