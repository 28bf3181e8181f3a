//! `sqe login`, `logout`, `whoami` and `token`, with a real provider, a real server and a browser without a screen.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::Duration,
};

use rstest::rstest;
use serde_json::Value;
use sqe_testkit::{
    idp::{Fault, Idp},
    process::Sqe,
};
use tempfile::TempDir;
use url::Url;

use crate::site::{Site, binary, stderr, stdout};

/// Writes the profile `lab` for a server, a provider, and this program's name there.
pub(crate) fn write_profile(home: &Path, uri: &str, issuer: &str, client: &str) {
    let folder = home.join(".config/sqe");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "default_profile = \"lab\"\n[profiles.lab]\nuri = \"{uri}\"\n[profiles.lab.login]\nissuer = \"{issuer}\"\n\
         client_id = \"{client}\"\nscopes = [\"openid\", \"offline_access\", \"sql:read\"]\nresource = \"urn:sqe\"\n\
         store = \"file\"\n"
    );
    std::fs::write(folder.join("config.toml"), text).unwrap();
}

/// A person's home with a profile for a server that believes a provider.
struct Desk {
    idp: Idp,
    site: Site,
    uri: String,
    home: TempDir,
    _server: Sqe,
}

impl Desk {
    /// `None`: there is no provider, and this is not CI.
    fn set_up() -> Option<Self> {
        let idp = Idp::start().unwrap()?;
        let site = Site::trusting(idp.issuer());
        let (server, uri) = site.serve(&[]);
        let desk = Self { idp, site, uri, home: TempDir::new().unwrap(), _server: server };
        desk.write_profile(desk.idp.issuer());
        Some(desk)
    }

    fn write_profile(&self, issuer: &str) {
        write_profile(self.home.path(), &self.uri, issuer, "cli");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what has to succeed.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// Starts a login, and gives the address that a browser has to open.
    fn begin(&self) -> (Begun, Url) {
        let mut begun = Begun::new(self.command(&["login", "--no-browser"]));
        let address = begun.line_with("http://");
        (begun, Url::parse(address.trim()).unwrap())
    }

    fn login(&self, user: &str) {
        let (begun, address) = self.begin();
        let page = self.idp.browse(user, address.as_str()).unwrap();
        let (code, said) = begun.end();
        assert_eq!(code, Some(0), "{said} {page:?}");
        assert!(said.contains(&format!("logged in as {user}")), "{said}");
        assert_eq!(page.status, Some(200));
        let text = page.text.unwrap();
        assert!(text.contains("You are logged in") && !text.contains("<script"), "{text}");
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".local/state/sqe/login/lab.json")
    }

    /// Makes the kept access token look as if it had ended.
    fn expire(&self) {
        let mut kept: Value = serde_json::from_slice(&std::fs::read(self.file()).unwrap()).unwrap();
        kept["expires_at"] = 0.into();
        std::fs::write(self.file(), kept.to_string()).unwrap();
    }
}

/// A login that waits for its person.
struct Begun {
    child: Child,
    said: BufReader<ChildStderr>,
    lines: String,
}

impl Begun {
    fn new(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said, lines: String::new() }
    }

    fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "{text} never came: {}", self.lines);
            self.lines.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        self.said.read_to_string(&mut self.lines).unwrap();
        (self.child.wait().unwrap().code(), self.lines)
    }
}

fn parameter(address: &Url, name: &str) -> String {
    address.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
}

