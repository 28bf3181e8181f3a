//! Which known word somebody meant.

/// The known word that fewest edits make out of `word`, if they are few enough for a slip.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = |known: &'a str| Some((edits(word, known), known)).filter(|(edits, _)| *edits <= 2.max(word.len() / 3));
    known.into_iter().filter_map(close).min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}

/// Insertions, removals and replacements of characters between two words (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, a) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (b, up) in to.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(left + 1).min(up + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn a_slip_has_a_nearest_word_and_something_else_has_none() {
        assert_eq!(nearest("listn", ["profile", "listen"]), Some("listen"));
        assert_eq!(nearest("colour", ["profile", "listen"]), None);
    }
}
