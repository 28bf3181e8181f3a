//! `sqe sql` as a person meets it: on a real pseudo-terminal.
#![expect(clippy::disallowed_methods, reason = "tests find their tools by environment")]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rexpect::{
    process::WaitStatus,
    session::{PtySession, spawn_with_options},
};
use rstest::rstest;
use tempfile::TempDir;

use crate::site::{Demo, Site, binary, eventually};

/// What a debug build on a busy machine may take until it answers.
const PATIENCE: u64 = 60_000;
const PROMPT: &str = "lake.tpch> ";

/// Somebody's home, and how they start the prompt.
struct Person {
    home: TempDir,
    uri: String,
    token: String,
    lines: u16,
    columns: u16,
    variables: Vec<(&'static str, String)>,
    arguments: Vec<&'static str>,
}

impl Person {
    fn new(uri: &str, token: &str) -> Self {
        let home = TempDir::new().unwrap();
        let (uri, token) = (uri.to_owned(), token.to_owned());
        let variables = vec![("PAGER", "cat".to_owned())];
        Self { home, uri, token, lines: 40, columns: 100, variables, arguments: Vec::new() }
    }

    fn of_demo(demo: &Demo, name: &str) -> Self {
        Self::new(&demo.connection.uri, &demo.connection.people[name].token)
    }

