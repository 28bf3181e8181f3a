use sqe_core::{Error, Result};

/// Which share of a table to generate, so that several threads or machines can generate one table together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: i32,
    of: i32,
}

impl Part {
    /// The table as one part.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Part `number`, counted from 1, of `of`.
    ///
    /// # Errors
    /// `InvalidInput` unless `1 <= number <= of`.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        match (i32::try_from(number), i32::try_from(of)) {
            (Ok(number), Ok(of)) if number >= 1 && number <= of => Ok(Self { number, of }),
            _ => Err(Error::invalid(format!("there is no part {number} of {of}"))),
        }
    }

    /// Which part this is, counted from 1.
    #[must_use]
    pub fn number(self) -> i32 {
        self.number
    }

    /// How many parts there are.
    #[must_use]
    pub fn of(self) -> i32 {
        self.of
    }

    /// How many of `rows` come before this part, and how many before the next one.
    #[must_use]
    pub fn share(self, rows: u64) -> (u64, u64) {
        let before = |number: i32| {
            let share = u128::from(rows) * u128::from(number.unsigned_abs()) / u128::from(self.of.unsigned_abs());
            u64::try_from(share).unwrap_or(rows)
        };
        (before(self.number - 1), before(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_each_other_and_are_all_of_it() {
        for (rows, of) in [(0, 3), (1, 3), (2, 3), (10, 3), (u64::MAX, 7)] {
            let shares: Vec<_> = (1..=of).map(|number| Part::new(number, of).unwrap().share(rows)).collect();
            assert_eq!((shares[0].0, shares[of - 1].1), (0, rows));
            assert!(shares.windows(2).all(|pair| pair[0].1 == pair[1].0) && shares.iter().all(|(from, to)| from <= to));
        }
    }
}
