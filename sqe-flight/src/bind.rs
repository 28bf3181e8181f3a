//! Parameters: from a client's stream to rows that the engine binds.

use std::{panic::AssertUnwindSafe, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array, new_null_array},
    compute::{CastOptions, cast_with_options, take},
    datatypes::{DataType, Field, Schema},
    ipc::{MessageHeader, root_as_message},
};
use arrow_flight::{FlightData, decode::FlightRecordBatchStream, error::FlightError};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use sqe_core::{Error, ErrorKind, Result};
use tonic::Status;

use crate::{
    edge::{Views, batch_bytes, conform, declare},
    session::Share,
    status::from_status,
};

/// Rows of parameters in the order `$1`, `$2`, ….
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    batches: Vec<RecordBatch>,
}

impl Parameters {
    /// Puts the columns of `batches` into the order of the parameters, checks their number, and gives them the wanted
    /// types where that changes no value.
    ///
    /// Clients name the columns as they like: ADBC `0`, `1`, …; others by position only. Only names of the form `$n`, all
    /// of them, say an order of their own.
    ///
    /// # Errors
    /// `InvalidInput` if there are more or fewer columns than parameters, or if `$n` names do not fit.
    pub(crate) fn arrange(batches: Vec<RecordBatch>, wanted: &Schema) -> Result<Self> {
        let batches = batches.into_iter().map(|batch| arrange(&batch, wanted)).collect::<Result<_>>()?;
        Ok(Self { batches })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(batch_bytes).sum()
    }

    /// Every row by itself.
    pub(crate) fn rows(&self) -> impl Iterator<Item = RecordBatch> {
        self.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1)))
    }
}

fn arrange(batch: &RecordBatch, wanted: &Schema) -> Result<RecordBatch> {
    if batch.num_columns() != wanted.fields().len() {
        return Err(Error::invalid(format!(
            "the statement has {} parameters and {} values were bound; bind one value a parameter",
            wanted.fields().len(),
            batch.num_columns()
        )));
    }
    let mut batch = conform(batch, &declare(batch.schema_ref(), Views::Flatten))?;
    if let Some(order) = order(batch.schema_ref())? {
        batch = batch.project(&order)?;
    }
    let columns = batch.columns().iter().zip(wanted.fields());
    let columns = columns.map(|(column, field)| chosen(column).map(|values| fit(&values, field.data_type())));
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let names = batch.schema();
    let fields = names.fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
}

/// Some clients send each parameter as a union of all the types that they know, of which each row uses one.
///
/// # Errors
/// `InvalidInput` if rows use different ones.
fn chosen(values: &ArrayRef) -> Result<ArrayRef> {
    let Some(union) = values.as_union_opt() else { return Ok(Arc::clone(values)) };
    let mut types = (0..union.len()).map(|row| union.type_id(row));
    let Some(first) = types.next() else { return Ok(new_null_array(&DataType::Null, 0)) };
    if types.any(|other| other != first) {
        return Err(Error::invalid("the rows of one parameter have different types; bind values of one type"));
    }
    let places = UInt64Array::from_iter_values((0..union.len()).map(|row| union.value_offset(row) as u64));
    Ok(take(union.child(first), &places, None)?)
}

