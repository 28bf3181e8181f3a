//! How tall and how wide a statement may be.
//!
//! A short text can stand for a plan that no machine can look at: chains of operators nest, common table expressions
//! double, columns of columns multiply. What planners would do with it cannot be interrupted, so it is measured first,
//! in time that is linear in the text.

use std::{collections::HashMap, rc::Rc};

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::Result as DataFusionResult,
    logical_expr::{Expr, LogicalPlan, Operator},
    sql::sqlparser::{keywords::Keyword, tokenizer::Token},
};

use crate::{Error, Result};

mod meter;
mod relations;
mod weigh;

pub(super) use meter::MeteredDialect;
pub(super) use relations::check_relations;

/// Operators, one inside of the other, in the text of an expression.
pub(super) const HEIGHT: usize = 500;
/// Brackets that are open at the same time. The parser allows fewer in expressions, and any number in types.
const BRACKETS: usize = 200;
/// In how many ways brackets before queries can be shared out between queries and joins; the parser tries them all.
const WAYS: usize = 4_096;
/// `*` and `t.*` in all select lists together.
const WILDCARDS: usize = 1_000;
/// Nodes of a plan, a common table expression counted as often as it is used.
const NODES: u64 = 20_000;
/// Nodes of a plan above one another. One text does not get there; views add theirs, and what planners do grows faster than
/// plans do.
const TALLEST: u64 = 2_000;
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
    /// Set operations and other steps of the query that is being read.
    unions: usize,
    /// Angle brackets of the type that is being read.
    angles: usize,
    /// Ways to read the brackets before the query that is being read; 0 and 1 are the same.
    ways: usize,
}

/// The levels that are open, from the outermost, of which there is always one. How high they stand on one another is kept
/// as they change: text can open as many as it has bytes.
struct Levels {
    outer: Vec<Level>,
    top: Level,
    height: usize,
    brackets: usize,
    ways: usize,
}

impl Levels {
    fn new() -> Self {
        Self { outer: Vec::new(), top: Level::default(), height: 0, brackets: 0, ways: 1 }
    }

    fn open(&mut self, case: bool) {
        self.outer.push(std::mem::replace(&mut self.top, Level { case, ..Level::default() }));
        self.brackets += usize::from(!case);
    }

    /// Closes the innermost level; the outermost stays. Says whether it was a `CASE`.
    fn close(&mut self) -> bool {
        let Some(around) = self.outer.pop() else { return false };
        let closed = std::mem::replace(&mut self.top, around);
        self.height -= closed.links + closed.unions + closed.angles;
        self.brackets -= usize::from(!closed.case);
        self.ways /= closed.ways.max(1);
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

    /// Types in angle brackets nest across commas.
    fn angle(&mut self, token: &Token, before: Option<Keyword>) {
        let (opened, closed) = match token {
            Token::Lt if matches!(before, Some(Keyword::ARRAY | Keyword::MAP | Keyword::STRUCT)) => (1, 0),
            Token::Gt => (0, 1),
            Token::ShiftRight => (0, 2),
            _ => return,
        };
        let closed = self.top.angles.min(closed);
        self.top.angles = self.top.angles + opened - closed;
        self.height = self.height + opened - closed;
    }

    /// A query begins behind `brackets` that only enclose it.
    fn query(&mut self, brackets: usize) {
        if brackets > 1 {
            self.top.ways = brackets;
            self.ways = self.ways.saturating_mul(brackets);
        }
    }

    /// Another expression begins on the same level.
    fn turn(&mut self) {
        self.height -= std::mem::take(&mut self.top.links);
    }
}

/// Refuses text that nests deeper, once parsed, than a stack is tall. The parser limits the brackets of expressions by
/// itself, but not those of types; operators need none.
///
/// # Errors
/// `InvalidInput` for more than `limit` operators or [`BRACKETS`] inside of one another.
pub(super) fn check_text(tokens: &[Token], limit: usize) -> Result<()> {
    let mut levels = Levels::new();
    let mut wildcards = 0;
    // Whether the last token asks for an operand: then a word is a name, whatever else it could mean.
    let mut wants_operand = false;
    let mut begins_item = true;
    let mut before = None;
    // Opening brackets directly before the token.
    let mut run = 0;
    let mut names_types = false;
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        let word = keyword(token);
        let mut link = false;
        if matches!(word, Some(Keyword::SELECT | Keyword::FROM | Keyword::WITH | Keyword::INSERT)) {
            levels.query(run);
        }
        names_types |= matches!(token, Token::Word(word) if starts_arrow(&word.value));
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
            // So do the steps of a pipe, and commas do not end any of these.
            (Token::VerticalBarRightAngleBracket, _)
            | (_, Some(Keyword::PIVOT | Keyword::UNPIVOT | Keyword::EXPLAIN)) => levels.union(),
            // The one prefix that the parser does not count. It can be a name, too: then what follows is no operand.
            (_, Some(Keyword::INTERVAL)) => levels.link(),
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
                levels.angle(token, before);
                link = true;
            }
            _ => {}
        }
        if levels.height > limit {
            return Err(too_much(&format!("chains more than {limit} operators")));
        }
        if levels.brackets > BRACKETS {
            return Err(too_much(&format!("nests more than {BRACKETS} brackets")));
        }
        if levels.ways > WAYS {
            return Err(too_much("nests too many queries in more brackets than they need"));
        }
        if wildcards > WILDCARDS {
            return Err(too_much(&format!("has more than {WILDCARDS} wildcards")));
        }
        wants_operand = link;
        let starts = matches!(word, Some(Keyword::SELECT | Keyword::ALL | Keyword::DISTINCT));
        begins_item = starts || matches!(token, Token::Comma | Token::Period);
        before = word;
        run = if matches!(token, Token::LParen) { run + 1 } else { 0 };
    }
    if names_types && tokens.iter().any(is_deep_literal) {
        return Err(too_much(&format!("names a type of more than {BRACKETS} parts")));
    }
    Ok(())
}

