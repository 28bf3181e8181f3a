//! Names as people write them: `lake.sales."Order Items"`.

/// The parts of a dotted name. Without quotes they are lower case, as in SQL. `None`: it is no name.
pub(super) fn parts(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, tail) = part(rest)?;
        found.push(part);
        match tail.strip_prefix('.') {
            Some(tail) => rest = tail,
            None => return tail.is_empty().then_some(found),
        }
    }
}

fn part(text: &str) -> Option<(String, &str)> {
    if let Some(mut rest) = text.strip_prefix('"') {
        let mut name = String::new();
        loop {
            let (before, after) = rest.split_once('"')?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(after) => {
                    name.push('"');
                    rest = after;
                }
                None => return (!name.is_empty()).then_some((name, after)),
            }
        }
    }
    let end = text.find('.').unwrap_or(text.len());
    let (name, tail) = text.split_at_checked(end)?;
    let usable = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '"');
    usable.then(|| (name.to_lowercase(), tail))
}

/// The name as SQL wants it: in quotes where it needs them.
pub(super) fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    match begins && name.chars().all(plain) && !super::keywords::is_reserved(name) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("customer", Some(vec!["customer"]))]
    #[case(" Lake.TPCH.Customer ", Some(vec!["lake", "tpch", "customer"]))]
    #[case("lake.\"Order.Items\"", Some(vec!["lake", "Order.Items"]))]
    #[case("\"say \"\"hi\"\"\"", Some(vec!["say \"hi\""]))]
    #[case("a..b", None)]
    #[case("a b", None)]
    #[case("\"open", None)]
    #[case("", None)]
    fn names_have_parts(#[case] text: &str, #[case] expected: Option<Vec<&str>>) {
        assert_eq!(parts(text), expected.map(|parts| parts.into_iter().map(str::to_owned).collect()));
    }

    #[rstest]
    #[case("customer", "customer")]
    #[case("c_2", "c_2")]
    #[case("2c", "\"2c\"")]
    #[case("Order Items", "\"Order Items\"")]
    #[case("order", "\"order\"")]
    #[case("a\"b", "\"a\"\"b\"")]
    fn names_are_quoted_where_they_need_it(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(quoted(name), expected);
        assert_eq!(parts(expected), Some(vec![name.to_owned()]));
    }
}