/// The values in the wanted type, if none of them changes by it. Others stay as they are: the engine compares `id` with
/// 1.5 as numbers, and must not be given a 1 instead.
fn fit(values: &ArrayRef, wanted: &DataType) -> ArrayRef {
    let unchanged = || Arc::clone(values);
    // A type that cannot be known is Null.
    if values.data_type() == wanted || wanted.is_null() {
        return unchanged();
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let Ok(fitting) = cast_with_options(values, wanted, &options) else { return unchanged() };
    // NULL fits everywhere.
    if values.null_count() == values.len() || values.data_type().is_null() {
        return fitting;
    }
    match cast_with_options(&fitting, values.data_type(), &options) {
        Ok(back) if back.as_ref() == values.as_ref() => fitting,
        _ => unchanged(),
    }
}

/// The positions of `$1`, `$2`, …, if that is how the columns are named.
fn order(schema: &Schema) -> Result<Option<Vec<usize>>> {
    let numbers: Option<Vec<usize>> =
        schema.fields().iter().map(|field| field.name().strip_prefix('$')?.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) else { return Ok(None) };
    (1..=numbers.len())
        .map(|wanted| numbers.iter().position(|number| *number == wanted))
        .collect::<Option<_>>()
        .map(Some)
        .ok_or_else(|| Error::invalid(format!("the parameters must be named $1 to ${}, each once", numbers.len())))
}

/// What a message that was read takes beside its own bytes, and each of its columns once more.
const OVERHEAD: usize = 128;

/// Reads the batches that follow a `DoPut` command; those without rows are left out. `None`: the client sent nothing but
/// the command.
///
/// # Errors
/// `InvalidInput` for anything that is not Arrow data, `ResourceExhausted` past `limit` bytes and past what is left of the
/// person's budget, of which `share` takes what is read; and what the transport says.
pub(crate) async fn read<S>(stream: S, limit: usize, share: Share) -> Result<Option<Vec<RecordBatch>>>
where
    S: Stream<Item = Result<FlightData, Status>> + Send + 'static,
{
    let mut bytes = 0_usize;
    // The first message may carry the command alone.
    let data =
        stream.try_filter(|message| futures::future::ready(!message.data_header.is_empty())).map(move |message| {
            let message = message?;
            bytes = bytes.saturating_add(weight(&message)?);
            if bytes > limit {
                return Err(crate::status::to_status(&Error::new(
                    ErrorKind::ResourceExhausted,
                    format!("more than {limit} bytes of parameters; bind fewer rows at once"),
                )));
            }
            share.grow_to(bytes).map_err(crate::status::refuse)?;
            Ok::<_, Status>(message)
        });
    let decode = async {
        let mut batches = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from));
        let mut all = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            if batch.num_rows() > 0 {
                all.push(batch);
            }
        }
        Ok::<_, FlightError>(batches.schema().is_some().then_some(all))
    };
    // The decoder trusts lengths and offsets of the message; a forged one must not take the connection with it.
    match AssertUnwindSafe(decode).catch_unwind().await {
        Ok(Ok(batches)) => Ok(batches),
        Ok(Err(FlightError::Tonic(status))) => Err(from_status(&status)),
        Ok(Err(error)) => Err(unreadable().with_source(error)),
        Err(_) => Err(unreadable()),
    }
}

/// What is said of a message that is none.
pub(crate) fn unreadable() -> Error {
    Error::invalid("the rows that were sent are not valid Arrow data")
}

/// The bytes that a message takes once it is read. A batch has columns without a single byte in its body, so they count
/// too.
pub(crate) fn weight(message: &FlightData) -> Result<usize, Status> {
    let header = root_as_message(&message.data_header).map_err(|_| crate::status::to_status(&unreadable()))?;
    let batch = match header.header_type() {
        MessageHeader::RecordBatch => header.header_as_record_batch(),
        MessageHeader::DictionaryBatch => header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()),
        _ => None,
    };
    // A small compressed body can become any size, past every limit.
    if batch.is_some_and(|batch| batch.compression().is_some()) {
        let refused = Error::unsupported("compressed rows are not accepted; send them plain");
        return Err(crate::status::to_status(&refused));
    }
    let columns = batch.and_then(|batch| batch.nodes()).map_or(0, |nodes| nodes.len());
    let beside = OVERHEAD.saturating_mul(columns.saturating_add(1));
    Ok(message.data_header.len().saturating_add(message.data_body.len()).saturating_add(beside))
}

