//! Commands of the prompt: what begins with a backslash.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::{cli::Format, config::nearest, exit::UsageError};

/// What the prompt can do beside SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// The columns of a table, or all tables.
    Describe(Option<String>),
    Tables(Option<String>),
    Schemas(Option<String>),
    Catalogs,
    Expanded(Option<Expanded>),
    Timing(Option<bool>),
    /// Where answers go; `None`: to standard output again.
    Output(Option<PathBuf>),
    Include(PathBuf),
    Format(Option<Format>),
    Pager(bool),
    Connect(String),
    ConnectionInfo,
    Edit,
    Quit,
}

/// Whether rows stand one value a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Expanded {
    #[default]
    Off,
    On,
    /// Where a table would be wider than the terminal.
    Auto,
}

/// What `\?` shows.
pub(super) const HELP: &str = r"\?                     this help
\d [NAME]              the columns of a table; without a name all tables
\dt [PATTERN]          tables, as in \dt sales.*
\dn [CATALOG]          schemas
\l                     catalogs
\c CATALOG.SCHEMA      where names without a catalog or a schema point; \c SCHEMA stays in the catalog
\conninfo              where this is connected, and as whom
\x [on|off|auto]       one value a line; auto: where a table would be too wide
\pset format FORMAT    table, json, ndjson, csv, markdown, vertical, arrow; without a word: by where answers go
\pset pager on|off     show what does not fit the screen with $PAGER
\timing [on|off]       tell how long statements take
\o [FILE]              write answers to a file; without one to the terminal again
\i FILE                run the statements of a file
\e                     edit the last statement with $VISUAL or $EDITOR
\q                     leave, as Ctrl-D does

A statement ends with ; and may take many lines. Ctrl-C stops it. A line that begins with a space is not kept.
";

/// The words that commands begin with.
pub(super) const WORDS: [&str; 14] =
    ["\\?", "\\c", "\\conninfo", "\\d", "\\dn", "\\dt", "\\e", "\\i", "\\l", "\\o", "\\pset", "\\q", "\\timing", "\\x"];

/// Reads a line such as `\d sales.orders`.
///
/// # Errors
/// There is no such command, or it takes another argument.
pub(super) fn parse(line: &str) -> Result<Command, UsageError> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let optional = || Some(rest).filter(|rest| !rest.is_empty()).map(str::to_owned);
    let required = |what: &str| optional().ok_or_else(|| UsageError(format!("{word} needs {what}")));
    let nothing = |command: Command| match rest {
        "" => Ok(command),
        _ => Err(UsageError(format!("{word} takes no argument"))),
    };
    match word {
        "\\?" | "\\h" | "\\help" => Ok(Command::Help),
        "\\d" => Ok(Command::Describe(optional())),
        "\\dt" => Ok(Command::Tables(optional())),
        "\\dn" => Ok(Command::Schemas(optional())),
        "\\l" => nothing(Command::Catalogs),
        "\\x" => Ok(Command::Expanded(match rest {
            "" => None,
            "on" => Some(Expanded::On),
            "off" => Some(Expanded::Off),
            "auto" => Some(Expanded::Auto),
            _ => return Err(UsageError("\\x takes on, off or auto".to_owned())),
        })),
        "\\timing" => Ok(Command::Timing(if rest.is_empty() { None } else { Some(switch(word, rest)?) })),
        "\\o" => Ok(Command::Output(optional().map(PathBuf::from))),
        "\\i" => Ok(Command::Include(required("a file")?.into())),
        "\\pset" => match rest.split_once(char::is_whitespace).unwrap_or((rest, "")) {
            ("format", name) => Ok(Command::Format(match name.trim() {
                "" => None,
                name => Some(Format::from_str(name, true).map_err(|_| unknown_format(name))?),
            })),
            ("pager", rest) => Ok(Command::Pager(switch("\\pset pager", rest.trim())?)),
            _ => Err(UsageError("\\pset takes format FORMAT, or pager on|off".to_owned())),
        },
        "\\c" => Ok(Command::Connect(required("a schema, as in \\c lake.sales")?)),
        "\\conninfo" => nothing(Command::ConnectionInfo),
        "\\e" => nothing(Command::Edit),
        "\\q" => nothing(Command::Quit),
        word => {
            let hint = nearest(word, WORDS).map(|known| format!("; is {known} meant?")).unwrap_or_default();
            Err(UsageError(format!("there is no command {word}{hint} \\? lists them")))
        }
    }
}

fn switch(word: &str, rest: &str) -> Result<bool, UsageError> {
    match rest {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(UsageError(format!("{word} takes on or off"))),
    }
}

fn unknown_format(name: &str) -> UsageError {
    let known: Vec<String> = Format::value_variants()
        .iter()
        .filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()))
        .collect();
    UsageError(format!("there is no format {name}; there are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("\\d", Command::Describe(None))]
    #[case("\\d lake.tpch.customer;", Command::Describe(Some("lake.tpch.customer".to_owned())))]
    #[case("\\x", Command::Expanded(None))]
    #[case("\\x auto", Command::Expanded(Some(Expanded::Auto)))]
    #[case("\\o a b.csv", Command::Output(Some("a b.csv".into())))]
    #[case("\\pset format csv", Command::Format(Some(Format::Csv)))]
    #[case("\\pset pager off", Command::Pager(false))]
    #[case("\\timing on", Command::Timing(Some(true)))]
    #[case("  \\q  ", Command::Quit)]
    fn commands_are_read_with_their_arguments(#[case] line: &str, #[case] expected: Command) {
        assert_eq!(parse(line).unwrap(), expected);
    }

    #[rstest]
    #[case("\\x maybe", "on, off or auto")]
    #[case("\\i", "needs a file")]
    #[case("\\c", "needs a schema")]
    #[case("\\l x", "takes no argument")]
    #[case("\\pset format cvs", "csv")]
    #[case("\\coninfo", "is \\conninfo meant?")]
    #[case("\\frobnicate", "\\? lists them")]
    fn what_is_no_command_is_refused_with_what_to_do(#[case] line: &str, #[case] said: &str) {
        let UsageError(problem) = parse(line).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }

    #[test]
    fn the_help_names_every_command() {
        for word in WORDS {
            assert!(HELP.lines().any(|line| line.split_whitespace().next() == Some(word)), "{word}");
        }
    }
}
