//! The prompt: a line editor in front of a session.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustyline::{
    Behavior, CompletionType, Config, Context, Editor, Helper,
    completion::{Completer, FilenameCompleter, Pair},
    config::BellStyle,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::{runtime::Handle, task::block_in_place};

use super::{
    catalog::SharedCatalog,
    command::{self, Command},
    complete,
    describe::edit,
    session::{Flow, Session},
    split::is_complete,
    write::visible::visible,
};
use crate::{exit, surroundings};

/// Statements that are kept.
const KEPT: usize = 10_000;

/// Words that come with a secret more often than not.
const SECRETIVE: [&str; 6] = ["password", "passwd", "secret", "token", "credential", "private_key"];

/// Asks for statements until the person leaves. Failures are told and change nothing.
///
/// # Errors
/// The terminal fails.
pub(super) async fn run(session: &mut Session, history: Option<PathBuf>) -> Result<()> {
    let mut editor = editor(session.catalog.clone())?;
    let history = history.and_then(|path| match open_history(&mut editor, &path) {
        Ok(()) => Some(path),
        Err(error) => {
            eprintln!("what is typed is not kept: {error}");
            None
        }
    });
    let mut initial = String::new();
    loop {
        let prompt = prompt(session);
        let begun = std::mem::take(&mut initial);
        // The editor waits for keys and asks for names while it does: the runtime's other threads go on.
        let line = block_in_place(|| editor.readline_with_initial(&prompt, (&begun, "")));
        let text = match line {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error).context("the terminal fails"),
        };
        if text.trim().is_empty() {
            continue;
        }
        if !holds_secret(&text) {
            keep(&mut editor, &text, history.as_deref());
        }
        if matches!(command::parse(text.trim()), Ok(Command::Edit)) {
            let last = format!("{};", session.last);
            match block_in_place(|| edit(if session.last.is_empty() { "" } else { &last })) {
                Ok(edited) => initial = edited,
                Err(error) => exit::tell(&error),
            }
            continue;
        }
        match session.run(&text).await {
            Ok(Flow::On) => session.forgive(),
            Ok(Flow::Leave) => return Ok(()),
            Err(error) if session.settings.stop_on_error && !session_was_stopped(&error) => return Err(error),
            Err(error) => exit::tell(&error),
        }
    }
}

/// Ctrl-C is no failure.
fn session_was_stopped(error: &anyhow::Error) -> bool {
    exit::code(error) == exit::Exit::Cancelled
}

fn prompt(session: &Session) -> String {
    match session.catalog.defaults() {
        (catalog, schema) if catalog.is_empty() && schema.is_empty() => "sqe> ".to_owned(),
        (catalog, schema) => format!("{}.{}> ", visible(&catalog), visible(&schema)),
    }
}

fn editor(catalog: SharedCatalog) -> Result<Editor<Assistant, FileHistory>> {
    // Standard output is for answers: if it is no terminal, the prompt goes to the terminal itself.
    let behavior = if io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
    let config = Config::builder()
        .max_history_size(KEPT)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .bell_style(BellStyle::None)
        .behavior(behavior)
        .build();
    let mut editor = Editor::with_config(config).context("cannot use the terminal")?;
    let runtime = Handle::current();
    editor.set_helper(Some(Assistant { catalog, runtime, files: FilenameCompleter::new() }));
    Ok(editor)
}

fn open_history(editor: &mut Editor<Assistant, FileHistory>, path: &Path) -> Result<()> {
    surroundings::own_file(path)?;
    editor.load_history(path).with_context(|| format!("cannot read {}", path.display()))
}

/// In memory, and in the file at once: what was typed outlives a crash, and prompts beside this one keep theirs.
fn keep(editor: &mut Editor<Assistant, FileHistory>, text: &str, path: Option<&Path>) {
    let kept = editor.add_history_entry(text).unwrap_or(false);
    if let Some(path) = path.filter(|_| kept)
        && let Err(error) = editor.append_history(path)
    {
        tracing::debug!("the history cannot be written: {error}");
    }
}

/// Whether a text names a secret and quotes something.
fn holds_secret(text: &str) -> bool {
    let lower = text.to_lowercase();
    lower.contains('\'') && SECRETIVE.iter().any(|word| lower.contains(word))
}

/// Helps while something is typed.
struct Assistant {
    catalog: SharedCatalog,
    runtime: Handle,
    files: FilenameCompleter,
}

impl Helper for Assistant {}
impl Highlighter for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if ["\\i ", "\\o "].iter().any(|word| line.trim_start().starts_with(word)) {
            let (start, mut found) = self.files.complete_path(line, position)?;
            found.retain(|pair| visible(&pair.display) == pair.display.as_str());
            return Ok((start, found));
        }
        let completion = self.runtime.block_on(complete::complete(line, position, &self.catalog));
        let pair = |text: String| Pair { display: text.clone(), replacement: text };
        Ok((completion.start, completion.candidates.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::holds_secret;

    #[rstest]
    #[case("CREATE USER a PASSWORD 'hunter2';", true)]
    #[case("SELECT * FROM t WHERE api_token = 'abc';", true)]
    #[case("SELECT token FROM t;", false)]
    #[case("SELECT 'x';", false)]
    fn what_quotes_a_secret_is_not_kept(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(holds_secret(text), expected);
    }
}