/// Whether a function may be one that takes the name of a type.
fn starts_arrow(name: &str) -> bool {
    name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("arrow_"))
}

/// Whether a literal may hold the name of a type that nests too deep: such names are parsed, too, and escapes can stand
/// for brackets.
fn is_deep_literal(token: &Token) -> bool {
    let is_text = !matches!(token, Token::Word(_) | Token::Whitespace(_)) && super::statement::is_literal(token);
    is_text && token.to_string().matches(['(', '\\']).count() > BRACKETS
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

/// How large an expression is: its parts, as optimizers write them out, and how deep they nest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Size {
    parts: u64,
    depth: u64,
    /// Parts that are looked at to find the type, or whether it may be null.
    asked: u64,
    /// Parts that are looked at to find both.
    described: u64,
}

impl Size {
    const ONE: Self = Self { parts: 1, depth: 1, asked: 1, described: 1 };

    fn max(self, other: Self) -> Self {
        Self {
            parts: self.parts.max(other.parts),
            depth: self.depth.max(other.depth),
            asked: self.asked.max(other.asked),
            described: self.described.max(other.described),
        }
    }

    fn is_too_much(self) -> bool {
        self.parts > PARTS || self.depth > DEPTH || self.described > PARTS
    }
}

/// What is known about a node: how many it stands for, and what its columns are computed from.
#[derive(Clone)]
struct Measure {
    nodes: u64,
    height: u64,
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
        let (mut nodes, mut height) = (1_u64, 1_u64);
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            match self.measure(input)? {
                Ok(measure) => {
                    nodes = nodes.saturating_add(measure.nodes);
                    height = height.max(measure.height + 1);
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
                Ok(measure) => {
                    nodes = nodes.saturating_add(measure.nodes);
                    height = height.max(measure.height + 1);
                }
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
        if height > TALLEST {
            fault = Some("stands for too tall a plan");
        }
        if sizes.iter().any(|size| size.is_too_much()) {
            fault = Some("computes columns out of columns too often");
        }
        if let Some(fault) = fault {
            return Ok(Err(fault));
        }
        let measure = Measure { nodes, height, columns: columns(plan, &inputs, sizes).into() };
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
    let mut copies = weigh::copies(expr, inputs).into_iter();
    expr.apply_children(|child| {
        let child = size(child, inputs)?;
        total.parts = total.parts.saturating_add(child.parts.saturating_mul(copies.next().unwrap_or(1)));
        total.depth = total.depth.max(child.depth.saturating_add(1));
        total.asked = total.asked.saturating_add(child.asked);
        total.described = total.described.saturating_add(child.described);
        Ok(TreeNodeRecursion::Continue)
    })?;
    // As in `readings`.
    match expr {
        Expr::Case(_) => total.described = total.asked.saturating_mul(2),
        // This one becomes a function.
        Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => total.asked = total.described,
        Expr::ScalarFunction(_)
        | Expr::AggregateFunction(_)
        | Expr::WindowFunction(_)
        | Expr::HigherOrderFunction(_) => {
            total.asked = total.described;
        }
        _ => {}
    }
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
