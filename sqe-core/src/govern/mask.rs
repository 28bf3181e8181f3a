//! Masks, carried out on Arrow arrays. Every mask keeps the column's type.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StringArray, new_null_array},
    compute::cast,
    datatypes::DataType,
};
use datafusion::common::ScalarValue;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::lower::scalar;
use crate::{Error, Result, Secret, predicate::Mask};

/// A mask fitted to its column: what does not fit the type has become NULL, which hides more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum FittedMask {
    Null,
    Constant(crate::predicate::Value),
    KeepLast(u32),
    KeyedHash,
}

impl FittedMask {
    /// Fits `mask` to a column of type `data_type`.
    pub(super) fn fit(mask: &Mask, data_type: &DataType) -> Self {
        let text = matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
        match mask {
            Mask::KeepLast(n) if text => Self::KeepLast(*n),
            Mask::KeyedHash if text => Self::KeyedHash,
            Mask::Constant(value) => match constant(value, data_type) {
                Ok(fitting) if !fitting.is_null() => Self::Constant(value.clone()),
                _ => Self::Null,
            },
            _ => Self::Null,
        }
    }

    /// Whether the masked column may hold NULL although the raw one does not.
    pub(super) fn adds_nulls(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the raw values are needed at all.
    pub(super) fn reads_raw(&self) -> bool {
        matches!(self, Self::KeepLast(_) | Self::KeyedHash)
    }

    /// A column of `rows` values that does not depend on raw values.
    pub(super) fn constant_array(&self, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
        match self {
            Self::Constant(value) => Ok(constant(value, data_type)?.to_array_of_size(rows)?),
            _ => Ok(new_null_array(data_type, rows)),
        }
    }

    /// The masked form of `raw`.
    pub(super) fn apply(&self, raw: &ArrayRef, key: &Secret) -> Result<ArrayRef> {
        let text = |change: &dyn Fn(&str) -> String| -> Result<ArrayRef> {
            let texts = cast(raw, &DataType::Utf8)?;
            let texts = texts
                .as_any()
                .downcast_ref::<StringArray>()
                .ok_or_else(|| Error::internal("a text mask met a column that is not text"))?;
            let masked: StringArray = texts.iter().map(|value| value.map(change)).collect();
            let masked: ArrayRef = Arc::new(masked);
            Ok(cast(&masked, raw.data_type())?)
        };
        match self {
            Self::Null | Self::Constant(_) => self.constant_array(raw.data_type(), raw.len()),
            Self::KeepLast(n) => text(&|value| keep_last(value, *n)),
            Self::KeyedHash => {
                let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
                    .map_err(|_| Error::internal("the mask key does not fit its algorithm"))?;
                text(&|value| {
                    let mut mac = mac.clone();
                    mac.update(value.as_bytes());
                    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
                })
            }
        }
    }
}

fn constant(value: &crate::predicate::Value, data_type: &DataType) -> Result<ScalarValue> {
    let generic = scalar(value, Some(data_type))?;
    let fitting = generic.cast_to(data_type)?;
    // INVARIANT: a constant that the type cannot hold exactly is no constant of this type.
    if fitting.cast_to(&generic.data_type())? == generic { Ok(fitting) } else { Err(Error::invalid("does not fit")) }
}

/// The last `n` characters; nothing at all of a text that has no more than `n`.
fn keep_last(value: &str, n: u32) -> String {
    let length = value.chars().count();
    let keep = n as usize;
    if length <= keep { String::new() } else { value.chars().skip(length - keep).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::Value;

    #[test]
    fn short_texts_are_not_shown_whole() {
        assert_eq!(keep_last("25-989-741-2988", 4), "2988");
        assert_eq!(keep_last("2988", 4), "");
        assert_eq!(keep_last("für-größe", 4), "röße");
    }

    #[test]
    fn a_mask_that_does_not_fit_its_column_hides_everything() {
        assert_eq!(FittedMask::fit(&Mask::KeepLast(4), &DataType::Int32), FittedMask::Null);
        assert_eq!(FittedMask::fit(&Mask::Constant(Value::Integer(300)), &DataType::Int8), FittedMask::Null);
        assert_eq!(FittedMask::fit(&Mask::Constant(Value::Text("x".into())), &DataType::Int32), FittedMask::Null);
        assert_eq!(
            FittedMask::fit(&Mask::Constant(Value::Integer(3)), &DataType::Int8),
            FittedMask::Constant(Value::Integer(3))
        );
    }

    #[test]
    fn keyed_hashes_keep_equality_and_depend_on_the_key() {
        let raw: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("a"), None]));
        let one = FittedMask::KeyedHash.apply(&raw, &Secret::new("k1")).unwrap();
        let two = FittedMask::KeyedHash.apply(&raw, &Secret::new("k2")).unwrap();
        let one = one.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(one.value(0), one.value(2));
        assert_ne!(one.value(0), one.value(1));
        assert!(one.is_null(3));
        assert_ne!(one.value(0), two.as_any().downcast_ref::<StringArray>().unwrap().value(0));
    }
}