/// Opens an address as a browser would, and gives the first line of the answer.
fn get(address: &Url) -> String {
    let host = format!("{}:{}", address.host_str().unwrap(), address.port().unwrap());
    let mut stream = TcpStream::connect(&host).unwrap();
    let target = &address[url::Position::BeforePath..];
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn who_logs_in_is_who_the_server_and_its_trail_name() {
    let Some(desk) = Desk::set_up() else { return };
    let before = desk.fails(&["sql", "-c", "SELECT 42 AS n"], 3);
    assert!(before.contains("sqe login --profile lab"), "{before}");
    desk.login("alice");
    assert_eq!(std::fs::metadata(desk.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.said(&["sql", "-c", "SELECT 42 AS n"]), "n\n42");

    let told: Vec<Value> = serde_json::from_str(&desk.said(&["whoami", "-o", "json"])).unwrap();
    let is = |what: &str| told.iter().find(|row| row["what"] == what).unwrap()["is"].as_str().unwrap().to_owned();
    assert_eq!((is("subject").as_str(), is("groups").as_str()), ("alice", "analysts"));
    assert_eq!((is("issuer").as_str(), is("profile").as_str()), (desk.idp.issuer(), "lab"));
    assert!(is("token ends").contains('T') && is("login ends").contains('T'));

    let sql = "SELECT DISTINCT issuer, subject, outcome FROM system.audit.access WHERE subject <> 'admin'";
    let expected = format!("issuer,subject,outcome\n{},alice,completed\n", desk.idp.issuer());
    assert_eq!(desk.site.run(&desk.uri, sql), expected);
    // Another login takes the place of this one.
    desk.login("bob");
    assert!(desk.said(&["whoami"]).contains("subject,bob"));
}

#[test]
fn a_device_code_logs_in_where_there_is_no_browser() {
    let Some(desk) = Desk::set_up() else { return };
    let mut begun = Begun::new(desk.command(&["login", "--device"]));
    let line = begun.line_with("type the code");
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = words.iter().find(|word| word.starts_with("http")).unwrap();
    desk.idp.enter_code("alice", address, words.last().unwrap()).unwrap();
    let (code, said) = begun.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(desk.said(&["whoami"]).contains("subject,alice"));

    let mut begun = Begun::new(desk.command(&["login", "--device"]));
    let line = begun.line_with("or go to ");
    desk.idp.decline("alice", line.trim().trim_start_matches("or go to ")).unwrap();
    let (code, said) = begun.end();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("declined"), "{said}");
    // Who declines another login keeps the one that is there.
    assert!(desk.said(&["whoami"]).contains("subject,alice"));
}

#[rstest]
#[case::state("state", "another login")]
#[case::issuer("iss", "another provider")]
fn an_answer_that_is_not_the_providers_to_this_login_is_refused(#[case] wrong: &str, #[case] why: &str) {
    let Some(desk) = Desk::set_up() else { return };
    let (begun, address) = desk.begin();
    let mut answer = Url::parse(&parameter(&address, "redirect_uri")).unwrap();
    let state = parameter(&address, "state");
    answer.query_pairs_mut().append_pair("code", "stolen");
    match wrong {
        "state" => answer.query_pairs_mut().append_pair("state", "guessed").append_pair("iss", desk.idp.issuer()),
        _ => answer.query_pairs_mut().append_pair("state", &state).append_pair("iss", "https://evil.example"),
    };
    assert_eq!(get(&answer), "HTTP/1.1 400 Bad Request");
    let (code, said) = begun.end();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(why), "{said}");
    assert!(!desk.file().exists());
    assert_eq!(desk.idp.requests("/token").unwrap(), 0, "a code was redeemed");
    // Beside it: the same way with the right answer.
    desk.login("alice");
}

#[test]
fn who_declines_is_not_logged_in() {
    let Some(desk) = Desk::set_up() else { return };
    let (begun, address) = desk.begin();
    desk.idp.decline("alice", address.as_str()).unwrap();
    let (code, said) = begun.end();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("access_denied") && !desk.file().exists(), "{said}");
}

#[test]
fn a_provider_that_is_not_the_one_of_the_profile_is_refused_and_one_that_is_down_is_unavailable() {
    let Some(desk) = Desk::set_up() else { return };
    desk.write_profile(&format!("{}/", desk.idp.issuer()));
    assert!(desk.fails(&["login", "--no-browser"], 2).contains("write it as the provider does"));
    desk.write_profile("http://idp.example");
    assert!(desk.fails(&["login", "--no-browser"], 2).contains("over https"));
    desk.write_profile(desk.idp.issuer());

    desk.login("alice");
    desk.idp.down().unwrap();
    assert!(desk.fails(&["login", "--no-browser"], 6).contains("does not answer"));
    // What is good still opens the door; what has ended cannot be renewed now, and is not forgotten.
    desk.said(&["token"]);
    desk.expire();
    desk.fails(&["token"], 6);
    desk.fails(&["sql", "-c", "SELECT 1"], 6);
    desk.idp.up().unwrap();
    assert_eq!(desk.said(&["sql", "-c", "SELECT 1 AS n"]), "n\n1");
    desk.idp.fault("/token", &Fault::Answer(500, "{}".to_owned())).unwrap();
    desk.expire();
    desk.fails(&["token"], 6);
}

