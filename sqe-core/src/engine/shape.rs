//! How tall and how wide a statement may be.
//!
//! A short text can stand for a plan that no machine can look at: chains of operators nest, common table expressions
//! double, columns of columns multiply. What planners would do with it cannot be interrupted, so it is measured first,
//! in time that is linear in the text.

use std::{collections::HashMap, ops::ControlFlow, rc::Rc};

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::Result as DataFusionResult,
    logical_expr::{Expr, LogicalPlan},
    sql::{
        parser::Statement as Parsed,
        sqlparser::{
            ast::{Query, TableFactor, Visit, Visitor},
            keywords::Keyword,
            tokenizer::Token,
        },
    },
};

use crate::{Error, Result};

/// Operators, one inside of the other, in the text of an expression.
pub(super) const HEIGHT: usize = 500;
/// `*` and `t.*` in all select lists together.
const WILDCARDS: usize = 1_000;
/// Tables, subqueries and table functions that a statement names, each as often as it names it.
const RELATIONS: usize = 500;
/// The same, once every common table expression is written out wherever it is named.
const EXPANDED: u64 = 5_000;
/// Nodes of a plan, a common table expression counted as often as it is used.
const NODES: u64 = 20_000;
/// Parts of an expression in which every column is replaced by what it was computed from, as optimizers do.
const PARTS: u64 = 50_000;
/// How deep such an expression nests.
const DEPTH: u64 = 1_000;

fn too_much(what: &str) -> Error {
    Error::invalid(format!("the statement {what}; split it, or use IN (…), a join or a table instead"))
}

/// One level of brackets, or one `CASE`.
#[derive(Default)]
struct Level {
    case: bool,
    /// Operators of the expression that is being read.
    links: usize,
    /// Set operations of the query that is being read.
    unions: usize,
}

/// The levels that are open, from the outermost, of which there is always one. How high they stand on one another is kept
/// as they change: text can open as many as it has bytes.
struct Levels {
    outer: Vec<Level>,
    top: Level,
    height: usize,
}

impl Levels {
    fn new() -> Self {
        Self { outer: Vec::new(), top: Level::default(), height: 0 }
    }

    fn open(&mut self, case: bool) {
        self.outer.push(std::mem::replace(&mut self.top, Level { case, ..Level::default() }));
    }

    /// Closes the innermost level; the outermost stays. Says whether it was a `CASE`.
    fn close(&mut self) -> bool {
        let Some(around) = self.outer.pop() else { return false };
        let closed = std::mem::replace(&mut self.top, around);
        self.height -= closed.links + closed.unions;
        closed.case
    }

    fn link(&mut self) {
        self.top.links += 1;
        self.height += 1;
    }

    fn union(&mut self) {
        self.top.unions += 1;
        self.height += 1;
    }

    /// Another expression begins on the same level.
    fn turn(&mut self) {
        self.height -= std::mem::take(&mut self.top.links);
    }
}

