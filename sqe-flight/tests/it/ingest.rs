//! Rows for a table: `CommandStatementIngest`.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, NullArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int32Type, Schema},
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{
    FlightData, FlightDescriptor,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    sql::{
        CommandPreparedStatementUpdate, CommandStatementIngest, ProstMessageExt, TableDefinitionOptions,
        TableExistsOption as Present, TableNotExistOption as Missing,
    },
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use rstest::rstest;
use sqe_core::{
    Decision, FieldId,
    policy::Restrictions,
    predicate::{CompareOp, RowPredicate, Value},
};
use sqe_flight::Settings;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::harness::{Raw, Server, code, eventually, numbers, query, server, server_with, status};

fn into(table: &str, missing: Missing, present: Present) -> CommandStatementIngest {
    let options = TableDefinitionOptions { if_not_exist: missing as i32, if_exists: present as i32 };
    CommandStatementIngest {
        table_definition_options: Some(options),
        table: table.to_owned(),
        ..CommandStatementIngest::default()
    }
}

fn create(table: &str) -> CommandStatementIngest {
    into(table, Missing::Create, Present::Fail)
}

fn append(table: &str) -> CommandStatementIngest {
    into(table, Missing::Fail, Present::Append)
}

fn rows(ids: &[i64]) -> RecordBatch {
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("word {id}"))));
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("word", words, true)]).unwrap()
}

async fn load(
    client: &mut Raw,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Result<i64, FlightError> {
    client.execute_ingest(command, stream::iter(batches.into_iter().map(Ok))).await
}

async fn ids(client: &mut Raw, table: &str) -> Vec<i64> {
    numbers(&query(client, &format!("SELECT id FROM {table} ORDER BY id")).await.unwrap(), 0)
}

#[tokio::test]
async fn tables_are_created_appended_to_and_replaced_and_the_rows_are_counted() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    assert_eq!(load(&mut client, create("made"), vec![rows(&[1, 2]), rows(&[3])]).await.unwrap(), 3);
    assert_eq!(code(load(&mut client, create("made"), vec![rows(&[4])]).await), Code::AlreadyExists);
    assert_eq!(ids(&mut client, "made").await, [1, 2, 3]);
    assert_eq!(load(&mut client, append("made"), vec![rows(&[4])]).await.unwrap(), 1);
    let either = into("made", Missing::Create, Present::Append);
    assert_eq!(load(&mut client, either, vec![rows(&[5])]).await.unwrap(), 1);
    assert_eq!(ids(&mut client, "made").await, [1, 2, 3, 4, 5]);
    for (table, missing) in [("made", Missing::Fail), ("made", Missing::Create), ("other", Missing::Create)] {
        let replace = into(table, missing, Present::Replace);
        assert_eq!(load(&mut client, replace, vec![rows(&[7, 8])]).await.unwrap(), 2);
        assert_eq!(ids(&mut client, table).await, [7, 8]);
    }
    let either = into("third", Missing::Create, Present::Append);
    assert_eq!(load(&mut client, either, vec![rows(&[9])]).await.unwrap(), 1);
    for command in [append("nowhere"), into("nowhere", Missing::Fail, Present::Replace)] {
        assert_eq!(code(load(&mut client, command, vec![rows(&[1])]).await), Code::NotFound);
    }
    assert_eq!(server.lake.rows("nowhere"), None);
}

#[tokio::test]
async fn a_table_without_rows_has_its_columns() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    assert_eq!(load(&mut client, create("empty"), vec![rows(&[]).slice(0, 0)]).await.unwrap(), 0);
    let batches = query(&mut client, "SELECT id, word FROM empty").await.unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() == 0));
}

#[tokio::test]
async fn catalog_and_schema_are_those_that_are_given_or_the_sessions_own() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let named =
        CommandStatementIngest { catalog: Some("lake".into()), schema: Some("other".into()), ..create("placed") };
    load(&mut client, named, vec![rows(&[1])]).await.unwrap();
    assert_eq!(ids(&mut client, "lake.other.placed").await, [1]);
    assert_eq!(code(query(&mut client, "SELECT * FROM lake.main.placed").await), Code::NotFound);
    // A name is a name and no piece of SQL.
    let odd = "a.b\"; DROP TABLE words; --";
    load(&mut client, create(odd), vec![rows(&[1])]).await.unwrap();
    assert_eq!((server.lake.rows(odd), server.lake.rows("words")), (Some(1), Some(3)));
    let elsewhere = CommandStatementIngest { catalog: Some("nowhere".into()), ..create("t") };
    assert_eq!(code(load(&mut client, elsewhere, vec![rows(&[1])]).await), Code::NotFound);
}

