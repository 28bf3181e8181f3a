//! From partition values back to what they say about the column that they were made of
//! (Apache Iceberg specification, "Partition Transforms").

use arrow::datatypes::{DataType, TimeUnit};
use chrono::NaiveDate;
use datafusion::common::ScalarValue;
use iceberg::spec::{PrimitiveLiteral, Transform};

use super::scalar::scalar;

/// The smallest and the largest value that a column can have where its partition value lies between `lower` and
/// `upper`; `None` where nothing is known. Floating point numbers get no range: NaN lies outside of any.
pub(crate) fn source(
    transform: Transform,
    lower: Option<&PrimitiveLiteral>,
    upper: Option<&PrimitiveLiteral>,
    ty: &DataType,
) -> (Option<ScalarValue>, Option<ScalarValue>) {
    let low = lower.and_then(|value| smallest(transform, value, ty));
    let high = upper.and_then(|value| largest(transform, value, ty));
    (low, high)
}

fn smallest(transform: Transform, value: &PrimitiveLiteral, ty: &DataType) -> Option<ScalarValue> {
    match transform {
        Transform::Identity if !super::prune::is_float(ty) => scalar(value, ty),
        // Cutting never makes a text, some bytes or a number larger.
        Transform::Truncate(_) => scalar(value, ty),
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            let unit = int(value)?;
            // Old writers rounded moments before 1970 up; their partition may hold what belongs to the unit before.
            start(transform, if unit <= 0 { unit.checked_sub(1)? } else { unit }, ty)
        }
        _ => None,
    }
}

fn largest(transform: Transform, value: &PrimitiveLiteral, ty: &DataType) -> Option<ScalarValue> {
    match transform {
        Transform::Identity if !super::prune::is_float(ty) => scalar(value, ty),
        Transform::Truncate(width) => match value {
            PrimitiveLiteral::Int(value) => {
                let rest = i32::try_from(width).ok()?.checked_sub(1)?;
                scalar(&PrimitiveLiteral::Int(value.checked_add(rest)?), ty)
            }
            PrimitiveLiteral::Long(value) => {
                let rest = i64::from(width).checked_sub(1)?;
                scalar(&PrimitiveLiteral::Long(value.checked_add(rest)?), ty)
            }
            PrimitiveLiteral::Int128(value) => {
                let rest = i128::from(width).checked_sub(1)?;
                scalar(&PrimitiveLiteral::Int128(value.checked_add(rest)?), ty)
            }
            PrimitiveLiteral::String(text) if text.chars().count() < usize::try_from(width).ok()? => scalar(value, ty),
            PrimitiveLiteral::String(text) => scalar(&PrimitiveLiteral::String(above(text)?), ty),
            _ => None,
        },
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            before(&start(transform, int(value)?.checked_add(1)?, ty)?)
        }
        _ => None,
    }
}

fn int(value: &PrimitiveLiteral) -> Option<i32> {
    match value {
        PrimitiveLiteral::Int(value) => Some(*value),
        _ => None,
    }
}

/// The first moment of the `unit`-th year, month, day or hour since 1970.
fn start(transform: Transform, unit: i32, ty: &DataType) -> Option<ScalarValue> {
    let days = match transform {
        Transform::Year => first_of_month(unit.checked_mul(12)?)?,
        Transform::Month => first_of_month(unit)?,
        Transform::Day => i64::from(unit),
        _ => 0,
    };
    let hours = match transform {
        Transform::Hour => i64::from(unit),
        _ => days.checked_mul(24)?,
    };
    let literal = match ty {
        DataType::Date32 if transform != Transform::Hour => PrimitiveLiteral::Int(i32::try_from(days).ok()?),
        DataType::Timestamp(TimeUnit::Microsecond, _) => PrimitiveLiteral::Long(hours.checked_mul(3_600_000_000)?),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => PrimitiveLiteral::Long(hours.checked_mul(3_600_000_000_000)?),
        _ => return None,
    };
    scalar(&literal, ty)
}

/// Days from 1970-01-01 to the first day of the `months`-th month after January 1970.
fn first_of_month(months: i32) -> Option<i64> {
    let year = months.div_euclid(12).checked_add(1970)?;
    let month = u32::try_from(months.rem_euclid(12)).ok()?.checked_add(1)?;
    let first = NaiveDate::from_ymd_opt(year, month, 1)?;
    Some(first.signed_duration_since(NaiveDate::default()).num_days())
}