/// Refuses text that nests deeper, once parsed, than a stack is tall. The parser limits brackets by itself; operators
/// need none.
///
/// # Errors
/// `InvalidInput` for more than `limit` operators inside of one another.
pub(super) fn check_text(tokens: &[Token], limit: usize) -> Result<()> {
    let mut levels = Levels::new();
    let mut wildcards = 0;
    // Whether the last token asks for an operand: then a word is a name, whatever else it could mean.
    let mut wants_operand = false;
    let mut begins_item = true;
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        let word = keyword(token);
        let mut link = false;
        match (token, word) {
            (Token::LBracket, _) => {
                // Subscripts and types of types are chains, too.
                levels.link();
                levels.open(false);
            }
            (Token::LParen | Token::LBrace, _) => levels.open(false),
            (Token::RParen | Token::RBracket | Token::RBrace, _) => while levels.close() {},
            (Token::SemiColon, _) => levels = Levels::new(),
            (Token::Comma, _) => levels.turn(),
            (_, Some(Keyword::CASE)) => levels.open(true),
            (_, Some(Keyword::END)) if levels.top.case && !wants_operand => drop(levels.close()),
            // Always: some operators stand behind their operand.
            (_, Some(Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS)) => levels.union(),
            (_, Some(Keyword::SELECT | Keyword::WHERE | Keyword::HAVING | Keyword::ON | Keyword::JOIN))
                if !wants_operand =>
            {
                levels.turn();
            }
            (_, Some(Keyword::WHEN | Keyword::THEN | Keyword::ELSE)) if levels.top.case && !wants_operand => {
                levels.turn();
            }
            (Token::Mul, _) if begins_item => wildcards += 1,
            _ if is_link(token, word) => {
                levels.link();
                link = true;
            }
            _ => {}
        }
        if levels.height > limit {
            return Err(too_much(&format!("chains more than {limit} operators")));
        }
        if wildcards > WILDCARDS {
            return Err(too_much(&format!("has more than {WILDCARDS} wildcards")));
        }
        wants_operand = link;
        let starts = matches!(word, Some(Keyword::SELECT | Keyword::ALL | Keyword::DISTINCT));
        begins_item = starts || matches!(token, Token::Comma | Token::Period);
    }
    Ok(())
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Whether a token continues an expression on its left.
fn is_link(token: &Token, word: Option<Keyword>) -> bool {
    if let Some(word) = word {
        return matches!(
            word,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::NOTNULL
                | Keyword::IS
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::OVERLAPS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::MATCH
                | Keyword::SIMILAR
                | Keyword::MEMBER
                | Keyword::OPERATOR
                | Keyword::DIV
                | Keyword::AT
                | Keyword::COLLATE
        );
    }
    !matches!(token, Token::Word(_) | Token::Period | Token::EOF | Token::Placeholder(_) | Token::Number(..))
        && !super::statement::is_literal(token)
}

