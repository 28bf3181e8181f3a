//! The Node packages of `testkit/package.json`, and services of `testkit/services` that run with them.

use std::{
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long a service may think. It is on this machine, which may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Node and its packages.
#[derive(Debug, Clone)]
pub struct Node {
    interpreter: PathBuf,
    modules: PathBuf,
}

impl Node {
    /// The packages in the `node_modules` that `SQE_TEST_NODE_MODULES` names, which `cargo xtask test` sets, for the
    /// interpreter that `SQE_TEST_NODE` names, or `node`. `None`: there are none, and this is not CI.
    ///
    /// # Errors
    /// They are missing, and this is CI.
    pub fn find() -> Result<Option<Self>> {
        let named = std::env::var_os("SQE_TEST_NODE_MODULES").map(PathBuf::from).filter(|path| path.is_dir());
        let interpreter = std::env::var_os("SQE_TEST_NODE").map_or_else(|| "node".into(), PathBuf::from);
        let node = named.map(|modules| Self { interpreter, modules });
        crate::required("SQE_TEST_NODE_MODULES (run `cargo xtask test setup`, then name its node_modules)", node)
    }

    /// Starts `testkit/services/SCRIPT` and waits until it is ready.
    ///
    /// # Errors
    /// It ended or did not become ready; the error holds its log.
    pub fn start(&self, script: &str) -> Result<Service> {
        let folder = tempfile::tempdir()?;
        // Modules are looked for beside the scripts, wherever those lie.
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("services"), folder.path())?;
        link(&self.modules, &folder.path().join("node_modules"))?;
        let log = folder.path().join("log");
        let mut command = Command::new(&self.interpreter);
        command.arg(folder.path().join(script)).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&log)?);
        let mut child = crate::without_cloud(&mut command)
            .spawn()
            .with_context(|| format!("cannot start {}", self.interpreter.display()))?;
        let stdin = child.stdin.take().context("the service has no standard input")?;
        let stdout = child.stdout.take().context("the service has no standard output")?;
        let (answer, answers) = channel();
        // Ends with the output, which ends with the service.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if answer.send(line).is_err() {
                    return;
                }
            }
        });
        let talk = Talk { stdin, answers };
        let mut service = Service { child, ready: Value::Null, talk: Mutex::new(talk), log, _folder: folder };
        let ready = service.talk.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?.answer(&service.log)?;
        service.ready = ready;
        Ok(service)
    }
}

/// A running service, which ends when this is dropped, and also when this process is killed.
#[derive(Debug)]
pub struct Service {
    child: Child,
    ready: Value,
    talk: Mutex<Talk>,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Talk {
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Service {
    /// What it said about itself when it was ready.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Has it run a command and gives the answer. One at a time; it blocks.
    ///
    /// # Errors
    /// The service refused, ended, or did not answer within a minute.
    pub fn call(&self, name: &str, arguments: &Value) -> Result<Value> {
        let mut command = json!({ "do": name });
        if let (Some(command), Some(arguments)) = (command.as_object_mut(), arguments.as_object()) {
            command.extend(arguments.clone());
        }
        let mut talk = self.talk.lock().map_err(|_| anyhow::anyhow!("another test panicked with this service"))?;
        writeln!(talk.stdin, "{command}").with_context(|| format!("the service has ended\n{}", self.log()))?;
        talk.answer(&self.log).with_context(|| format!("the service did not do {name}"))
    }

    /// What it said so far, beside answers.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself: there is nothing to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talk {
    fn answer(&self, log: &Path) -> Result<Value> {
        let said = || std::fs::read_to_string(log).unwrap_or_default();
        let line = match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {} seconds\n{}", PATIENCE.as_secs(), said()),
            Err(RecvTimeoutError::Disconnected) => bail!("the service ended\n{}", said()),
        };
        let mut answer: Value = serde_json::from_str(&line).with_context(|| format!("no answer is {line}"))?;
        match answer.get_mut("ok") {
            Some(value) => Ok(value.take()),
            None => bail!("{}", answer.get("error").and_then(Value::as_str).unwrap_or("it failed")),
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, at).context("cannot link the node modules")
}

#[cfg(not(unix))]
fn link(to: &Path, at: &Path) -> Result<()> {
    std::os::windows::fs::symlink_dir(to, at).context("cannot link the node modules")
}