#[test]
fn a_token_that_ended_is_renewed_once_however_many_ask_for_it() {
    let Some(desk) = Desk::set_up() else { return };
    desk.login("alice");
    let first = desk.said(&["token"]);
    assert_eq!(desk.said(&["token"]), first, "it is still good");
    desk.expire();
    let asked = desk.idp.requests("/token").unwrap();
    let children: Vec<Child> = (0..4)
        .map(|_| desk.command(&["token"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let mut tokens = std::collections::BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        tokens.insert(stdout(&output));
    }
    assert_eq!(tokens.len(), 1);
    assert!(!tokens.contains(&format!("{first}\n")));
    assert_eq!(desk.idp.requests("/token").unwrap(), asked + 1);
    // The login goes on with the new refresh token, and as the same person.
    desk.expire();
    assert!(desk.said(&["whoami"]).contains("subject,alice"));
}

#[test]
fn a_refresh_token_that_was_used_already_ends_the_login() {
    let Some(desk) = Desk::set_up() else { return };
    desk.login("alice");
    desk.expire();
    let stolen = std::fs::read(desk.file()).unwrap();
    desk.said(&["token"]);
    let renewed = std::fs::read(desk.file()).unwrap();
    std::fs::write(desk.file(), stolen).unwrap();
    assert!(desk.fails(&["token"], 3).contains("has ended the login"));
    assert!(!desk.file().exists());
    // The provider cannot tell a thief from its victim: both are out.
    std::fs::write(desk.file(), renewed).unwrap();
    std::fs::set_permissions(desk.file(), PermissionsExt::from_mode(0o600)).unwrap();
    desk.expire();
    desk.fails(&["token"], 3);
    desk.login("alice");
    desk.said(&["token"]);
}

#[test]
fn a_prompt_outlives_its_token() {
    let Some(desk) = Desk::set_up() else { return };
    // Short enough that it is renewed for every connection.
    desk.idp.set_lifetime(8).unwrap();
    desk.login("alice");
    let mut command = desk.command(&["sql", "--no-history"]);
    command.env("TERM", "xterm").env("PAGER", "cat").stdin(Stdio::inherit());
    let mut prompt = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    prompt.exp_string("connected to").unwrap();
    prompt.exp_string("lake.default> ").unwrap();
    // The server lets a session go on for as long as clocks may differ; after that a newer token has to be shown.
    let connected = desk.idp.requests("/token").unwrap();
    let mut refused = 0;
    for number in 0..100 {
        prompt.send(&format!("SELECT {number} + 1000 AS n;\r")).unwrap();
        prompt.flush().unwrap();
        // The token may end between a statement and the fetching of its rows; the next statement shows a newer one.
        let (_, said) = prompt.exp_regex(&format!("\\| {} \\||not logged in", number + 1000)).unwrap();
        prompt.exp_string("lake.default> ").unwrap();
        refused = if said == "not logged in" { refused + 1 } else { 0 };
        assert!(refused < 2, "the prompt does not log in again");
        if refused == 0 && desk.idp.requests("/token").unwrap() > connected {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    panic!("nothing was renewed");
}

#[test]
fn logging_out_forgets_the_login_here_and_at_the_provider() {
    let Some(desk) = Desk::set_up() else { return };
    desk.login("alice");
    desk.expire();
    let kept = std::fs::read(desk.file()).unwrap();
    let output = desk.run(&["logout"]);
    assert!(output.status.success() && stderr(&output).contains("took the login back"), "{}", stderr(&output));
    assert!(!desk.file().exists());
    desk.fails(&["token"], 3);
    // A copy is worth nothing.
    std::fs::write(desk.file(), kept).unwrap();
    std::fs::set_permissions(desk.file(), PermissionsExt::from_mode(0o600)).unwrap();
    desk.fails(&["token"], 3);
    assert!(desk.run(&["logout"]).status.success(), "logging out twice");

    desk.login("alice");
    desk.idp.down().unwrap();
    assert!(desk.fails(&["logout"], 6).contains("logged out here"));
    assert!(!desk.file().exists());
}

#[test]
fn a_token_goes_to_programs_and_not_to_screens_or_other_servers() {
    let Some(desk) = Desk::set_up() else { return };
    desk.login("alice");
    let token = desk.said(&["token"]);
    assert_eq!(token.split('.').count(), 3);
    let screen = |arguments: &[&str]| {
        let mut terminal = rexpect::session::spawn_command(desk.command(arguments), Some(60_000)).unwrap();
        let shown = terminal.exp_eof().unwrap();
        (shown, terminal.process().wait().unwrap())
    };
    let (shown, status) = screen(&["token"]);
    assert!(!shown.contains(&token) && shown.contains("--force"), "{shown}");
    assert!(matches!(status, rexpect::process::WaitStatus::Exited(_, 2)), "{status:?}");
    assert!(screen(&["token", "--force"]).0.contains(&token));

    // Another address does not get it, whoever says so.
    let port = sqe_testkit::free_port().unwrap();
    let elsewhere = format!("grpc://127.0.0.1:{port}");
    assert!(desk.fails(&["sql", "--uri", &elsewhere, "-c", "SELECT 1"], 2).contains("alone"));
    let mut command = desk.command(&["sql", "-c", "SELECT 1"]);
    assert_eq!(command.env("SQE_URI", &elsewhere).output().unwrap().status.code(), Some(2));
    let mut command = desk.command(&["sql", "--profile", "lab", "-c", "SELECT 1 AS n"]);
    let output = command.env("SQE_URI", &elsewhere).output().unwrap();
    assert_eq!(stdout(&output), "n\n1\n", "who names a profile wants its server: {}", stderr(&output));
    // A file that others may read is no secret.
    std::fs::set_permissions(desk.file(), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(desk.fails(&["token"], 2).contains("chmod 600"));
}
