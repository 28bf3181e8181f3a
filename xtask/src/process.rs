//! Starts the tools that do the work, shows what they say, and counts the tests they ran.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// How many checks a stage made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Counts {
    /// `n` checks that all held.
    pub(crate) fn passed(n: usize) -> Self {
        Self { passed: n, failed: 0 }
    }

    /// Adds the counts of a `test result: ok. 12 passed; 0 failed; …` line of a Rust test binary.
    fn add_result_line(&mut self, line: &str) {
        let Some(rest) = line.trim().strip_prefix("test result: ") else { return };
        let number_before = |word: &str| -> usize {
            let Some(at) = rest.find(word) else { return 0 };
            let number = rest.get(..at).and_then(|before| before.split_whitespace().next_back());
            number.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        self.passed += number_before(" passed");
        self.failed += number_before(" failed");
    }
}

/// Runs to the end with inherited output; an exit code other than 0 is an error.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and gives its standard output; an exit code other than 0 is an error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).context("the output is not text")
}

/// Runs Rust tests, shows their output as it comes, and counts them. A run without any test is an error: a filter that
/// matches nothing must not look like success.
pub(crate) fn tests(command: &mut Command) -> Result<Counts> {
    println!("$ {}", shown(command));
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    let stdout = child.stdout.take().context("the child has no standard output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        counts.add_result_line(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        bail!("`{}` ended with {status}", shown(command));
    }
    if counts == Counts::default() {
        bail!("`{}` ran no test", shown(command));
    }
    Ok(counts)
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn result_lines_are_counted_and_others_are_not() {
        let mut counts = Counts::default();
        counts.add_result_line("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        counts.add_result_line("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add_result_line("test a_test_with_7 passed ... ok");
        assert_eq!(counts, Counts { passed: 15, failed: 2 });
    }
}
