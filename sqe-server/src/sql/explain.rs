//! `sqe explain`.

use std::io::Write;

use anyhow::Result;
use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::DataType,
};
use futures::TryStreamExt;

use super::{
    session::{Session, Settings},
    split::{Piece, pieces},
    write::visible::visible_lines,
};
use crate::{cli::ExplainArguments, exit::UsageError, profile::Target};

/// Shows how a statement is run.
///
/// # Errors
/// It is not one statement, or the server does not explain it.
pub(crate) async fn explain(arguments: ExplainArguments) -> Result<()> {
    let sql = match pieces(&arguments.statement).as_slice() {
        [Piece::Statement(sql)] => (*sql).to_owned(),
        _ => return Err(UsageError("one statement is explained at a time".to_owned()).into()),
    };
    let how = match (arguments.analyze, arguments.policy) {
        (true, _) => "ANALYZE ",
        (_, true) => "POLICY ",
        _ => "",
    };
    let question = format!("EXPLAIN {how}{sql}");
    let target = Target::resolve(&arguments.connect)?;
    let mut session = Session::open(target, Settings::of_a_script(arguments.output), false).await?;
    let outcome = match arguments.output {
        Some(_) => session.run(&question).await.map(|_| ()),
        None => text(&mut session, &question).await,
    };
    let closed = session.close().await;
    outcome.and(closed)
}

/// Plans are text of many lines, and read best as such.
async fn text(session: &mut Session, question: &str) -> Result<()> {
    let client = session.client.clone();
    let asked = async {
        let rows = client.execute(question).await?;
        rows.try_collect::<Vec<RecordBatch>>().await
    };
    let mut to = std::io::stdout().lock();
    for batch in session.patiently(asked).await? {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| cast(column, &DataType::Utf8)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            for column in &columns {
                writeln!(to, "{}", visible_lines(column.as_string::<i32>().value(row)).trim_end())?;
            }
        }
    }
    Ok(())
}
