//! What a file's footer says about its columns, in the terms of a manifest (table specification, "Manifests").

use std::collections::BTreeMap;

use iceberg::spec::{Datum, PrimitiveType, Schema};
use parquet::file::{
    metadata::{ColumnChunkMetaData, ParquetMetaData},
    statistics::Statistics,
};
use sqe_core::{Error, Result};

use super::staged::StagedFile;
use crate::iceberg::error::from_iceberg;

/// Text and bytes are cut to this many code points or bytes, as the format's other implementations do.
const CUT: usize = 16;

/// One column over all row groups so far. A part that one row group does not say is not said at all.
struct Column<'a> {
    ty: &'a PrimitiveType,
    bytes: u64,
    values: u64,
    nulls: Option<u64>,
    /// `None`: unknown; `Some(None)`: no value yet.
    range: Option<Option<(Datum, Datum)>>,
    repeated: bool,
}

/// Counts, bounds and offsets from a footer. The file's path, size and partition are the caller's.
pub(super) fn describe(footer: &ParquetMetaData, schema: &Schema) -> Result<StagedFile> {
    let mut columns: BTreeMap<i32, Column<'_>> = BTreeMap::new();
    let mut offsets = Vec::with_capacity(footer.num_row_groups());
    for group in footer.row_groups() {
        if let Some(first) = group.columns().first() {
            let (start, _) = first.byte_range();
            offsets.push(i64::try_from(start).map_err(|_| Error::internal("a written file is too large"))?);
        }
        for chunk in group.columns() {
            let info = chunk.column_descr().self_type().get_basic_info();
            if !info.has_id() {
                continue;
            }
            let ty = schema.field_by_id(info.id()).and_then(|field| field.field_type.as_primitive_type());
            let Some(ty) = ty else { continue };
            let repeated = chunk.column_descr().max_rep_level() > 0;
            let column = columns.entry(info.id()).or_insert(Column {
                ty,
                bytes: 0,
                values: 0,
                nulls: Some(0),
                range: Some(None),
                repeated,
            });
            column.add(chunk)?;
        }
    }
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
    let mut file = StagedFile { rows, offsets, ..StagedFile::default() };
    for (id, column) in columns {
        file.column_bytes.insert(id, column.bytes);
        if column.repeated {
            continue;
        }
        file.values.insert(id, column.values);
        if let Some(nulls) = column.nulls {
            file.nulls.insert(id, nulls);
        }
        if let Some(Some((lower, upper))) = column.range {
            if let Some(lower) = cut_down(&lower) {
                file.lower.insert(id, serialized(&lower)?);
            }
            if let Some(upper) = cut_up(&upper) {
                file.upper.insert(id, serialized(&upper)?);
            }
        }
    }
    Ok(file)
}

impl Column<'_> {
    fn add(&mut self, chunk: &ColumnChunkMetaData) -> Result<()> {
        let values = u64::try_from(chunk.num_values()).unwrap_or_default();
        self.bytes += u64::try_from(chunk.compressed_size()).unwrap_or_default();
        self.values += values;
        let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
        self.nulls = self.nulls.zip(nulls).map(|(sum, more)| sum + more);
        if self.repeated || nulls == Some(values) {
            return Ok(());
        }
        let found = match chunk.statistics() {
            Some(statistics) => range(statistics, self.ty)?,
            None => None,
        };
        // INVARIANT: bounds cover every value of the file, so one row group without them leaves the file without them.
        self.range = match (self.range.take(), found) {
            (Some(None), Some(found)) => Some(Some(found)),
            (Some(Some((low, high))), Some((lower, upper))) => {
                Some(Some((if lower < low { lower } else { low }, if upper > high { upper } else { high })))
            }
            _ => None,
        };
        Ok(())
    }
}

/// Bounds of one row group. Those of long text are cut, downwards and upwards, and so still bounds.
fn range(statistics: &Statistics, ty: &PrimitiveType) -> Result<Option<(Datum, Datum)>> {
    if matches!(statistics, Statistics::Int96(_)) {
        return Ok(None);
    }
    let (Some(low), Some(high)) = (statistics.min_bytes_opt(), statistics.max_bytes_opt()) else { return Ok(None) };
    Ok(datum(statistics, low, ty)?
        .zip(datum(statistics, high, ty)?)
        .filter(|(low, high)| !low.is_nan() && !high.is_nan()))
}

