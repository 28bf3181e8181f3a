use std::{fmt, str::FromStr};

use sqe_core::{Error, Result};

/// The scale factor: 1 is about one gigabyte of text.
///
/// The specifications name 1, 10, 30 (TPC-H), 1,000 (TPC-DS) and more; smaller ones are for tests. From 0.001, where
/// every table still has rows, to 100,000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Scale(f64);

impl Scale {
    /// A checked scale factor.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a number from 0.001 to 100,000.
    pub fn new(factor: f64) -> Result<Self> {
        if (0.001..=100_000.0).contains(&factor) {
            Ok(Self(factor))
        } else {
            Err(Error::invalid(format!("the scale factor must be between 0.001 and 100000, not {factor}")))
        }
    }

    /// The factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Scale {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let factor =
            text.parse().map_err(|_| Error::invalid(format!("{text:?} is not a scale factor; try 0.01 or 1")))?;
        Self::new(factor)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero(0.0)]
    #[case::negative(-1.0)]
    #[case::not_a_number(f64::NAN)]
    #[case::endless(f64::INFINITY)]
    #[case::so_small_that_tables_are_empty(0.0001)]
    fn a_scale_that_generates_nonsense_is_refused(#[case] factor: f64) {
        assert_eq!(Scale::new(factor).unwrap_err().kind(), sqe_core::ErrorKind::InvalidInput);
        assert_eq!(Scale::new(0.01).unwrap().factor(), 0.01);
    }
}