/// Refuses a statement that names more relations than planners, which compare them all, can look at, or that uses what
/// it names so often that it stands for more than anybody would write out.
///
/// # Errors
/// `InvalidInput` for such a statement.
pub(super) fn check_relations(statement: &Parsed) -> Result<()> {
    match statement {
        Parsed::Statement(ast) => {
            let mut count = Relations::default();
            if ast.visit(&mut count).is_break() || count.written > RELATIONS {
                return Err(too_much(&format!("names more than {RELATIONS} tables")));
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
struct Relations {
    written: usize,
    /// What the queries stand for that are being read, from the outermost.
    queries: Vec<u64>,
    /// The bodies of common table expressions, by where they are.
    bodies: HashMap<usize, String>,
    /// What names stand for; of several expressions of one name the largest.
    names: HashMap<String, u64>,
    largest: u64,
    outside: u64,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = super::statement::normal(&cte.alias.name);
            self.bodies.insert(std::ptr::from_ref(cte.query.as_ref()).addr(), name);
        }
        self.queries.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let stands_for = self.queries.pop().unwrap_or(0);
        self.largest = self.largest.max(stands_for);
        if let Some(name) = self.bodies.get(&std::ptr::from_ref(query).addr()) {
            let known = self.names.entry(name.clone()).or_insert(0);
            *known = stands_for.max(*known);
        } else {
            let around = self.queries.last_mut().unwrap_or(&mut self.outside);
            *around = around.saturating_add(stands_for);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.written += 1;
        let name = match factor {
            TableFactor::Table { name, .. } => match name.0.as_slice() {
                [part] => part.as_ident().map(super::statement::normal),
                _ => None,
            },
            _ => None,
        };
        let stands_for = name.and_then(|name| self.names.get(&name).copied()).unwrap_or(1).max(1);
        let around = self.queries.last_mut().unwrap_or(&mut self.outside);
        *around = around.saturating_add(stands_for);
        if self.written > RELATIONS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// How large an expression is: its parts, and how deep they nest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Size {
    parts: u64,
    depth: u64,
}

impl Size {
    const ONE: Self = Self { parts: 1, depth: 1 };

    fn max(self, other: Self) -> Self {
        Self { parts: self.parts.max(other.parts), depth: self.depth.max(other.depth) }
    }
}

/// What is known about a node: how many it stands for, and what its columns are computed from.
#[derive(Clone)]
struct Measure {
    nodes: u64,
    columns: Rc<[Size]>,
}

/// Refuses a plan that is larger than it looks.
///
/// # Errors
/// `InvalidInput` for a plan beyond the limits.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    Plans::default().measure(plan)?.map(|_| ()).map_err(too_much)
}

/// Nodes that are shared are measured once; that is what makes measuring linear.
#[derive(Default)]
struct Plans(HashMap<usize, Measure>);

type Measured<T> = std::result::Result<T, &'static str>;

impl Plans {
    fn measure(&mut self, plan: &LogicalPlan) -> DataFusionResult<Measured<Measure>> {
        let address = std::ptr::from_ref(plan).addr();
        if let Some(known) = self.0.get(&address) {
            return Ok(Ok(known.clone()));
        }
        let mut nodes = 1_u64;
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            match self.measure(input)? {
                Ok(measure) => {
                    nodes = nodes.saturating_add(measure.nodes);
                    inputs.push((input, measure.columns));
                }
                Err(what) => return Ok(Err(what)),
            }
        }
        let mut fault = None;
        plan.apply_subqueries(|subquery| {
            // What is handed in here is made for this call, and its address is used again: only its input stays.
            let LogicalPlan::Subquery(subquery) = subquery else { return Ok(TreeNodeRecursion::Continue) };
            match self.measure(&subquery.subquery)? {
                Ok(measure) => nodes = nodes.saturating_add(measure.nodes),
                Err(what) => fault = Some(what),
            }
            Ok(if fault.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        let mut sizes = Vec::new();
        plan.apply_expressions(|expr| {
            sizes.push(size(expr, &inputs)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        if nodes > NODES {
            fault = Some("stands for too large a plan, since what it names is used again and again");
        }
        if sizes.iter().any(|size| size.parts > PARTS || size.depth > DEPTH) {
            fault = Some("computes columns out of columns too often");
        }
        if let Some(fault) = fault {
            return Ok(Err(fault));
        }
        let measure = Measure { nodes, columns: columns(plan, &inputs, sizes).into() };
        self.0.insert(address, measure.clone());
        Ok(Ok(measure))
    }
}

type Input<'a> = (&'a LogicalPlan, Rc<[Size]>);

fn size(expr: &Expr, inputs: &[Input<'_>]) -> DataFusionResult<Size> {
    if let Expr::Column(column) = expr {
        let found = inputs.iter().find_map(|(input, columns)| {
            let index = input.schema().maybe_index_of_column(column)?;
            columns.get(index).copied()
        });
        return Ok(found.unwrap_or(Size::ONE));
    }
    let mut total = Size::ONE;
    expr.apply_children(|child| {
        let child = size(child, inputs)?;
        total.parts = total.parts.saturating_add(child.parts);
        total.depth = total.depth.max(child.depth.saturating_add(1));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(total)
}

/// What the columns of a node are computed from, as far as optimizers look through it.
fn columns(plan: &LogicalPlan, inputs: &[Input<'_>], sizes: Vec<Size>) -> Vec<Size> {
    let fields = plan.schema().fields().len();
    let mut own = match plan {
        LogicalPlan::Projection(_) => sizes,
        LogicalPlan::Aggregate(aggregate) => sizes.into_iter().take(aggregate.group_expr.len()).collect(),
        LogicalPlan::Union(_) => (0..fields)
            .map(|at| {
                inputs.iter().filter_map(|(_, columns)| columns.get(at)).fold(Size::ONE, |max, one| max.max(*one))
            })
            .collect(),
        // Joins put their inputs side by side, windows add columns behind, everything else hands columns through.
        _ => inputs.iter().flat_map(|(_, columns)| columns.iter().copied()).collect(),
    };
    own.resize(fields, Size::ONE);
    own
}

#[cfg(test)]
mod tests;
