use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch},
    datatypes::{DataType, Int64Type},
};
use rstest::rstest;
use sqe_core::{
    ErrorKind,
    catalog::{NewTable, TableWrite},
};

use super::{
    super::database::Kind,
    bed::{Bed, alice, columns, name},
};

fn ids(range: std::ops::Range<i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_new(columns(&[("id", DataType::Int64)]), vec![column]).unwrap()
}

fn new_table(table: &str) -> NewTable {
    NewTable::new(name(table), columns(&[("id", DataType::Int64)]), alice())
}

async fn values(bed: &Bed, table: &str) -> Vec<i64> {
    bed.rows(table).await.column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_with_the_file_open_twice_lose_nothing() {
    let first = Bed::new().await;
    first.session().create_table(&new_table("t")).await.unwrap();
    let first = Arc::new(first);
    let second = Arc::new(Bed::at(first.root.clone()).await);
    let mut tasks = Vec::new();
    for task in 0..12 {
        let bed = Arc::clone(if task % 2 == 0 { &first } else { &second });
        tasks.push(tokio::spawn(async move { bed.insert("t", ids(task * 10..task * 10 + 10)).await }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 10);
    }
    assert_eq!(values(&second, "t").await, (0..120).collect::<Vec<_>>());
    // Lost attempts leave nothing: 12 manifests, 12 lists, 13 states of the table.
    assert_eq!(first.files("s/t/metadata").len(), 12 + 12 + 13);
    assert_eq!(first.files("s/t/data").len(), 12);
}

#[tokio::test]
async fn a_commit_on_an_older_state_is_built_again_on_the_newer_one() {
    let bed = Bed::new().await;
    bed.session().create_table(&new_table("t")).await.unwrap();
    let late = bed.append("t").await;
    let staged = bed.stage("t", &late, &[vec![ids(0..2)]]).await.unwrap();
    bed.insert("t", ids(2..4)).await.unwrap();
    assert_eq!(late.commit(staged).await.unwrap(), 2);
    assert_eq!(values(&bed, "t").await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn rows_for_a_table_that_was_dropped_or_replaced_are_refused_and_removed() {
    let bed = Bed::new().await;
    bed.session().create_table(&new_table("t")).await.unwrap();
    let (first, second) = (bed.append("t").await, bed.append("t").await);
    let to_dropped = bed.stage("t", &first, &[vec![ids(0..2)]]).await.unwrap();
    let to_replaced = bed.stage("t", &second, &[vec![ids(0..2)]]).await.unwrap();
    let dropped = bed.table("t").await.facts().id.clone();
    bed.session().remove(Kind::Table, &dropped).await.unwrap();
    assert_eq!(first.commit(to_dropped).await.unwrap_err().kind(), ErrorKind::NotFound);
    bed.session().create_table(&new_table("t")).await.unwrap();
    assert_eq!(second.commit(to_replaced).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(bed.files("s/t/data"), [""; 0]);
    assert_eq!(bed.rows("t").await.num_rows(), 0);
}

#[tokio::test]
async fn a_drop_takes_the_table_that_was_meant_and_no_other_of_its_name() {
    let bed = Bed::new().await;
    bed.session().create_table(&new_table("t")).await.unwrap();
    let first = bed.table("t").await.facts().id.clone();
    let entries = bed.session().entries();
    let older = entries.location("s", "t").await.unwrap().unwrap();
    bed.insert("t", ids(0..2)).await.unwrap();
    assert!(!entries.delete(Kind::Table, "s", "t", &older).await.unwrap(), "an older state is not what is there");
    bed.session().remove(Kind::Table, &first).await.unwrap();
    assert_eq!(bed.session().remove(Kind::Table, &first).await.unwrap_err().kind(), ErrorKind::NotFound);
    bed.session().create_table(&new_table("t")).await.unwrap();
    assert_eq!(bed.session().remove(Kind::Table, &first).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(bed.rows("t").await.num_rows(), 0);
}

#[tokio::test]
async fn abort_removes_its_own_files_only_and_nothing_after_a_commit() {
    let bed = Bed::new().await;
    bed.session().create_table(&new_table("t")).await.unwrap();
    bed.insert("t", ids(0..1)).await.unwrap();
    let failed = bed.append("t").await;
    let staged = bed.stage("t", &failed, &[vec![ids(1..2)], vec![ids(2..3)]]).await.unwrap();
    assert_eq!(bed.files("s/t/data").len(), 3);
    // What a lost machine wrote is found by its name, described or not.
    failed.abort(Vec::new()).await;
    assert_eq!(bed.files("s/t/data").len(), 1);
    drop(staged);

    let kept = bed.append("t").await;
    let staged = bed.stage("t", &kept, &[vec![ids(1..2)]]).await.unwrap();
    kept.commit(staged.clone()).await.unwrap();
    kept.abort(staged.clone()).await;
    assert_eq!(values(&bed, "t").await, [0, 1]);
    assert_eq!(kept.commit(staged).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(values(&bed, "t").await, [0, 1]);
}

#[tokio::test]
async fn descriptions_of_other_files_are_not_committed() {
    let bed = Bed::new().await;
    bed.session().create_table(&new_table("t")).await.unwrap();
    let (mine, other) = (bed.append("t").await, bed.append("t").await);
    let foreign = bed.stage("t", &other, &[vec![ids(0..1)]]).await.unwrap();
    assert_eq!(mine.commit(foreign.clone()).await.unwrap_err().kind(), ErrorKind::Internal);
    let twice = [foreign.clone(), foreign.clone()].concat();
    assert_eq!(other.commit(twice).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(other.commit(foreign).await.unwrap(), 1);
}

#[tokio::test]
async fn a_table_made_from_rows_appears_with_its_commit_or_not_at_all() {
    let bed = Bed::new().await;
    let write = bed.create_as(&new_table("made")).await.unwrap();
    let staged = bed.stage("made", &write, &[vec![ids(0..3)]]).await.unwrap();
    assert!(bed.session().load_one(&name("made")).await.is_err());
    assert_eq!(write.commit(staged).await.unwrap(), 3);
    assert_eq!(values(&bed, "made").await, [0, 1, 2]);
    assert_eq!(bed.table("made").await.facts().owner, Some(alice()));
    assert_eq!(bed.create_as(&new_table("made")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);

    let aborted = bed.create_as(&new_table("aborted")).await.unwrap();
    let staged = bed.stage("aborted", &aborted, &[vec![ids(0..3)]]).await.unwrap();
    aborted.abort(staged).await;
    assert_eq!(bed.session().load_one(&name("aborted")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bed.files("s/aborted"), [""; 0]);
}

#[tokio::test]
async fn of_two_tables_of_one_name_the_second_commit_is_refused_and_its_files_are_removed() {
    let bed = Bed::new().await;
    let (first, second) =
        (bed.create_as(&new_table("t")).await.unwrap(), bed.create_as(&new_table("t")).await.unwrap());
    let mine = bed.stage("t", &first, &[vec![ids(0..1)]]).await.unwrap();
    let theirs = bed.stage("t", &second, &[vec![ids(1..2)]]).await.unwrap();
    first.commit(mine).await.unwrap();
    assert_eq!(second.commit(theirs).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(values(&bed, "t").await, [0]);
    assert_eq!((bed.files("s/t/data").len(), bed.files("s/t/metadata").len()), (1, 3));
}

#[tokio::test]
async fn a_statement_that_is_dropped_removes_its_files() {
    let bed = Bed::new().await;
    bed.session().create_table(&new_table("t")).await.unwrap();
    let write = bed.append("t").await;
    bed.stage("t", &write, &[vec![ids(0..1)]]).await.unwrap();
    assert_eq!(bed.files("s/t/data").len(), 1);
    drop(write);
    for _ in 0..100 {
        if bed.files("s/t/data").is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the files of a dropped statement are still there");
}

#[rstest]
#[case(0)]
#[case(3)]
#[tokio::test]
async fn a_table_made_from_a_query_has_its_rows_however_many(#[case] rows: i64) {
    let bed = Bed::new().await;
    let write = bed.create_as(&new_table("t")).await.unwrap();
    let staged = bed.stage("t", &write, &[vec![ids(0..rows)]]).await.unwrap();
    assert_eq!(write.commit(staged).await.unwrap(), rows as u64);
    assert_eq!(bed.rows("t").await.num_rows() as i64, rows);
}