/// Parquet's plain encoding to the format's serialization: the same, but for decimals, which Parquet keeps in integers.
fn datum(statistics: &Statistics, bytes: &[u8], ty: &PrimitiveType) -> Result<Option<Datum>> {
    let decimal = matches!(ty, PrimitiveType::Decimal { .. });
    let widened = match statistics {
        Statistics::Int32(_) if decimal => bytes.try_into().ok().map(|bytes| i128::from(i32::from_le_bytes(bytes))),
        Statistics::Int64(_) if decimal => bytes.try_into().ok().map(|bytes| i128::from(i64::from_le_bytes(bytes))),
        _ => None,
    };
    let big_endian = widened.map(i128::to_be_bytes);
    let bytes = big_endian.as_ref().map_or(bytes, |bytes| bytes.as_slice());
    if matches!(ty, PrimitiveType::String) && std::str::from_utf8(bytes).is_err() {
        return Ok(None);
    }
    Datum::try_from_bytes(bytes, ty.clone()).map(Some).map_err(|error| from_iceberg(error, "describe a written file"))
}

fn serialized(datum: &Datum) -> Result<Vec<u8>> {
    datum.to_bytes().map(|bytes| bytes.into_vec()).map_err(|error| from_iceberg(error, "describe a written file"))
}

fn cut_down(bound: &Datum) -> Option<Datum> {
    use iceberg::spec::PrimitiveLiteral::{Binary, String};
    Some(match (bound.data_type(), bound.literal()) {
        (PrimitiveType::String, String(text)) => Datum::string(text.chars().take(CUT).collect::<std::string::String>()),
        (PrimitiveType::Binary, Binary(bytes)) => Datum::binary(bytes.iter().copied().take(CUT)),
        _ => bound.clone(),
    })
}

