//! As much of Markdown as a link check needs.

/// Targets of inline links `[text](target)` outside of code.
pub(crate) fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Odd pieces between back quotes are code.
        for piece in line.split('`').step_by(2) {
            let mut rest = piece;
            while let Some((_, after)) = rest.split_once("](") {
                let Some((target, tail)) = after.split_once(')') else { break };
                found.push(target.split_whitespace().next().unwrap_or_default().to_owned());
                rest = tail;
            }
        }
    }
    found.retain(|target| !target.is_empty());
    found
}

/// The names under which a page's headings can be linked to.
pub(crate) fn sections(text: &str) -> Vec<String> {
    let heading = |line: &&str| line.starts_with('#');
    prose(text).into_iter().filter(heading).map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Lines outside of fenced code.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{links, sections};

    #[test]
    fn links_are_found_in_prose_and_not_in_code() {
        let text = "see [a](b.md) and [`c`](d.md#e)\n```\n[x](y)\n```\n`[p](q)`";
        assert_eq!(links(text), ["b.md", "d.md#e"]);
    }

    #[test]
    fn sections_have_the_names_that_renderers_give_them() {
        assert_eq!(sections("# The house\n## What it refuses, always\n"), ["the-house", "what-it-refuses-always"]);
    }
}
