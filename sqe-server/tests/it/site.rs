//! Running servers for the tests.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, OnceLock, Weak},
    time::{Duration, Instant},
};

use sqe_auth::{DevIssuer, DevPerson};
use sqe_testkit::process::{Connection, Sqe};
use tempfile::TempDir;

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sqe"))
}

/// One demo for all tests that only look, so that its data is made once. It lives while a test holds it.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) folder: PathBuf,
    pub(crate) connection: Connection,
    _server: Sqe,
}

impl Demo {
    pub(crate) fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Demo>> = Mutex::new(Weak::new());
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        });
        let mut running = RUNNING.lock().unwrap();
        if let Some(demo) = running.upgrade() {
            return demo;
        }
        let (server, connection) = Sqe::demo(binary(), folder, &[], &[]).unwrap();
        let demo = Arc::new(Self { folder: folder.clone(), connection, _server: server });
        *running = Arc::downgrade(&demo);
        demo
    }

    /// `sqe sql` as somebody.
    pub(crate) fn sql(&self, person: &str, sql: &str) -> Output {
        sql_as(&self.connection.uri, &self.connection.people[person].token, &["-c", sql])
    }
}

/// `sqe sql` with a token and further arguments.
pub(crate) fn sql_as(uri: &str, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["sql", "--uri", uri]).args(arguments).env("SQE_TOKEN", token).stdin(Stdio::null());
    command.output().unwrap()
}

/// Starts `sqe sql` with a token and a statement that takes long.
pub(crate) fn start_as(uri: &str, token: &str, sql: &str) -> Child {
    let mut command = Command::new(binary());
    command.args(["sql", "--uri", uri, "-c", sql]).env("SQE_TOKEN", token);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until something is so, or fails.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "never so: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// How many rows of CSV came before the end, or before an error. The columns are told before there is a row.
pub(crate) fn rows(output: &Output) -> usize {
    stdout(output).lines().skip(1).count()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a configuration, and no data.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    /// Everybody may do everything.
    pub(crate) fn new() -> Self {
        Self::with("kind = \"permit-all\"")
    }

    /// Under the policies of a folder `policies`, which holds these.
    pub(crate) fn governed<'a>(policies: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let site = Self::with("kind = \"cedar\"\npath = \"policies\"");
        std::fs::create_dir(site.path().join("policies")).unwrap();
        for (name, text) in policies {
            std::fs::write(site.path().join("policies").join(name), text).unwrap();
        }
        site
    }

    /// Everybody may do everything, and another issuer is believed, too.
    pub(crate) fn trusting(issuer: &str) -> Self {
        let site = Self::new();
        let config = site.path().join("sqe.toml");
        let mut text = std::fs::read_to_string(&config).unwrap();
        text.push_str(&format!(
            "[[identity]]\nkind = \"jwt\"\nissuer = \"{issuer}\"\naudience = \"sqe\"\njwks_url = \"{issuer}/jwks\"\n"
        ));
        std::fs::write(&config, text).unwrap();
        site
    }

    fn with(policy: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let text = r#"
            [server]
            listen = "127.0.0.1:0"
            profile = "dev"
            drain_seconds = 5
            [[identity]]
            kind = "dev"
            path = "."
            [policy]
            POLICY
            [catalogs.lake]
            kind = "sql"
            path = "catalog.db"
            warehouse = "warehouse"
            [credentials]
            kind = "local"
            [audit]
            path = "audit"
        "#;
        std::fs::write(folder.path().join("sqe.toml"), text.replace("POLICY", policy)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn token(&self, name: &str) -> String {
        let issuer = DevIssuer::open(self.path()).unwrap();
        issuer.issue(&DevPerson::new(name), Duration::from_secs(3600)).unwrap().expose().to_owned()
    }

    /// A token of somebody who is in a group.
    pub(crate) fn token_in(&self, name: &str, group: &str) -> String {
        let issuer = DevIssuer::open(self.path()).unwrap();
        let person = DevPerson::new(name).with_groups([group]);
        issuer.issue(&person, Duration::from_secs(3600)).unwrap().expose().to_owned()
    }

    /// Starts `sqe serve` and waits until it says where.
    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> (Sqe, String) {
        self.serve_by(binary(), &[], variables)
    }

    /// Like [`serve`](Self::serve), by a program that takes the words of the command line after its own `words`.
    pub(crate) fn serve_by(&self, program: &Path, words: &[&str], variables: &[(&str, &str)]) -> (Sqe, String) {
        let config = self.path().join("sqe.toml");
        let log = self.path().join("server.log");
        let mut arguments: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        arguments.extend(["serve".as_ref(), "--config".as_ref(), config.as_os_str()]);
        let mut server = Sqe::start(program, arguments, variables, &log).unwrap();
        let said = || {
            let log = std::fs::read_to_string(&log).ok()?;
            // The line must be whole.
            let line = log.split_inclusive('\n').find(|line| line.starts_with("serving ") && line.ends_with('\n'))?;
            Some(line.trim().trim_start_matches("serving ").to_owned())
        };
        let uri = server.wait_for(said).unwrap();
        (server, uri)
    }

    /// Like [`serve`](Self::serve), with probes and metrics; the last is where they are, as `host:port`.
    pub(crate) fn serve_watched(&self, variables: &[(&str, &str)]) -> (Sqe, String, String) {
        let variables = [&[("SQE__SERVER__HTTP", "127.0.0.1:0")], variables].concat();
        let (server, uri) = self.serve(&variables);
        let log = server.log();
        let line = log.lines().find_map(|line| line.strip_prefix("probes and metrics http://")).unwrap();
        (server, uri, line.to_owned())
    }

    /// Runs SQL that has to succeed, and gives its answer as CSV.
    pub(crate) fn run(&self, uri: &str, sql: &str) -> String {
        self.run_as(uri, &self.token("admin"), sql)
    }

    /// The same with a token.
    pub(crate) fn run_as(&self, uri: &str, token: &str, sql: &str) -> String {
        let output = sql_as(uri, token, &["-o", "csv", "-c", sql]);
        assert!(output.status.success(), "{sql}: {}", stderr(&output));
        stdout(&output)
    }

    /// Starts `sqe sql` with a statement that takes long, as somebody.
    pub(crate) fn start(&self, uri: &str, who: &str, sql: &str) -> Child {
        start_as(uri, &self.token(who), sql)
    }

    /// Waits until the trail holds an intent of somebody's statement that has no effect yet.
    pub(crate) fn wait_until_running(&self, uri: &str, who: &str) {
        let sql =
            format!("SELECT count(*) AS n FROM system.audit.access WHERE subject = '{who}' AND outcome = 'running'");
        eventually("the statement runs", || self.run(uri, &sql) != "n\n0\n");
    }
}
