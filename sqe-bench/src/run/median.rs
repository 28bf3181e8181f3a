/// The middle of some times; of an even number the mean of the two in the middle. `None` without any.
pub(super) fn median(seconds: &[f64]) -> Option<f64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied()?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = sorted.get(middle.checked_sub(1)?).copied()?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], None)]
    #[case(&[2.0], Some(2.0))]
    #[case(&[9.0, 1.0, 2.0], Some(2.0))]
    #[case(&[4.0, 1.0, 2.0, 9.0], Some(3.0))]
    fn the_median_is_the_middle(#[case] seconds: &[f64], #[case] expected: Option<f64>) {
        assert_eq!(median(seconds), expected);
    }
}
