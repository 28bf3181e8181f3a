//! Of which scale the data in a folder is. A table that is there is used as it is, so data of one scale must never pass
//! for data of another.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use sqe_bench::tpch::{Scale, Table};
use sqe_core::Session;

use super::{
    data::{CATALOG, SCHEMA},
    whole,
};
use crate::exit::UsageError;

/// The record's name in the folder.
const FILE: &str = "tpch.scale";

/// What is known about the data that is there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    /// There is none, or only tables that are the same at every scale.
    Nothing,
    /// It was noted down.
    Recorded(Scale),
    /// The number of rows of a table tells.
    Counted(Table, u64),
    /// It is there, and nothing tells.
    Unknown,
}

/// The scale to use: that which is `asked` for, else that of the data in `folder`, else `otherwise`. It is noted down for
/// the next time. `there` are the tables that exist.
///
/// # Errors
/// [`UsageError`]: the data that is there is of another scale, or nothing tells of which.
pub(super) async fn settle(
    folder: &Path,
    session: &Session,
    there: &[Table],
    asked: Option<Scale>,
    otherwise: Scale,
) -> Result<Scale> {
    let file = folder.join(FILE);
    let known = match read(&file)? {
        _ if there.iter().all(|table| is_constant(*table)) => Known::Nothing,
        Some(scale) => Known::Recorded(scale),
        None => count(session, there).await,
    };
    let scale =
        choose(known, asked, otherwise).map_err(|problem| UsageError(format!("{}: {problem}", folder.display())))?;
    whole::write(&file, format!("{scale}\n").as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(scale)
}

fn choose(known: Known, asked: Option<Scale>, otherwise: Scale) -> Result<Scale, String> {
    let other = |found: Scale, asked: Scale| {
        format!(
            "the data there is TPC-H at scale {found}, not {asked}; ask for scale {found}, or name another --data-dir"
        )
    };
    match (known, asked) {
        (Known::Nothing, asked) => Ok(asked.unwrap_or(otherwise)),
        (Known::Recorded(found), None) => Ok(found),
        (Known::Recorded(found), Some(asked)) if found == asked => Ok(asked),
        (Known::Recorded(found), Some(asked)) => Err(other(found, asked)),
        (Known::Counted(table, rows), Some(asked)) if table.rows(asked) == Some(rows) => Ok(asked),
        (Known::Counted(table, rows), asked) => match (of_rows(table, rows), asked) {
            (Some(found), None) => Ok(found),
            (Some(found), Some(asked)) => Err(other(found, asked)),
            (None, _) => Err(untold()),
        },
        (Known::Unknown, _) => Err(untold()),
    }
}

fn untold() -> String {
    "nothing tells of which scale the TPC-H data there is; name another --data-dir".to_owned()
}

/// Whether a table has the same rows at every scale.
fn is_constant(table: Table) -> bool {
    matches!(table, Table::Region | Table::Nation)
}

/// The scale at which a table has so many rows.
fn of_rows(table: Table, rows: u64) -> Option<Scale> {
    let unit = table.rows(Scale::new(1.0).ok()?)?;
    let found = Scale::new(rows as f64 / unit as f64).ok()?;
    (table.rows(found) == Some(rows)).then_some(found)
}

/// Data of a time when nothing was noted down: the largest table whose rows are a matter of the scale alone tells most.
async fn count(session: &Session, there: &[Table]) -> Known {
    for table in [Table::Orders, Table::Partsupp, Table::Part, Table::Customer, Table::Supplier] {
        if there.contains(&table) {
            return match rows(session, table).await {
                Ok(rows) => Known::Counted(table, rows),
                // Whoever loads data need not be permitted to read it.
                Err(error) => {
                    tracing::debug!(%error, "the rows of {table} cannot be counted");
                    Known::Unknown
                }
            };
        }
    }
    Known::Unknown
}

async fn rows(session: &Session, table: Table) -> Result<u64> {
    let answer = session.query(&format!("SELECT count(*) AS n FROM {CATALOG}.{SCHEMA}.{table}")).await?;
    let batches: Vec<_> = answer.try_collect().await?;
    let count =
        batches.first().and_then(|batch| batch.columns().first()?.as_primitive_opt::<Int64Type>()?.iter().next()?);
    Ok(u64::try_from(count.context("there is no count")?)?)
}

fn read(file: &Path) -> Result<Option<Scale>> {
    let unreadable = || UsageError(format!("{} holds no scale; name another --data-dir", file.display()));
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().parse().map_err(|_| unreadable())?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn scale(factor: f64) -> Scale {
        Scale::new(factor).unwrap()
    }

    #[rstest]
    #[case::nothing_there(Known::Nothing, Some(0.1), Some(0.1))]
    #[case::nothing_there_nor_asked(Known::Nothing, None, Some(1.0))]
    #[case::recorded(Known::Recorded(scale(0.1)), Some(0.1), Some(0.1))]
    #[case::recorded_and_not_asked(Known::Recorded(scale(0.1)), None, Some(0.1))]
    #[case::another_recorded(Known::Recorded(scale(0.1)), Some(0.2), None)]
    #[case::counted(Known::Counted(Table::Orders, 150_000), Some(0.1), Some(0.1))]
    #[case::counted_and_not_asked(Known::Counted(Table::Customer, 1_500), None, Some(0.01))]
    #[case::another_counted(Known::Counted(Table::Orders, 150_000), Some(0.2), None)]
    #[case::an_impossible_count(Known::Counted(Table::Orders, 0), None, None)]
    #[case::unknown(Known::Unknown, Some(0.1), None)]
    #[case::unknown_and_not_asked(Known::Unknown, None, None)]
    fn data_never_passes_for_data_of_another_scale(
        #[case] known: Known,
        #[case] asked: Option<f64>,
        #[case] expected: Option<f64>,
    ) {
        let chosen = choose(known, asked.map(scale), scale(1.0));
        assert_eq!(chosen.as_ref().ok().map(|scale| scale.factor()), expected, "{chosen:?}");
    }

    #[test]
    fn a_refusal_names_both_scales() {
        let problem = choose(Known::Recorded(scale(0.1)), Some(scale(0.2)), scale(1.0)).unwrap_err();
        assert!(problem.contains("at scale 0.1, not 0.2"), "{problem}");
    }

    #[test]
    fn the_record_comes_back_as_it_was_and_garbage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(read(&file).unwrap(), None);
        whole::write(&file, format!("{}\n", scale(0.0123)).as_bytes()).unwrap();
        assert_eq!(read(&file).unwrap(), Some(scale(0.0123)));
        fs::write(&file, "much").unwrap();
        assert!(read(&file).unwrap_err().is::<UsageError>());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
    }
}
