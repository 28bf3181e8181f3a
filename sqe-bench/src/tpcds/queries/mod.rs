//! The 99 queries.
//!
//! Their texts are those of the specification's templates. From scale 1 on their parameters are those with which an
//! implementation is validated (appendix B); below, where many of these find nothing, [`SMALL`](small::SMALL) has others.
//!
//! Liberties, all of the kind that clause 4.2.3 calls minor, or taken because two engines must give one answer:
//!
//! - Sums of a date and an interval are written as the date that they give; rows to return are a `LIMIT`.
//! - Where NULLs stand in an order is written down wherever engines have different defaults. The specification leaves it
//!   open.
//! - A quotient is multiplied by 1.0000, or rounded, where its type is a matter of the engine.
//! - Of queries 14, 23, 24 and 39, which have two statements each, this is one.

mod small;

use crate::suite::Scale;

/// The parameters of a query at this scale.
pub(super) fn parameters(id: u32, scale: Scale) -> Vec<(&'static str, String)> {
    let all = small::SMALL.iter().filter(|parameter| parameter.query == id);
    all.map(|parameter| (parameter.name, parameter.at(scale).to_owned())).collect()
}

pub(super) const TEXTS: [&str; 99] = [
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
    include_str!("q23.sql"),
    include_str!("q24.sql"),
    include_str!("q25.sql"),
    include_str!("q26.sql"),
    include_str!("q27.sql"),
    include_str!("q28.sql"),
    include_str!("q29.sql"),
    include_str!("q30.sql"),
    include_str!("q31.sql"),
    include_str!("q32.sql"),
    include_str!("q33.sql"),
    include_str!("q34.sql"),
    include_str!("q35.sql"),
    include_str!("q36.sql"),
    include_str!("q37.sql"),
    include_str!("q38.sql"),
    include_str!("q39.sql"),
    include_str!("q40.sql"),
    include_str!("q41.sql"),
    include_str!("q42.sql"),
    include_str!("q43.sql"),
    include_str!("q44.sql"),
    include_str!("q45.sql"),
    include_str!("q46.sql"),
    include_str!("q47.sql"),
    include_str!("q48.sql"),
    include_str!("q49.sql"),
    include_str!("q50.sql"),
    include_str!("q51.sql"),
    include_str!("q52.sql"),
    include_str!("q53.sql"),
    include_str!("q54.sql"),
    include_str!("q55.sql"),
    include_str!("q56.sql"),
    include_str!("q57.sql"),
    include_str!("q58.sql"),
    include_str!("q59.sql"),
    include_str!("q60.sql"),
    include_str!("q61.sql"),
    include_str!("q62.sql"),
    include_str!("q63.sql"),
    include_str!("q64.sql"),
    include_str!("q65.sql"),
    include_str!("q66.sql"),
    include_str!("q67.sql"),
    include_str!("q68.sql"),
    include_str!("q69.sql"),
    include_str!("q70.sql"),
    include_str!("q71.sql"),
    include_str!("q72.sql"),
    include_str!("q73.sql"),
    include_str!("q74.sql"),
    include_str!("q75.sql"),
    include_str!("q76.sql"),
    include_str!("q77.sql"),
    include_str!("q78.sql"),
    include_str!("q79.sql"),
    include_str!("q80.sql"),
    include_str!("q81.sql"),
    include_str!("q82.sql"),
    include_str!("q83.sql"),
    include_str!("q84.sql"),
    include_str!("q85.sql"),
    include_str!("q86.sql"),
    include_str!("q87.sql"),
    include_str!("q88.sql"),
    include_str!("q89.sql"),
    include_str!("q90.sql"),
    include_str!("q91.sql"),
    include_str!("q92.sql"),
    include_str!("q93.sql"),
    include_str!("q94.sql"),
    include_str!("q95.sql"),
    include_str!("q96.sql"),
    include_str!("q97.sql"),
    include_str!("q98.sql"),
    include_str!("q99.sql"),
];
