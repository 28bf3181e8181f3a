//! Running servers for the tests.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
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

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a configuration under which everybody may do everything, and no data.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
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
            kind = "permit-all"
            [catalogs.lake]
            kind = "sql"
            path = "catalog.db"
            warehouse = "warehouse"
            [credentials]
            kind = "local"
            [audit]
            path = "audit"
        "#;
        std::fs::write(folder.path().join("sqe.toml"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn token(&self, name: &str) -> String {
        let issuer = DevIssuer::open(self.path()).unwrap();
        issuer.issue(&DevPerson::new(name), Duration::from_secs(3600)).unwrap().expose().to_owned()
    }

    /// Starts `sqe serve` and waits until it says where.
    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> (Sqe, String) {
        let config = self.path().join("sqe.toml");
        let log = self.path().join("server.log");
        let arguments = ["serve".as_ref(), "--config".as_ref(), config.as_os_str()];
        let mut server = Sqe::start(binary(), arguments, variables, &log).unwrap();
        let said = || {
            let log = std::fs::read_to_string(&log).ok()?;
            // The line must be whole.
            let line = log.split_inclusive('\n').find(|line| line.starts_with("serving ") && line.ends_with('\n'))?;
            Some(line.trim().trim_start_matches("serving ").to_owned())
        };
        let uri = server.wait_for(said).unwrap();
        (server, uri)
    }

    /// Runs SQL that has to succeed, and gives its answer as CSV.
    pub(crate) fn run(&self, uri: &str, sql: &str) -> String {
        let output = sql_as(uri, &self.token("admin"), &["-o", "csv", "-c", sql]);
        assert!(output.status.success(), "{sql}: {}", stderr(&output));
        stdout(&output)
    }
}