/// `None` if nothing of the cut length is above the bound.
fn cut_up(bound: &Datum) -> Option<Datum> {
    use iceberg::spec::PrimitiveLiteral::{Binary, String};
    Some(match (bound.data_type(), bound.literal()) {
        (PrimitiveType::String, String(text)) if text.chars().count() > CUT => {
            let mut chars: Vec<char> = text.chars().take(CUT).collect();
            loop {
                let last = chars.pop()?;
                // Skips the surrogates, which are no characters.
                let next = u32::from(last).checked_add(1).map(|code| if code == 0xD800 { 0xE000 } else { code });
                if let Some(next) = next.and_then(char::from_u32) {
                    chars.push(next);
                    break Datum::string(chars.into_iter().collect::<std::string::String>());
                }
            }
        }
        (PrimitiveType::Binary, Binary(bytes)) if bytes.len() > CUT => {
            let mut bytes: Vec<u8> = bytes.iter().copied().take(CUT).collect();
            loop {
                if let Some(next) = bytes.pop()?.checked_add(1) {
                    bytes.push(next);
                    break Datum::binary(bytes);
                }
            }
        }
        _ => bound.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Float64Array, Int64Array, StringArray},
        record_batch::RecordBatch,
    };
    use iceberg::spec::{NestedField, Type};
    use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
    use proptest::prelude::*;

    use super::*;
    use crate::iceberg::schema::arrow_schema;

    /// The description of a file with these columns and three rows a row group.
    fn described(longs: &[Option<i64>], doubles: &[Option<f64>], texts: &[Option<String>]) -> StagedFile {
        let types = [("l", PrimitiveType::Long), ("d", PrimitiveType::Double), ("t", PrimitiveType::String)];
        let fields =
            types.into_iter().zip(1..).map(|((name, ty), id)| NestedField::optional(id, name, Type::Primitive(ty)));
        let schema = Schema::builder().with_fields(fields.map(Arc::new)).build().unwrap();
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(longs.to_vec())),
            Arc::new(Float64Array::from(doubles.to_vec())),
            arrow::compute::cast(&StringArray::from(texts.to_vec()), &arrow::datatypes::DataType::Utf8View).unwrap(),
        ];
        let batch = RecordBatch::try_new(arrow_schema(&schema).unwrap(), columns.to_vec()).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(3))
            .set_statistics_truncate_length(Some(24))
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        describe(&writer.finish().unwrap(), &schema).unwrap()
    }

    fn bounds(file: &StagedFile, id: i32, ty: PrimitiveType) -> (Option<Datum>, Option<Datum>) {
        let read = |bytes: &Vec<u8>| Datum::try_from_bytes(bytes, ty.clone()).unwrap();
        (file.lower.get(&id).map(read), file.upper.get(&id).map(read))
    }

    #[test]
    fn a_row_group_of_nothing_but_nan_leaves_the_file_without_bounds_and_one_of_nulls_does_not() {
        let mut doubles = vec![Some(1.0), Some(2.0), None, None, None, None];
        let file = described(&[None; 6], &doubles, &[const { None }; 6]);
        assert_eq!(bounds(&file, 2, PrimitiveType::Double), (Some(Datum::double(1.0)), Some(Datum::double(2.0))));
        assert_eq!((file.nulls[&2], file.values[&2], file.offsets.len()), (4, 6, 2));
        doubles[3] = Some(f64::NAN);
        let file = described(&[None; 6], &doubles, &[const { None }; 6]);
        assert_eq!(bounds(&file, 2, PrimitiveType::Double), (None, None));
    }

    #[test]
    fn text_above_everything_of_its_length_has_no_upper_bound() {
        let top: String = std::iter::repeat_n(char::MAX, 20).collect();
        assert!(cut_up(&Datum::string(&top)).is_none());
        assert!(cut_up(&Datum::binary(vec![255; 20])).is_none());
        assert_eq!(cut_up(&Datum::binary(vec![255; 3])), Some(Datum::binary(vec![255; 3])));
    }

    proptest! {
        #[test]
        fn bounds_of_several_row_groups_cover_every_value(
            rows in prop::collection::vec(
                (any::<Option<i64>>(), prop::option::of(any::<f64>()), prop::option::of("[a-zé\u{10FFFF}]{0,40}")),
                1..12,
            ),
        ) {
            let (longs, rest): (Vec<_>, Vec<_>) = rows.into_iter().map(|(l, d, t)| (l, (d, t))).unzip();
            let (doubles, texts): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
            let file = described(&longs, &doubles, &texts);
            let covered = |id, ty, values: Vec<Datum>| {
                let (low, high) = bounds(&file, id, ty);
                values.iter().all(|v| low.as_ref().is_none_or(|low| low <= v) && high.as_ref().is_none_or(|high| high >= v))
            };
            prop_assert!(covered(1, PrimitiveType::Long, longs.iter().flatten().map(|v| Datum::long(*v)).collect()));
            let numbers = doubles.iter().flatten().filter(|v| !v.is_nan()).map(|v| Datum::double(*v)).collect();
            prop_assert!(covered(2, PrimitiveType::Double, numbers));
            prop_assert!(covered(3, PrimitiveType::String, texts.iter().flatten().map(Datum::string).collect()));
            prop_assert_eq!(file.lower.contains_key(&1), longs.iter().any(Option::is_some));
            prop_assert_eq!(file.nulls[&3], texts.iter().filter(|text| text.is_none()).count() as u64);
            prop_assert_eq!(file.rows, longs.len() as u64);
        }

        #[test]
        fn cut_bounds_are_bounds_and_short(text in "\\PC{0,24}", bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            for value in [Datum::string(&text), Datum::binary(bytes)] {
                let low = serialized(&cut_down(&value).unwrap()).unwrap();
                let full = serialized(&value).unwrap();
                prop_assert!(low <= full);
                if let Some(high) = cut_up(&value) {
                    let high = serialized(&high).unwrap();
                    prop_assert!(high >= full);
                    if let Ok(high) = String::from_utf8(high) {
                        prop_assert!(high.chars().count() <= CUT || value.data_type() == &PrimitiveType::Binary);
                    }
                }
            }
        }
    }
}