#[tokio::test]
async fn what_is_not_offered_or_makes_no_sense_is_refused_and_loads_nothing() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let base = || create("refused");
    for (command, expected) in [
        (CommandStatementIngest { temporary: true, ..base() }, Code::Unimplemented),
        (CommandStatementIngest { transaction_id: Some(Bytes::from_static(b"t")), ..base() }, Code::Unimplemented),
        (
            CommandStatementIngest { options: [("a".to_owned(), "b".to_owned())].into(), ..base() },
            Code::InvalidArgument,
        ),
        (CommandStatementIngest { table: String::new(), ..base() }, Code::InvalidArgument),
        (CommandStatementIngest { table_definition_options: None, ..base() }, Code::InvalidArgument),
        (into("refused", Missing::Fail, Present::Fail), Code::InvalidArgument),
    ] {
        assert_eq!(code(load(&mut client, command.clone(), vec![rows(&[1])]).await), expected, "{command:?}");
    }
    assert_eq!((server.lake.rows("refused"), server.trail.intents()), (None, 0));
    let empty = CommandStatementIngest { transaction_id: Some(Bytes::new()), ..base() };
    assert_eq!(load(&mut client, empty, vec![rows(&[1])]).await.unwrap(), 1);
}

#[tokio::test]
async fn columns_that_do_not_fit_are_refused_with_their_names_and_nothing_is_visible() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    load(&mut client, create("made"), vec![rows(&[1])]).await.unwrap();
    let column =
        |name: &str, values: ArrayRef| RecordBatch::try_from_iter_with_nullable([(name, values, true)]).unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let half: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![1.5]));
    for (batch, word) in [
        (column("colour", Arc::clone(&text)), "colour"),
        (column("id", Arc::clone(&text)), "\"id\""),
        (column("id", half), "\"id\""),
    ] {
        let error = load(&mut client, append("made"), vec![batch]).await.unwrap_err();
        assert_eq!(status(&error).code(), Code::InvalidArgument, "{error}");
        assert!(status(&error).message().contains(word), "{error}");
    }
    // A bad value in a later batch takes the good ones before it along.
    let late: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX]));
    let good: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let small = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
    load(&mut client, create("small"), vec![RecordBatch::new_empty(small)]).await.unwrap();
    let error = load(&mut client, append("small"), vec![column("n", good), column("n", late)]).await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument, "{error}");
    assert_eq!(server.lake.rows("small"), Some(0));
    // Fewer columns, in another order and of another width are fine.
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![5]));
    assert_eq!(load(&mut client, append("made"), vec![column("id", ints)]).await.unwrap(), 1);
    assert_eq!(ids(&mut client, "made").await, [1, 5]);
}

#[tokio::test]
async fn who_may_not_write_loads_nothing_and_learns_nothing() {
    let server = server().await;
    let (mut alice, mut bob) = (server.raw("alice").await, server.raw("bob").await);
    let mut mallory = server.raw("mallory").await;
    let id = || RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let replace = |table: &str| into(table, Missing::Fail, Present::Replace);
    assert_eq!(code(load(&mut mallory, append("words"), vec![id()]).await), Code::NotFound);
    assert_eq!(code(load(&mut mallory, replace("words"), vec![id()]).await), Code::NotFound);
    assert_eq!(code(load(&mut mallory, create("mine"), vec![id()]).await), Code::NotFound);
    assert_eq!(
        code(load(&mut mallory, into("words", Missing::Create, Present::Append), vec![id()]).await),
        Code::NotFound
    );
    assert_eq!(code(load(&mut alice, append("secret"), vec![id()]).await), Code::PermissionDenied);
    assert_eq!(code(load(&mut alice, replace("secret"), vec![id()]).await), Code::PermissionDenied);
    assert_eq!((server.lake.rows("secret"), server.lake.rows("mine"), server.trail.intents()), (Some(0), None, 0));
    assert_eq!(server.trail.refusals(), 6, "each is on record");
    load(&mut bob, append("secret"), vec![id()]).await.unwrap();
    assert_eq!(server.lake.rows("secret"), Some(1));

    // Who sees a part of a table adds nothing to it.
    let mut held = Restrictions::default();
    held.filter = Some(RowPredicate::compare(FieldId(1), CompareOp::Gt, Value::Integer(2)));
    *server.rules.words.lock() = Some(Decision::permit_with(held));
    assert_eq!(code(load(&mut alice, append("words"), vec![id()]).await), Code::PermissionDenied);
    *server.rules.words.lock() = None;
    assert_eq!(load(&mut alice, append("words"), vec![id()]).await.unwrap(), 1);
}