    fn sized(self, lines: u16, columns: u16) -> Self {
        Self { lines, columns, ..self }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn history(&self) -> PathBuf {
        self.home.path().join(".local/state/sqe/history")
    }

    /// A terminal in front of the prompt, after its greeting.
    fn sit_down(&self, prompt: &str) -> Terminal {
        let mut command = Command::new("sh");
        let script = format!("stty rows {} cols {}; exec \"$0\" \"$@\"", self.lines, self.columns);
        command.args(["-c", &script]).arg(binary()).args(["sql", "--uri", &self.uri]).args(&self.arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TERM", "xterm").env("LANG", "C.UTF-8");
        command.env("HOME", self.home.path()).env("SQE_TOKEN", &self.token);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let options = rexpect::reader::Options::new().timeout_ms(Some(PATIENCE));
        let session = spawn_with_options(command, options).unwrap();
        let mut terminal = Terminal { session, prompt: prompt.to_owned() };
        terminal.until("connected to");
        terminal.ready();
        terminal
    }
}

struct Terminal {
    session: PtySession,
    prompt: String,
}

impl Terminal {
    fn until(&mut self, text: &str) -> String {
        self.session.exp_string(text).unwrap_or_else(|error| panic!("{text:?} never came: {error}"))
    }

    /// Waits for the prompt, and gives what came before it.
    fn ready(&mut self) -> String {
        let prompt = self.prompt.clone();
        self.until(&prompt)
    }

    fn keys(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// Types a line, and gives all that came until the next prompt. The editor draws the line anew at each key, so that
    /// what comes last is looked at.
    fn line(&mut self, text: &str) -> String {
        self.keys(text);
        // Drawn whole before it is sent: what follows is the answer.
        self.keys("\r");
        self.until("\r\n");
        self.ready()
    }

    fn leave(mut self) -> i32 {
        self.session.send_control('d').unwrap();
        self.end()
    }

    fn end(mut self) -> i32 {
        let _rest = self.session.exp_eof().unwrap();
        match self.session.process().wait().unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn statements_take_many_lines_and_answers_are_tables() {
    let demo = Demo::shared();
    let mut terminal = Person::of_demo(&demo, "bob").sit_down(PROMPT);
    terminal.keys("SELECT r_regionkey,\r");
    terminal.keys("r_name FROM region\r");
    terminal.keys("ORDER BY 1 LIMIT 1;\r");
    terminal.until("|           0 | AFRICA |");
    terminal.until("(1 row, ");
    terminal.ready();
    // A mistake is told, and the session goes on.
    let answer = terminal.line("SELECT nothing FROM region;");
    assert!(answer.contains("error: ") && answer.contains("nothing"), "{answer}");
    assert!(terminal.line("SELECT 6 * 7 AS answer;").contains("42"));
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn the_commands_show_what_there_is_for_this_person() {
    let demo = Demo::shared();
    let mut terminal = Person::of_demo(&demo, "alice").sit_down(PROMPT);
    let answer = terminal.line("\\d customer");
    assert!(answer.contains("c_phone") && !answer.contains("c_acctbal"), "{answer}");
    let answer = terminal.line("\\dt");
    assert!(answer.contains("| customer") && !answer.contains("supplier"), "{answer}");
    assert!(terminal.line("\\d supplier").contains("there is no table lake.tpch.supplier"));
    assert!(terminal.line("\\d no_such_table").contains("there is no table lake.tpch.no_such_table"));
    assert!(terminal.line("\\l").contains("| lake"));
    let answer = terminal.line("\\dn");
    assert!(answer.contains("tpch") && answer.contains("scratch"), "{answer}");
    let answer = terminal.line("\\conninfo");
    assert!(answer.contains("alice") && answer.contains("analyst") && answer.contains("grpc://127.0.0.1:"), "{answer}");

    assert!(terminal.line("\\c nowhere").contains("there is no schema lake.nowhere"));
    terminal.prompt = "lake.scratch> ".to_owned();
    terminal.line("\\c lake.scratch");
    assert!(terminal.line("SELECT count(*) FROM customer;").contains("error: "), "names still point to tpch");
    terminal.prompt = PROMPT.to_owned();
    terminal.line("\\c tpch");
    assert!(terminal.line("\\frobnicate").contains("there is no command"));
    terminal.keys("\\q\r");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn rows_stand_one_value_a_line_where_that_is_wanted_or_a_table_would_be_too_wide() {
    let demo = Demo::shared();
    let mut terminal = Person::of_demo(&demo, "bob").sit_down(PROMPT);
    terminal.line("\\x on");
    let answer = terminal.line("SELECT r_regionkey, r_name FROM region ORDER BY 1 LIMIT 1;");
    assert!(answer.contains("r_name      | AFRICA"), "{answer}");
    terminal.line("\\x auto");
    assert!(terminal.line("SELECT r_name FROM region ORDER BY 1 LIMIT 1;").contains("| AFRICA |"));
    let wide = "SELECT * FROM customer ORDER BY c_custkey LIMIT 1;";
    assert!(terminal.line(wide).contains("-[ row 1 ]"));
    terminal.line("\\x off");
    // What comes from the terminal is taken byte by byte.
    let answer = terminal.line(wide).replace("\u{e2}\u{80}\u{a6}", "…");
    let table = |line: &&str| line.starts_with(['+', '|']);
    assert!(answer.lines().filter(table).all(|line| line.chars().count() <= 100), "{answer}");
    assert!(answer.lines().filter(table).count() >= 4, "{answer}");
    terminal.line("\\pset format json");
    assert!(terminal.line("SELECT 1 AS one;").contains("[{\"one\":1}]"));
    assert!(terminal.line("\\timing off").contains("times are not told"));
    assert!(terminal.line("SELECT 1 AS one;").contains("(1 row)"));
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn tab_completes_names_that_the_person_may_see_and_no_others() {
    let demo = Demo::shared();
    let mut terminal = Person::of_demo(&demo, "alice").sit_down(PROMPT);
    // What completion made of a line is what the statement that it sends says.
    let answer = terminal.line("SELECT count(*) AS n FROM reg\t;");
    assert!(answer.contains("|     5 |") || answer.contains("| 5 |"), "{answer}");
    // Column of an alias.
    let answer = terminal.line("SELECT c.c_mkt\t AS only FROM customer c GROUP BY 1;");
    assert!(answer.contains("error: "), "a column is offered before its table is known: {answer}");
    let answer = terminal.line("SELECT 1 FROM customer c WHERE c.c_mkt\t = 'BUILDING' LIMIT 1;");
    assert!(answer.contains("(1 row"), "{answer}");
    // What is hidden from her is not offered: neither the table nor the column.
    let answer = terminal.line("SELECT count(*) FROM suppl\t;");
    assert!(answer.contains("suppl") && !answer.contains("supplier"), "{answer}");
    let answer = terminal.line("SELECT count(*) FROM customer WHERE c_acct\t > 0;");
    assert!(answer.contains("error: ") && !answer.contains("c_acctbal"), "{answer}");
    // Keywords, commands, and names that lead to others.
    assert!(terminal.line("SELECT count(*) FROM lake.tpch.nat\t;").contains("25"));
    assert!(terminal.line("\\conn\t").contains("alice"));
    assert_eq!(terminal.leave(), 0);

    let mut terminal = Person::of_demo(&demo, "bob").sit_down(PROMPT);
    assert!(terminal.line("SELECT count(*) FROM suppl\t;").contains("100"));
    let answer = terminal.line("SELECT count(*) FROM customer WHERE c_acct\t IS NULL;");
    assert!(answer.contains("(1 row"), "{answer}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn ctrl_c_stops_a_statement_on_the_server_and_the_session_goes_on() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    let mut terminal = Person::new(&uri, &site.token("ann")).sit_down("lake.default> ");
    terminal.keys("SELECT sum(a.value * b.value) FROM generate_series(1, 300000) AS a(value), generate_series(1, 300000) AS b(value);\r");
    site.wait_until_running(&uri, "ann");
    terminal.session.send_control('c').unwrap();
    terminal.until("error: cancelled");
    terminal.ready();
    let ended = "SELECT outcome FROM system.audit.access WHERE subject = 'ann' ORDER BY time DESC LIMIT 1";
    eventually("the trail says that it was cancelled", || site.run(&uri, ended) == "outcome\ncancelled\n");
    assert!(terminal.line("SELECT 6 * 7 AS answer;").contains("42"));
    // At the prompt it gives the line up, and leaves nothing.
    terminal.keys("SELECT 'never sent");
    terminal.until("sent");
    terminal.session.send_control('c').unwrap();
    terminal.ready();
    assert!(terminal.line("SELECT 6 * 7 AS answer;").contains("42"));
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn what_does_not_fit_the_screen_goes_through_the_pager_and_what_fits_does_not() {
    let demo = Demo::shared();
    let person = Person::of_demo(&demo, "bob").sized(12, 100).with("PAGER", "sed s/^/paged:/");
    let mut terminal = person.sit_down(PROMPT);
    let answer = terminal.line("SELECT n_name FROM nation ORDER BY 1;");
    assert!(answer.contains("paged:| ALGERIA") && answer.contains("paged:| VIETNAM"), "{answer}");
    let answer = terminal.line("SELECT n_name FROM nation ORDER BY 1 LIMIT 3;");
    assert!(answer.contains("| ALGERIA") && !answer.contains("paged:"), "{answer}");
    terminal.line("\\pset pager off");
    let answer = terminal.line("SELECT n_name FROM nation ORDER BY 1;");
    assert!(answer.contains("| VIETNAM") && !answer.contains("paged:"), "{answer}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_pager_that_is_left_early_stops_the_statement_and_nothing_else() {
    let demo = Demo::shared();
    let mut terminal = Person::of_demo(&demo, "bob").sized(12, 100).with("PAGER", "head -n 5").sit_down(PROMPT);
    let answer = terminal.line("SELECT value FROM generate_series(1, 100000000) AS t(value);");
    assert!(!answer.contains("error"), "{answer}");
    assert!(terminal.line("SELECT 6 * 7 AS answer;").contains("42"));
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn without_a_choice_less_is_the_pager() {
    if sqe_testkit::required("less", which("less")).unwrap().is_none() {
        return;
    }
    let demo = Demo::shared();
    let person = Person::of_demo(&demo, "bob").sized(12, 100).with("PAGER", "");
    let mut terminal = person.sit_down(PROMPT);
    terminal.keys("SELECT n_name FROM nation ORDER BY 1;\r");
    terminal.until("ALGERIA");
    // The prompt of less.
    terminal.until(":");
    terminal.keys("q");
    terminal.ready();
    assert!(terminal.line("SELECT 6 * 7 AS answer;").contains("42"));
    assert_eq!(terminal.leave(), 0);
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[test]
fn what_was_typed_is_kept_for_its_owner_alone_but_not_what_should_not_be() {
    let demo = Demo::shared();
    let mut person = Person::of_demo(&demo, "bob");
    let mut terminal = person.sit_down(PROMPT);
    terminal.line("SELECT 1000 + 1 AS kept;");
    terminal.line(" SELECT 1000 + 2 AS hidden;");
    terminal.line("SELECT 1000 + 3 AS three WHERE 'password' <> 'hunter2';");
    assert_eq!(terminal.leave(), 0);
    let kept = std::fs::read_to_string(person.history()).unwrap();
    assert!(kept.contains("kept") && !kept.contains("hidden") && !kept.contains("hunter2"), "{kept}");
    assert_eq!(std::fs::metadata(person.history()).unwrap().permissions().mode() & 0o777, 0o600);

    // Another session begins where this one ended.
    let mut terminal = person.sit_down(PROMPT);
    terminal.keys("\u{1b}[A\r");
    terminal.until("1001 |");
    terminal.ready();
    assert_eq!(terminal.leave(), 0);

    person.arguments = vec!["--no-history"];
    let mut terminal = person.sit_down(PROMPT);
    terminal.line("SELECT 1000 + 4 AS switched_off;");
    assert_eq!(terminal.leave(), 0);
    assert!(!std::fs::read_to_string(person.history()).unwrap().contains("switched_off"));
    person.arguments.clear();

    // A file that others read is not used.
    std::fs::set_permissions(person.history(), PermissionsExt::from_mode(0o644)).unwrap();
    let mut terminal = person.sit_down(PROMPT);
    terminal.line("SELECT 1000 + 5 AS after;");
    assert_eq!(terminal.leave(), 0);
    assert!(!std::fs::read_to_string(person.history()).unwrap().contains("after"));
}

#[rstest]
#[case("table")]
#[case("vertical")]
#[case("csv")]
#[case("json")]
#[case("ndjson")]
#[case("markdown")]
fn data_cannot_speak_to_the_terminal(#[case] format: &'static str) {
    let demo = Demo::shared();
    let mut terminal = Person::of_demo(&demo, "bob").sit_down(PROMPT);
    terminal.line(&format!("\\pset format {format}"));
    let answer = terminal.line("SELECT chr(27) || ']0;owned' || chr(7) || chr(155) || '31m' || chr(8238) AS x;");
    assert!(!answer.contains("\u{1b}]0;") && !answer.contains('\u{7}'), "{answer:?}");
    assert!(!answer.contains(['\u{9b}', '\u{202e}']), "{answer:?}");
    assert!(answer.contains("]0;owned"), "{answer:?}");
    assert!(answer.contains("\\u001b"), "{answer:?}");
    // Nor through a message about it.
    let answer = terminal.line("SELECT CAST(chr(27) || ']0;owned' AS INT);");
    assert!(answer.contains("error: ") && !answer.contains("\u{1b}]0;"), "{answer:?}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn answers_go_to_files_and_statements_come_from_files_and_an_editor() {
    let demo = Demo::shared();
    let person = Person::of_demo(&demo, "bob");
    let home = person.home.path().to_path_buf();
    let write = |name: &str, text: &str| {
        let path = home.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    write("two.sql", "SELECT 1 AS a;\n\\i ~/three.sql\nSELECT 3 AS c;\n");
    write("three.sql", "SELECT 'two' AS b");
    write("loop.sql", "\\i ~/loop.sql");
    let editor = write("editor", "#!/bin/sh\nsed -i s/41/42/ \"$1\"\n");
    std::fs::set_permissions(&editor, PermissionsExt::from_mode(0o755)).unwrap();
    let person = person.with("EDITOR", editor.to_str().unwrap());
    let mut terminal = person.sit_down(PROMPT);

    terminal.line("\\o ~/answers.csv");
    let answer = terminal.line("\\i ~/two.sql");
    assert!(!answer.contains("two"), "{answer}");
    terminal.line("\\o");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&home.join("answers.csv")), "a\n1\nb\ntwo\nc\n3\n");
    assert!(terminal.line("\\i ~/loop.sql").contains("does one run itself?"));
    assert!(terminal.line("\\i ~/none.sql").contains("cannot read"));

    assert!(terminal.line("SELECT 41 AS n;").contains("41"));
    // The editor gives the statement back to the line, where it is looked at before it runs.
    terminal.keys("\\e\r");
    terminal.until("SELECT 42 AS n;");
    terminal.keys("\r");
    terminal.until("42 |");
    terminal.ready();
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn stop_on_error_leaves_the_prompt_with_the_code_of_the_failure() {
    let demo = Demo::shared();
    let mut person = Person::of_demo(&demo, "alice");
    person.arguments = vec!["--stop-on-error"];
    let mut terminal = person.sit_down(PROMPT);
    assert!(terminal.line("SELECT 6 * 7 AS answer;").contains("42"));
    terminal.keys("INSERT INTO region VALUES (9, 'ATLANTIS', '');\r");
    assert_eq!(terminal.end(), 4);
}