/// The schema of no columns, for statements that give no rows.
pub(crate) fn no_columns() -> Arc<Schema> {
    Arc::new(Schema::empty())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{DictionaryArray, Float64Array, Int64Array, NullArray, StringArray, UnionArray},
        datatypes::{Int32Type, Int64Type, UnionFields},
    };
    use arrow_flight::{FlightDescriptor, encode::FlightDataEncoderBuilder};
    use futures::stream;

    use super::*;

    fn columns(names: [&str; 2]) -> RecordBatch {
        let first: ArrayRef = Arc::new(Int64Array::from(vec![10, 11]));
        let second: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        RecordBatch::try_from_iter([(names[0], first), (names[1], second)]).unwrap()
    }

    /// Parameters whose types cannot be known.
    fn unknown(count: usize) -> Schema {
        wanting(&vec![DataType::Null; count])
    }

    fn wanting(types: &[DataType]) -> Schema {
        let field = |(position, ty): (usize, &DataType)| Field::new(format!("${}", position + 1), ty.clone(), true);
        Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>())
    }

    fn types(parameters: &Parameters) -> Vec<DataType> {
        parameters.batches[0].schema().fields().iter().map(|field| field.data_type().clone()).collect()
    }

    #[test]
    fn columns_bind_by_position_whatever_their_names() {
        for names in [["0", "1"], ["1", "2"], ["b", "a"], ["", ""], ["$1", "x"]] {
            let parameters = Parameters::arrange(vec![columns(names)], &unknown(2)).unwrap();
            assert_eq!(types(&parameters), [DataType::Int64, DataType::Utf8], "{names:?}");
        }
    }

    #[test]
    fn dollar_names_bind_by_number() {
        let parameters = Parameters::arrange(vec![columns(["$2", "$1"])], &unknown(2)).unwrap();
        assert_eq!(types(&parameters), [DataType::Utf8, DataType::Int64]);
        let error = Parameters::arrange(vec![columns(["$1", "$3"])], &unknown(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_wrong_number_of_values_is_refused_with_both_numbers() {
        let error = Parameters::arrange(vec![columns(["0", "1"])], &unknown(3)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains('3') && error.message().contains('2'), "{}", error.message());
    }

    #[test]
    fn rows_come_one_by_one_over_all_batches() {
        let batches = vec![columns(["0", "1"]), columns(["0", "1"]).slice(1, 1)];
        let parameters = Parameters::arrange(batches, &unknown(2)).unwrap();
        let firsts: Vec<i64> =
            parameters.rows().map(|row| row.column(0).as_primitive::<Int64Type>().value(0)).collect();
        assert_eq!((parameters.len(), firsts), (3, vec![10, 11, 11]));
    }

    #[test]
    fn dictionaries_are_unpacked() {
        let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["x", "y"]));
        let batch = RecordBatch::try_from_iter([("0", words)]).unwrap();
        assert_eq!(types(&Parameters::arrange(vec![batch], &unknown(1)).unwrap()), [DataType::Utf8]);
    }

    /// As flightsql-dbapi sends them.
    #[test]
    fn a_union_is_what_its_rows_use_of_it() {
        let fields = [(0, Field::new("0", DataType::Int64, true)), (2, Field::new("2", DataType::Utf8, true))];
        let fields: UnionFields = fields.into_iter().map(|(id, field)| (id, Arc::new(field))).collect();
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        let words: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let union = |types: Vec<i8>, places: Vec<i32>| {
            let children = vec![Arc::clone(&numbers), Arc::clone(&words)];
            let union = UnionArray::try_new(fields.clone(), types.into(), Some(places.into()), children).unwrap();
            RecordBatch::try_from_iter([("0", Arc::new(union) as ArrayRef)]).unwrap()
        };
        let parameters = Parameters::arrange(vec![union(vec![0, 0], vec![1, 0])], &unknown(1)).unwrap();
        assert_eq!(parameters.batches[0].column(0).as_primitive::<Int64Type>().values().to_vec(), [8, 7]);
        let parameters = Parameters::arrange(vec![union(vec![2], vec![0])], &unknown(1)).unwrap();
        assert_eq!(parameters.batches[0].column(0).as_string::<i32>().value(0), "x");
        let mixed = Parameters::arrange(vec![union(vec![0, 2], vec![0, 0])], &unknown(1)).unwrap_err();
        assert_eq!(mixed.kind(), ErrorKind::InvalidInput);
    }

    fn fitted(values: ArrayRef, wanted: DataType) -> RecordBatch {
        let batch = RecordBatch::try_from_iter_with_nullable([("0", values, true)]).unwrap();
        Parameters::arrange(vec![batch], &wanting(&[wanted])).unwrap().batches.remove(0)
    }

    #[test]
    fn values_take_the_wanted_type_if_nothing_is_lost() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        assert_eq!(fitted(text, DataType::Utf8View).column(0).as_string_view().value(0), "x");
        let small: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert_eq!(fitted(small, DataType::Int32).column(0).as_primitive::<Int32Type>().values().to_vec(), [1, 2]);
        let date: ArrayRef = Arc::new(StringArray::from(vec!["1998-09-02"]));
        assert_eq!(fitted(date, DataType::Date32).column(0).data_type(), &DataType::Date32);
        let nothing: ArrayRef = Arc::new(NullArray::new(2));
        let nothing = fitted(nothing, DataType::Int64);
        assert_eq!((nothing.column(0).data_type(), nothing.column(0).null_count()), (&DataType::Int64, 2));
    }

    #[test]
    fn values_that_would_change_stay_as_they_are() {
        let half: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 1.5]));
        assert_eq!(fitted(half, DataType::Int64).column(0).data_type(), &DataType::Float64);
        let large: ArrayRef = Arc::new(Int64Array::from(vec![1, 1 << 40]));
        assert_eq!(fitted(large, DataType::Int32).column(0).data_type(), &DataType::Int64);
        let word: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        assert_eq!(fitted(word, DataType::Int64).column(0).data_type(), &DataType::Utf8);
    }

    async fn wire(batches: Vec<RecordBatch>) -> Vec<Result<FlightData, Status>> {
        let schema = columns(["0", "1"]).schema();
        let command = FlightDescriptor::new_cmd("command");
        FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(command))
            .build(stream::iter(batches.into_iter().map(Ok)))
            .map(|message| Ok(message.unwrap()))
            .collect()
            .await
    }

    fn unlimited() -> Share {
        limited(usize::MAX)
    }

    fn limited(bytes: usize) -> Share {
        Arc::new(crate::session::Budget::of_parameters(bytes)).share(&sqe_core::Principal::new("idp", "alice"))
    }

    #[tokio::test]
    async fn a_stream_of_batches_is_read_whole() {
        let messages = wire(vec![columns(["0", "1"]); 3]).await;
        let batches = read(stream::iter(messages), 1 << 20, unlimited()).await.unwrap().unwrap();
        assert_eq!(batches.len(), 3);
        assert_eq!(batches[0], columns(["0", "1"]));
    }

    #[tokio::test]
    async fn a_command_alone_and_no_rows_are_two_different_things() {
        let command = FlightData::new().with_descriptor(FlightDescriptor::new_cmd("command"));
        assert!(read(stream::iter([Ok(command)]), 1024, unlimited()).await.unwrap().is_none());
        assert!(read(stream::iter(wire(vec![]).await), 1024, unlimited()).await.unwrap().unwrap().is_empty());
    }

    #[tokio::test]
    async fn too_many_bytes_garbage_and_a_forged_batch_are_errors_of_the_client() {
        let messages = wire(vec![columns(["0", "1"]); 100]).await;
        assert_eq!(
            read(stream::iter(messages), 64, unlimited()).await.unwrap_err().kind(),
            ErrorKind::ResourceExhausted
        );

        let messages = wire(vec![columns(["0", "1"]); 100]).await;
        let refused = read(stream::iter(messages), 1 << 20, limited(64)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);

        let garbage = FlightData::new().with_data_header(vec![7; 64]);
        assert_eq!(
            read(stream::iter([Ok(garbage)]), 1024, unlimited()).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );

        let mut messages = wire(vec![columns(["0", "1"])]).await;
        if let Some(Ok(batch)) = messages.last_mut() {
            batch.data_body = batch.data_body.slice(..8);
        }
        let forged = read(stream::iter(messages), 1 << 20, unlimited()).await.unwrap_err();
        assert_eq!(forged.kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn batches_without_rows_are_not_kept_and_do_not_come_for_ever() {
        let (none, two) = (columns(["0", "1"]).slice(0, 0), columns(["0", "1"]));
        let some = wire(vec![none.clone(), two.clone(), none.clone(), two.clone()]).await;
        let batches = read(stream::iter(some), 1 << 20, unlimited()).await.unwrap().unwrap();
        assert_eq!(batches, [two.clone(), two]);

        // The encoder sends no batch that is empty; others do.
        let fields: Vec<_> = (0..1000).map(|number| Field::new(number.to_string(), DataType::Int8, true)).collect();
        let wide = Arc::new(Schema::new(fields));
        let flights = arrow_flight::utils::batches_to_flight_data(&wide, vec![RecordBatch::new_empty(wide.clone())]);
        let flights = flights.unwrap();
        let (first, empty) = (flights[0].clone(), flights[1].clone());
        let wide_batches = |count: usize| {
            let all = std::iter::once(first.clone()).chain(std::iter::repeat_n(empty.clone(), count));
            stream::iter(all.map(Ok::<_, Status>))
        };
        let few = read(wide_batches(3), 8 << 20, unlimited()).await.unwrap();
        assert!(few.unwrap().is_empty());
        let endless = read(wide_batches(usize::MAX), 8 << 20, unlimited()).await.unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::ResourceExhausted);
        let shared = read(wide_batches(usize::MAX), usize::MAX, limited(8 << 20)).await.unwrap_err();
        assert_eq!(shared.kind(), ErrorKind::ResourceExhausted);
    }
}
