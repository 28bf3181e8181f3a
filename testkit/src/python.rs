//! The Python environments of `testkit/requirements*.txt`, with real clients and independent engines in them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};

/// A Python interpreter with the packages of one environment.
#[derive(Debug, Clone)]
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// The interpreter that `SQE_TEST_PYTHON` names; `cargo xtask test` sets it. `None`: there is none, and this is not
    /// CI.
    ///
    /// # Errors
    /// It is missing or does not start, and this is CI.
    pub fn find() -> Result<Option<Self>> {
        Self::named("SQE_TEST_PYTHON")
    }

    /// The interpreter with the packages of `testkit/requirements-flightsql-dbapi.txt`, which
    /// `SQE_TEST_PYTHON_FLIGHTSQL_DBAPI` names.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn with_flightsql_dbapi() -> Result<Option<Self>> {
        Self::named("SQE_TEST_PYTHON_FLIGHTSQL_DBAPI")
    }

    fn named(variable: &str) -> Result<Option<Self>> {
        let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
        let python = named.map(|interpreter| Self { interpreter });
        crate::required(&format!("{variable} (run `cargo xtask test setup`, then name its python)"), python)
    }

    /// The interpreter's path.
    #[must_use]
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// Runs `testkit/clients/SCRIPT` with `arguments` and gives its standard output. The script sees none of this
    /// process's cloud credentials.
    ///
    /// # Errors
    /// It ended with another code than 0; the error holds all that it said.
    pub fn run<S: AsRef<OsStr>>(&self, script: &str, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
        let mut command = Command::new(&self.interpreter);
        command.arg(&path).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        let output = crate::without_cloud(&mut command)
            .output()
            .with_context(|| format!("cannot start {}", self.interpreter.display()))?;
        finished(script, &output)
    }
}

fn finished(script: &str, output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{script} ended with {}\n{stdout}\n{stderr}", output.status);
    }
    Ok(stdout)
}
