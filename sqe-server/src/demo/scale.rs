//! Of which scale the data in a folder is. A table that is there is used as it is, so data of one scale must never pass
//! for data of another.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use sqe_bench::suite::{Scale, Suite, Table};
use sqe_core::Session;

use super::{data::CATALOG, whole};
use crate::exit::UsageError;

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
    suite: &Suite,
    folder: &Path,
    session: &Session,
    there: &[Table],
    asked: Option<Scale>,
    otherwise: Scale,
) -> Result<Scale> {
    let file = folder.join(format!("{}.scale", suite.name()));
    let known = match read(&file)? {
        _ if there.iter().all(Table::is_constant) => Known::Nothing,
        Some(scale) => Known::Recorded(scale),
        None => count(suite, session, there).await,
    };
    let scale = choose(suite.title(), known, asked, otherwise)
        .map_err(|problem| UsageError(format!("{}: {problem}", folder.display())))?;
    whole::write(&file, format!("{scale}\n").as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(scale)
}

fn choose(title: &str, known: Known, asked: Option<Scale>, otherwise: Scale) -> Result<Scale, String> {
    let other = |found: Scale, asked: Scale| {
        format!(
            "the data there is {title} at scale {found}, not {asked}; ask for scale {found}, or name another --data-dir"
        )
    };
    match (known, asked) {
        (Known::Nothing, asked) => Ok(asked.unwrap_or(otherwise)),
        (Known::Recorded(found), None) => Ok(found),
        (Known::Recorded(found), Some(asked)) if found == asked => Ok(asked),
        (Known::Recorded(found), Some(asked)) => Err(other(found, asked)),
        (Known::Counted(table, rows), Some(asked)) if table.rows(asked) == Some(rows) => Ok(asked),
        (Known::Counted(table, rows), asked) => match (table.scale_of(rows), asked) {
            (Some(found), None) => Ok(found),
            (Some(found), Some(asked)) => Err(other(found, asked)),
            (None, _) => Err(untold(title)),
        },
        (Known::Unknown, _) => Err(untold(title)),
    }
}

fn untold(title: &str) -> String {
    format!("nothing tells of which scale the {title} data there is; name another --data-dir")
}

/// Data of a time when nothing was noted down: of the tables whose rows tell, the one with most of them tells most.
async fn count(suite: &Suite, session: &Session, there: &[Table]) -> Known {
    let Ok(unit) = Scale::new(1.0) else { return Known::Unknown };
    let telling = |table: &&Table| table.rows(unit).is_some_and(|rows| table.scale_of(rows).is_some());
    let Some(table) = there.iter().filter(telling).max_by_key(|table| table.rows(unit)).copied() else {
        return Known::Unknown;
    };
    match rows(suite, session, table).await {
        Ok(rows) => Known::Counted(table, rows),
        // Whoever loads data need not be permitted to read it.
        Err(error) => {
            tracing::debug!(%error, "the rows of {table} cannot be counted");
            Known::Unknown
        }
    }
}

async fn rows(suite: &Suite, session: &Session, table: Table) -> Result<u64> {
    let answer = session.query(&format!("SELECT count(*) AS n FROM {CATALOG}.{}.{table}", suite.name())).await?;
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

    use sqe_bench::tpch::{CUSTOMER, ORDERS};

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
    #[case::counted(Known::Counted(ORDERS, 150_000), Some(0.1), Some(0.1))]
    #[case::counted_and_not_asked(Known::Counted(CUSTOMER, 1_500), None, Some(0.01))]
    #[case::another_counted(Known::Counted(ORDERS, 150_000), Some(0.2), None)]
    #[case::an_impossible_count(Known::Counted(ORDERS, 0), None, None)]
    #[case::unknown(Known::Unknown, Some(0.1), None)]
    #[case::unknown_and_not_asked(Known::Unknown, None, None)]
    fn data_never_passes_for_data_of_another_scale(
        #[case] known: Known,
        #[case] asked: Option<f64>,
        #[case] expected: Option<f64>,
    ) {
        let chosen = choose("TPC-H", known, asked.map(scale), scale(1.0));
        assert_eq!(chosen.as_ref().ok().map(|scale| scale.factor()), expected, "{chosen:?}");
    }

    #[test]
    fn a_refusal_names_both_scales() {
        let problem = choose("TPC-H", Known::Recorded(scale(0.1)), Some(scale(0.2)), scale(1.0)).unwrap_err();
        assert!(problem.contains("at scale 0.1, not 0.2"), "{problem}");
    }

    #[test]
    fn the_record_comes_back_as_it_was_and_garbage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tpch.scale");
        assert_eq!(read(&file).unwrap(), None);
        whole::write(&file, format!("{}\n", scale(0.0123)).as_bytes()).unwrap();
        assert_eq!(read(&file).unwrap(), Some(scale(0.0123)));
        fs::write(&file, "much").unwrap();
        assert!(read(&file).unwrap_err().is::<UsageError>());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
    }
}
