//! Rules of the house that no compiler checks: no traces of a machine in public text, documentation that compiles,
//! nothing left half done, files with one idea.

use std::fs;

use anyhow::{Result, bail};

use crate::{process::Counts, workspace::Workspace};

/// Longest source file, in lines. One that is longer holds a second idea.
const LONGEST: usize = 1000;

struct Rule {
    /// Files whose name ends like this.
    suffix: &'static str,
    /// The text that must not occur; split, so that this file does not hold it.
    text: [&'static str; 2],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule { suffix: "", text: ["/wo", "rk/"], why: "a path of one machine" },
    Rule { suffix: "", text: ["/ro", "ot/"], why: "a path of one machine" },
    Rule { suffix: "", text: ["/ho", "me/"], why: "a path of one machine" },
    Rule { suffix: ".md", text: ["rust,", "ignore"], why: "code in documentation must compile" },
    Rule { suffix: ".rs", text: ["```", "ignore"], why: "code in documentation must compile" },
    Rule { suffix: ".rs", text: ["todo", "!("], why: "unfinished code" },
    Rule { suffix: ".rs", text: ["unimplemented", "!("], why: "unfinished code" },
    Rule { suffix: ".rs", text: ["//! TO", "DO"], why: "unfinished code" },
];

pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    let mut problems = Vec::new();
    let files = workspace.files()?;
    for name in &files {
        let Ok(text) = fs::read_to_string(workspace.root.join(name)) else { continue };
        problems.extend(look(name, &text));
    }
    for name in files.iter().filter_map(|name| name.strip_suffix("/Cargo.toml")) {
        // What is not published has no reader outside of this repository.
        let manifest = fs::read_to_string(workspace.root.join(name).join("Cargo.toml"))?;
        for wanted in ["README.md", "CHANGELOG.md"] {
            if !manifest.contains("publish = false") && !workspace.root.join(name).join(wanted).exists() {
                problems.push(format!("{name}: a published crate needs a {wanted}"));
            }
        }
    }
    if !problems.is_empty() {
        bail!("{} problems\n{}", problems.len(), problems.join("\n"));
    }
    Ok(Counts::passed(files.len()))
}

fn look(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for rule in RULES.iter().filter(|rule| name.ends_with(rule.suffix)) {
        let forbidden = rule.text.concat();
        for (number, _) in text.lines().enumerate().filter(|(_, line)| line.contains(&forbidden)) {
            problems.push(format!("{name}:{}: {forbidden}: {}", number + 1, rule.why));
        }
    }
    if name.ends_with(".rs") {
        problems.extend(asleep(text).into_iter().map(|line| {
            format!(
                "{name}:{line}: a test that does not run proves nothing; say \"run by\" and the test here that runs it"
            )
        }));
    }
    let lines = text.lines().count();
    if name.ends_with(".rs") && lines > LONGEST {
        problems.push(format!("{name}: {lines} lines; look for the second idea in it"));
    }
    problems
}

/// The lines of ignored tests that no test of the same file runs, as a process of its own.
fn asleep(text: &str) -> Vec<usize> {
    let mark = ["#[ign", "ore"].concat();
    let woken = |line: &str| {
        let runner = line.split_once("= \"run by ").and_then(|(_, rest)| rest.split_once('"'));
        runner.is_some_and(|(runner, _)| text.contains(&format!("fn {runner}(")))
    };
    let ignored = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(&mark));
    ignored.filter(|(_, line)| !woken(line)).map(|(number, _)| number + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::look;

    #[test]
    fn a_test_that_nobody_runs_is_found_and_one_that_another_runs_is_not() {
        let mark = ["#[ign", "ore"].concat();
        let runner = "fn parent() {}";
        assert_eq!(look("a.rs", &format!("{runner}\n{mark}]\nfn child() {{}}")).len(), 1);
        assert_eq!(look("a.rs", &format!("{runner}\n{mark} = \"run by nobody\"]\nfn child() {{}}")).len(), 1);
        assert!(look("a.rs", &format!("{runner}\n{mark} = \"run by parent\"]\nfn child() {{}}")).is_empty());
    }

    #[test]
    fn a_machine_path_is_found_with_its_line_and_ordinary_text_is_not() {
        let path = ["see /wo", "rk/main"].concat();
        assert_eq!(look("a.md", &format!("first\n{path}")).len(), 1);
        assert!(look("a.md", &path).iter().all(|problem| problem.starts_with("a.md:1:")));
        assert!(look("a.md", "the workshop").is_empty());
    }

    #[test]
    fn unfinished_code_is_found_in_sources_only() {
        let unfinished = ["todo", "!()"].concat();
        assert_eq!(look("a.rs", &unfinished).len(), 1);
        assert!(look("a.md", &unfinished).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(look("a.rs", &"x\n".repeat(1001)).len(), 1);
        assert!(look("a.rs", &"x\n".repeat(1000)).is_empty());
    }
}
