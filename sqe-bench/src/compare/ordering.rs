//! What order a query asks its rows to be in.

use datafusion::sql::sqlparser::{
    ast::{Expr, LimitClause, OrderByKind, Statement, Value},
    dialect::GenericDialect,
    parser::Parser,
};
use sqe_core::{Error, Result};

/// The order that a query asks for, and how many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordering {
    /// Positions, from 0, of the columns of the answer that `ORDER BY` names, up to the first one that is not a column
    /// of the answer.
    pub keys: Vec<usize>,
    /// Whether these are all that `ORDER BY` names.
    pub complete: bool,
    /// The number of rows after which `LIMIT` cuts.
    pub limit: Option<usize>,
}

impl Ordering {
    /// The order of the rows of `sql`, whose answer has these columns; `None` if it asks for none.
    ///
    /// # Errors
    /// `InvalidInput` if `sql` is not one query.
    pub fn of(sql: &str, columns: &[String]) -> Result<Option<Self>> {
        let statements = Parser::parse_sql(&GenericDialect {}, sql)
            .map_err(|error| Error::invalid("the query cannot be read").with_source(error))?;
        let [Statement::Query(query)] = statements.as_slice() else {
            return Err(Error::invalid("only the answers of one query at a time can be compared"));
        };
        let Some(order_by) = &query.order_by else { return Ok(None) };
        let OrderByKind::Expressions(expressions) = &order_by.kind else {
            return Ok(None);
        };
        let keys: Vec<usize> = expressions.iter().map_while(|key| position(&key.expr, columns)).collect();
        let limit = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit: Some(limit), .. }) => number(limit),
            _ => None,
        };
        Ok(Some(Self { complete: keys.len() == expressions.len(), keys, limit }))
    }
}

fn position(key: &Expr, columns: &[String]) -> Option<usize> {
    let name = match key {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(path) => path.last()?,
        ordinal => return number(ordinal)?.checked_sub(1).filter(|index| *index < columns.len()),
    };
    columns.iter().position(|column| column.eq_ignore_ascii_case(&name.value))
}

fn number(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(sql: &str) -> Option<Ordering> {
        let columns = ["a", "b", "total"].map(str::to_owned);
        Ordering::of(sql, &columns).unwrap()
    }

    #[rstest]
    #[case::alias("select a, b, sum(c) as total from t group by 1, 2 order by total desc, A", &[2, 0], true, None)]
    #[case::qualified_with_limit("select t.a, b, total from t order by t.b limit 10", &[1], true, Some(10))]
    #[case::ordinal("select a, b, total from t order by 3", &[2], true, None)]
    #[case::hidden_key("select a, b, total from t order by a, c, b limit 3", &[0], false, Some(3))]
    #[case::ordinal_outside("select a, b, total from t order by 4", &[], false, None)]
    fn keys_are_the_named_columns(
        #[case] sql: &str,
        #[case] keys: &[usize],
        #[case] complete: bool,
        #[case] limit: Option<usize>,
    ) {
        assert_eq!(of(sql), Some(Ordering { keys: keys.to_vec(), complete, limit }));
    }

    #[test]
    fn an_order_inside_a_subquery_is_none_of_the_answer() {
        assert_eq!(of("select * from (select a, b, total from t order by a) as s"), None);
    }

    #[rstest]
    #[case("select 1; select 2")]
    #[case("drop table t")]
    #[case("selec 1")]
    fn anything_but_one_query_is_refused(#[case] sql: &str) {
        assert_eq!(Ordering::of(sql, &[]).unwrap_err().kind(), sqe_core::ErrorKind::InvalidInput);
    }
}
