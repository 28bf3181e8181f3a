//! The 22 queries with the validation parameters of the specification (clause 2.4, "Query Validation").
//!
//! Three liberties, all of the kind that clause 2.2.3 calls minor: sums of a date and an interval are written as the
//! date that they give, because engines differ in whether they see through them when they prune; query 15's view is a
//! common table expression (the specification's own variant); rows to return are a `LIMIT`.

use crate::suite::Scale;

/// The scale matters to query 11 alone, whose threshold is a share of all stock.
pub(super) fn parameters(id: u32, scale: Scale) -> Vec<(&'static str, String)> {
    if id == 11 { vec![("fraction", fraction(scale))] } else { Vec::new() }
}

/// 0.0001 / scale (clause 2.4.11.3) as a plain decimal literal.
fn fraction(scale: Scale) -> String {
    let digits = format!("{:.12}", 0.0001 / scale.factor());
    digits.trim_end_matches('0').to_owned()
}

pub(super) const TEXTS: [&str; 22] = [
    include_str!("q01.sql"),
    include_str!("q02.sql"),
    include_str!("q03.sql"),
    include_str!("q04.sql"),
    include_str!("q05.sql"),
    include_str!("q06.sql"),
    include_str!("q07.sql"),
    include_str!("q08.sql"),
    include_str!("q09.sql"),
    include_str!("q10.sql"),
    include_str!("q11.sql"),
    include_str!("q12.sql"),
    include_str!("q13.sql"),
    include_str!("q14.sql"),
    include_str!("q15.sql"),
    include_str!("q16.sql"),
    include_str!("q17.sql"),
    include_str!("q18.sql"),
    include_str!("q19.sql"),
    include_str!("q20.sql"),
    include_str!("q21.sql"),
    include_str!("q22.sql"),
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tpch::SUITE;

    #[rstest]
    #[case(1.0, "* 0.0001\n")]
    #[case(0.01, "* 0.01\n")]
    #[case(0.1, "* 0.001\n")]
    #[case(100.0, "* 0.000001\n")]
    fn the_threshold_of_query_11_follows_the_scale(#[case] scale: f64, #[case] expected: &str) {
        let text = SUITE.query(11, Scale::new(scale).unwrap()).unwrap();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn no_other_query_depends_on_the_scale() {
        for id in SUITE.ids().filter(|id| *id != 11) {
            let small = SUITE.query(id, Scale::new(0.01).unwrap()).unwrap();
            assert_eq!(small, SUITE.query(id, Scale::new(10.0).unwrap()).unwrap());
        }
    }
}
