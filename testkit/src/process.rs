//! A child process that is ready when it is handed over and gone when it is dropped.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// How long a server may take until it answers. A debug build on a busy machine loads data in this time.
const PATIENCE: Duration = Duration::from_secs(300);

/// What `sqe demo` writes into its folder for clients.
#[derive(Debug, Clone, Deserialize)]
pub struct Connection {
    /// Where it listens, such as `grpc://127.0.0.1:50051`.
    pub uri: String,
    /// The people of the demo and their tokens, by name.
    pub people: std::collections::BTreeMap<String, Person>,
}

/// A person of the demo.
#[derive(Clone, Deserialize)]
pub struct Person {
    /// The bearer token.
    pub token: String,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(redacted)")
    }
}

/// A running `sqe` on loopback, killed when dropped.
#[derive(Debug)]
pub struct Sqe {
    child: Child,
    log: PathBuf,
}

impl Sqe {
    /// Starts `binary` with `arguments`. Its output goes to `log`. Variables of this process that hold cloud credentials
    /// are not handed on; `variables` are.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start<S: AsRef<OsStr>>(
        binary: &Path,
        arguments: impl IntoIterator<Item = S>,
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let to = std::fs::File::create(log).context("cannot write the log of the server")?;
        let mut command = Command::new(binary);
        command.args(arguments).stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
        crate::without_cloud(&mut command).envs(variables.iter().copied());
        let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// Starts `sqe demo --data-dir FOLDER` with further `arguments` and waits until it serves.
    ///
    /// # Errors
    /// It ended or did not become ready; the error holds its log.
    pub fn demo(
        binary: &Path,
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<(Self, Connection)> {
        let file = folder.join("connection.json");
        // One of an earlier start would look like readiness.
        let _ = std::fs::remove_file(&file);
        let mut words = vec![OsStr::new("demo"), OsStr::new("--data-dir"), folder.as_os_str()];
        words.extend(arguments.iter().map(OsStr::new));
        let log = folder.with_extension("log");
        let mut server = Self::start(binary, words, variables, &log)?;
        let read = || serde_json::from_str::<Connection>(&std::fs::read_to_string(&file).ok()?).ok();
        let mut connection = server.wait_for(read)?;
        let (host, port) = connection.uri.rsplit_once(':').context("the server's address has no port")?;
        let port: u16 = port.trim_end_matches('/').parse().context("the server's port is no number")?;
        server.wait_for(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        connection.uri = format!("{host}:{port}");
        Ok((server, connection))
    }

    /// Asks `ready` until it answers.
    ///
    /// # Errors
    /// The server ended first, or time is up; the error holds its log.
    pub fn wait_for<T>(&mut self, ready: impl Fn() -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(answer) = ready() {
                return Ok(answer);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} before it was ready\n{}", self.log());
            }
            if started.elapsed() > PATIENCE {
                bail!("the server was not ready after {} seconds\n{}", PATIENCE.as_secs(), self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It did not end in time.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server still runs after {} seconds\n{}", patience.as_secs(), self.log())
    }

    /// Sends a signal, such as `TERM` or `KILL`, to this process and no other.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().context("cannot send a signal")?;
        if !status.success() {
            bail!("the server could not be sent a signal");
        }
        Ok(())
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sqe {
    fn drop(&mut self) {
        // It may have ended by itself: there is nothing to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