/// Sends messages one by one, as its test wants them.
struct Slow {
    messages: mpsc::Sender<FlightData>,
    call: tokio::task::JoinHandle<Result<(), Status>>,
}

async fn encoded(command: Vec<u8>, batches: Vec<RecordBatch>, options: IpcWriteOptions) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_schema(batches[0].schema())
        .with_options(options)
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
        .build(stream::iter(batches.into_iter().map(Ok)))
        .try_collect()
        .await
        .unwrap()
}

impl Slow {
    async fn start(client: &Raw) -> Self {
        let (messages, received) = mpsc::channel(16);
        let mut inner = client.inner().clone();
        let mut request = tonic::Request::new(tokio_stream(received));
        let header = format!("Bearer {}", client.token().unwrap());
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        let call = tokio::spawn(async move {
            let answer = inner.do_put(request).await?;
            answer.into_inner().try_for_each(|_| async { Ok(()) }).await
        });
        Self { messages, call }
    }
}

fn tokio_stream(mut received: mpsc::Receiver<FlightData>) -> impl futures::Stream<Item = FlightData> + Send {
    stream::poll_fn(move |context| received.poll_recv(context))
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_load_is_nothing() {
    let server = server().await;
    let client = server.raw("alice").await;
    for attempt in 0..25 {
        let table = format!("half{attempt}");
        let command = create(&table).as_any().encode_to_vec();
        let messages = encoded(command, vec![rows(&[1]), rows(&[2])], IpcWriteOptions::default()).await;
        let before = server.trail.intents();
        let slow = Slow::start(&client).await;
        for message in messages {
            slow.messages.send(message).await.unwrap();
        }
        eventually("the load runs", || server.trail.intents() == before + 1).await;
        // The client goes away. It did not say that this was all.
        slow.call.abort();
        eventually("the load ended", || server.trail.ends() == server.trail.intents()).await;
        assert_eq!(server.lake.rows(&table), None, "attempt {attempt}");
    }
    assert_eq!(server.trail.completed(), 0);
}

/// What ADBC's `executemany` sends.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_rows_of_an_update_is_nothing() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    load(&mut client, create("made"), vec![rows(&[]).slice(0, 0)]).await.unwrap();
    let prepared = crate::prepared::handle_of(&mut client, "INSERT INTO made VALUES ($1, $2)").await;
    for attempt in 0..25 {
        let command = CommandPreparedStatementUpdate { prepared_statement_handle: prepared.clone().into() };
        let command = command.as_any().encode_to_vec();
        let slow = Slow::start(&client).await;
        for message in encoded(command, vec![rows(&[1]), rows(&[2])], IpcWriteOptions::default()).await {
            slow.messages.send(message).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        slow.call.abort();
        // The next call on the connection comes after the reset of this one.
        query(&mut client, "SELECT 1").await.unwrap();
        assert_eq!(server.lake.rows("made"), Some(0), "attempt {attempt}");
    }
}

#[tokio::test]
async fn a_load_that_stops_sending_ends_by_itself() {
    let mut settings = Settings::default();
    settings.stream_idle_timeout = Duration::from_millis(200);
    let server = server_with(settings).await;
    let client = server.raw("alice").await;
    let command = create("stuck").as_any().encode_to_vec();
    let slow = Slow::start(&client).await;
    for message in encoded(command, vec![rows(&[1])], IpcWriteOptions::default()).await {
        slow.messages.send(message).await.unwrap();
    }
    let refused = slow.call.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
    assert_eq!(server.lake.rows("stuck"), None);
    drop(slow.messages);
}

#[tokio::test]
async fn a_load_may_be_larger_than_what_the_server_holds_for_anybody() {
    let mut settings = Settings::default();
    settings.max_parameter_bytes = 256 << 10;
    settings.max_parameter_bytes_per_person = 512 << 10;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let many: Vec<i64> = (0..2_000).collect();
    let batches: Vec<_> = std::iter::repeat_n(rows(&many), 200).collect();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    assert!(bytes > 4 << 20, "{bytes}");
    assert_eq!(load(&mut client, create("large"), batches).await.unwrap(), 400_000);
    assert_eq!(server.lake.rows("large"), Some(400_000));
    // One batch by itself may not.
    let many: Vec<i64> = (0..20_000).collect();
    let refused = load(&mut client, append("large"), vec![rows(&many)]).await.unwrap_err();
    assert_eq!(status(&refused).code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(server.lake.rows("large"), Some(400_000));
}

#[tokio::test]
async fn rows_that_are_small_on_the_wire_alone_are_refused() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let nothing: ArrayRef = Arc::new(NullArray::new(1 << 40));
    let nothing = RecordBatch::try_from_iter_with_nullable([("id", nothing, true)]).unwrap();
    assert_eq!(code(load(&mut client, create("bomb"), vec![nothing]).await), Code::ResourceExhausted);
    let zipped = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME));
    // Whether this build can compress at all is another matter.
    if let Ok(options) = zipped {
        let command = create("bomb").as_any().encode_to_vec();
        let ids: Vec<i64> = vec![7; 10_000];
        let encoder = FlightDataEncoderBuilder::new()
            .with_schema(rows(&ids).schema())
            .with_options(options)
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
            .build(stream::iter([Ok(rows(&ids))]));
        if let Ok(messages) = encoder.try_collect::<Vec<_>>().await {
            let slow = Slow::start(&client).await;
            for message in messages {
                slow.messages.send(message).await.unwrap();
            }
            drop(slow.messages);
            assert_eq!(slow.call.await.unwrap().unwrap_err().code(), Code::Unimplemented);
        }
    }
    assert_eq!(server.lake.rows("bomb"), None);
}

