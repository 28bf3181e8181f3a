//! An OpenTelemetry collector, `rotel`, on loopback, which writes down what it understands.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::python::Python;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running collector, killed when dropped.
#[derive(Debug)]
pub struct Rotel {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Rotel {
    /// Starts one that keeps nothing but its log in `folder`, where everything of one `signal` stands that it gets: `logs` or
    /// `traces`. `None`: it is not there, and this is not CI.
    ///
    /// # Errors
    /// It is missing and this is CI, or it does not start.
    pub fn start(folder: &Path, signal: &str) -> Result<Option<Self>> {
        let Some(python) = Python::find()? else { return Ok(None) };
        let Some(agent) = crate::required("the Python package rotel", agent(&python))? else { return Ok(None) };
        let (port, other) = (crate::free_port()?, crate::free_port()?);
        let log = folder.join("rotel.log");
        let to = std::fs::File::create(&log).context("cannot write the log of the collector")?;
        let mut command = Command::new(agent);
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", signal, "--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{other}")])
            .arg("--pid-file")
            .arg(folder.join("rotel.pid"))
            .stdin(Stdio::null())
            .stdout(to.try_clone()?)
            .stderr(to);
        let child = crate::without_cloud(&mut command).spawn().context("cannot start the collector")?;
        let mut rotel = Self { child, port, log };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = rotel.child.try_wait()? {
                bail!("the collector ended with {status}\n{}", rotel.said());
            }
            if started.elapsed() > PATIENCE {
                bail!("the collector does not listen\n{}", rotel.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(rotel))
    }

    /// Where it takes OTLP over gRPC.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it said so far, with an indented line `-> KEY: TYPE(VALUE)` for each attribute of each record.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program in the package.
fn agent(python: &Python) -> Option<PathBuf> {
    let code = "import importlib.util as u; print(u.find_spec('rotel').submodule_search_locations[0])";
    let output =
        Command::new(python.interpreter()).args(["-c", code]).output().ok().filter(|it| it.status.success())?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(folder.trim()).join("rotel-agent")).filter(|path| path.is_file())
}
