//! Where things are: the workspace's root, its packages, and the Python and Node environments of the tests.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The environment variables with which a developer makes cargo unify features across the workspace. Fences look at one
/// package by itself, so they run without.
const UNIFICATION: [&str; 3] = [
    "CARGO_RESOLVER_FEATURE_UNIFICATION",
    "CARGO_UNSTABLE_FEATURE_UNIFICATION",
    "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS",
];

/// A Python environment of the tests: what is in it, and the variable that tells the tests where its interpreter is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    /// The file of its requirements.
    pub(crate) requirements: &'static str,
    /// The name of the variable.
    pub(crate) variable: &'static str,
}

/// The tools, most clients, and independent engines.
pub(crate) const MAIN: Environment =
    Environment { requirements: "testkit/requirements.txt", variable: "SQE_TEST_PYTHON" };

/// All environments. Clients that need other versions of what the main one holds have their own.
pub(crate) const ENVIRONMENTS: [Environment; 2] = [
    MAIN,
    Environment {
        requirements: "testkit/requirements-flightsql-dbapi.txt",
        variable: "SQE_TEST_PYTHON_FLIGHTSQL_DBAPI",
    },
];

/// The workspace's root folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the task runner has no workspace")?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// `cargo SUBCOMMAND`, started in the root. The build commands all name `--workspace`: with one set of features
    /// there is one build, whatever is tested.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.arg(subcommand).current_dir(&self.root);
        // Set by `cargo run` for this program, and wrong for any other.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            command.env_remove(name);
        }
        for environment in ENVIRONMENTS {
            let python = self.python(environment);
            if python.exists() {
                command.env(environment.variable, python);
            }
        }
        let modules = self.node_modules();
        if modules.exists() {
            command.env("SQE_TEST_NODE_MODULES", modules);
        }
        command
    }

    /// `cargo SUBCOMMAND` that sees one package with that package's own features.
    pub(crate) fn cargo_alone(&self, subcommand: &str) -> Command {
        let mut command = self.cargo(subcommand);
        for name in UNIFICATION {
            command.env_remove(name);
        }
        command
    }

    /// `cargo metadata` of the whole resolved tree.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let mut command = self.cargo_alone("metadata");
        let text = process::output(command.args(["--format-version", "1", "--locked"]))?;
        serde_json::from_str(&text).context("cargo metadata is not JSON")
    }

    /// The names of all files under version control, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut command = Command::new("git");
        command.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(&self.root);
        let names = process::output(&mut command)?;
        Ok(names.lines().filter(|name| self.root.join(name).is_file()).map(str::to_owned).collect())
    }

    /// The folder of a Python environment. Its name follows the requirements, so that a change of them makes a new one.
    pub(crate) fn venv(&self, environment: Environment) -> PathBuf {
        self.named_after("venv", &[self.root.join(environment.requirements)])
    }

    /// What the Node environment holds: `package.json` and its lock.
    pub(crate) fn node_packages(&self) -> [PathBuf; 2] {
        ["testkit/package.json", "testkit/package-lock.json"].map(|name| self.root.join(name))
    }

    /// The Node environment's folder, whose name follows its packages.
    pub(crate) fn node(&self) -> PathBuf {
        self.named_after("node", &self.node_packages())
    }

    /// Its packages; there only after the setup stage.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.node().join("node_modules")
    }

    fn named_after(&self, kind: &str, contents: &[PathBuf]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        for file in contents {
            std::fs::read(file).unwrap_or_default().hash(&mut hasher);
        }
        self.target().join(format!("{kind}-{:08x}", hasher.finish() & 0xffff_ffff))
    }

    /// The environment's interpreter; there only after the setup stage.
    pub(crate) fn python(&self, environment: Environment) -> PathBuf {
        self.venv(environment).join("bin/python")
    }

    /// A tool that the main environment holds.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.venv(MAIN).join("bin").join(name));
        command.current_dir(&self.root);
        command
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }
}