#[tokio::test]
async fn packed_columns_are_loaded_as_their_values() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["x", "y", "x"]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("word", words, true)]).unwrap();
    // The client's own encoder would unpack it.
    let command = create("packed").as_any().encode_to_vec();
    let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
        .with_schema(batch.schema())
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend)
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
        .build(stream::iter([Ok(batch)]))
        .try_collect()
        .await
        .unwrap();
    let slow = Slow::start(&client).await;
    for message in messages {
        slow.messages.send(message).await.unwrap();
    }
    drop(slow.messages);
    slow.call.await.unwrap().unwrap();
    let batches = query(&mut client, "SELECT word FROM packed ORDER BY id").await.unwrap();
    assert_eq!(crate::harness::texts(&batches, "word"), ["x", "y", "x"]);
}

#[rstest]
#[case::no_schema(vec![])]
#[case::rows_first(vec![1])]
#[case::two_schemas(vec![0, 1, 0])]
#[tokio::test]
async fn messages_out_of_order_load_nothing(#[case] order: Vec<usize>) {
    let server = server().await;
    let client = server.raw("alice").await;
    let messages = encoded(vec![], vec![rows(&[1])], IpcWriteOptions::default()).await;
    let descriptor = FlightDescriptor::new_cmd(create("odd").as_any().encode_to_vec());
    let slow = Slow::start(&client).await;
    slow.messages.send(FlightData::new().with_descriptor(descriptor)).await.unwrap();
    for index in order {
        let plain = FlightData { flight_descriptor: None, ..messages[index].clone() };
        slow.messages.send(plain).await.unwrap();
    }
    drop(slow.messages);
    assert_eq!(slow.call.await.unwrap().unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(server.lake.rows("odd"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_at_once_into_one_table_are_all_there() {
    let server: Server = server().await;
    let mut client = server.raw("alice").await;
    load(&mut client, create("shared"), vec![rows(&[]).slice(0, 0)]).await.unwrap();
    let loads = (0..8).map(|number| {
        let client = server.raw("alice");
        async move { load(&mut client.await, append("shared"), vec![rows(&[number, number + 100])]).await.unwrap() }
    });
    let counts: Vec<i64> = stream::iter(loads).buffer_unordered(8).collect().await;
    assert_eq!((counts, server.lake.rows("shared")), (vec![2; 8], Some(16)));
}