/// The value just below.
fn before(value: &ScalarValue) -> Option<ScalarValue> {
    Some(match value {
        ScalarValue::Date32(Some(value)) => ScalarValue::Date32(Some(value.checked_sub(1)?)),
        ScalarValue::TimestampMicrosecond(Some(value), zone) => {
            ScalarValue::TimestampMicrosecond(Some(value.checked_sub(1)?), zone.clone())
        }
        ScalarValue::TimestampNanosecond(Some(value), zone) => {
            ScalarValue::TimestampNanosecond(Some(value.checked_sub(1)?), zone.clone())
        }
        _ => return None,
    })
}

/// A text that sorts above every text that starts with `prefix`.
pub(crate) fn above(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The code points of surrogates are no characters.
        let next = match u32::from(last).checked_add(1)? {
            0xD800 => Some('\u{E000}'),
            next => char::from_u32(next),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    fn micros(text: &str) -> i64 {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap().and_utc().timestamp_micros()
    }

    #[rstest]
    #[case(Transform::Year, 54, "2024-01-01 00:00:00", "2024-12-31 23:59:59.999999")]
    #[case(Transform::Month, 649, "2024-02-01 00:00:00", "2024-02-29 23:59:59.999999")]
    #[case(Transform::Day, 19_782, "2024-02-29 00:00:00", "2024-02-29 23:59:59.999999")]
    #[case(Transform::Hour, 25, "1970-01-02 01:00:00", "1970-01-02 01:59:59.999999")]
    fn units_of_time_give_their_first_and_last_moment(
        #[case] transform: Transform,
        #[case] unit: i32,
        #[case] first: &str,
        #[case] last: &str,
    ) {
        let value = PrimitiveLiteral::Int(unit);
        let (low, high) = source(transform, Some(&value), Some(&value), &MICROS);
        assert_eq!(low, Some(ScalarValue::TimestampMicrosecond(Some(micros(first)), None)));
        assert_eq!(high, Some(ScalarValue::TimestampMicrosecond(Some(micros(last)), None)));
    }

    #[test]
    fn units_before_1970_also_cover_what_old_writers_rounded_up() {
        let value = PrimitiveLiteral::Int(0);
        let (low, high) = source(Transform::Day, Some(&value), Some(&value), &DataType::Date32);
        assert_eq!((low, high), (Some(ScalarValue::Date32(Some(-1))), Some(ScalarValue::Date32(Some(0)))));
    }

    #[rstest]
    #[case("ab", 3, "ab")]
    #[case("abc", 3, "abd")]
    #[case("ab\u{10FFFF}", 3, "ac")]
    #[case("ab\u{D7FF}", 3, "ab\u{E000}")]
    fn cut_text_has_an_upper_bound(#[case] text: &str, #[case] width: u32, #[case] bound: &str) {
        let value = PrimitiveLiteral::String(text.into());
        let (low, high) = source(Transform::Truncate(width), Some(&value), Some(&value), &DataType::Utf8View);
        assert_eq!(low, Some(ScalarValue::Utf8View(Some(text.into()))));
        assert_eq!(high, Some(ScalarValue::Utf8View(Some(bound.into()))));
    }

    #[test]
    fn text_of_only_largest_characters_has_no_upper_bound() {
        let value = PrimitiveLiteral::String("\u{10FFFF}".into());
        assert_eq!(source(Transform::Truncate(1), None, Some(&value), &DataType::Utf8View), (None, None));
    }

    #[rstest]
    #[case(Transform::Bucket(4))]
    #[case(Transform::Void)]
    #[case(Transform::Unknown)]
    fn other_transforms_say_nothing_about_ranges(#[case] transform: Transform) {
        let value = PrimitiveLiteral::Int(1);
        assert_eq!(source(transform, Some(&value), Some(&value), &DataType::Int32), (None, None));
    }

    #[test]
    fn truncated_numbers_span_their_width_and_stop_at_the_end_of_the_type() {
        let value = PrimitiveLiteral::Int(-10);
        let (low, high) = source(Transform::Truncate(10), Some(&value), Some(&value), &DataType::Int64);
        assert_eq!((low, high), (Some(ScalarValue::Int64(Some(-10))), Some(ScalarValue::Int64(Some(-1)))));
        let end = PrimitiveLiteral::Int(i32::MAX - 2);
        assert_eq!(source(Transform::Truncate(10), None, Some(&end), &DataType::Int32), (None, None));
    }
}
