//! `sqe config`: what a configuration says, and what configurations may say.

mod effective;
mod reference;

use std::path::PathBuf;

use anyhow::Result;
use schemars::{Schema, schema_for};

use crate::{
    cli::{CheckArguments, Shown},
    config::{self, Config, ConfigError},
    serve::variables,
};

/// Accepts the configuration as `sqe serve` would before it opens anything, and says which files it names cannot be read.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(arguments: &CheckArguments) -> Result<()> {
    let layers = config::layers(&arguments.config, variables())?;
    let settings = effective::settings(&layers)?;
    readable(&settings)?;
    if !arguments.effective {
        println!("{} is good", arguments.config.display());
        return Ok(());
    }
    match arguments.output {
        Shown::Table => print!("{}", effective::table(&settings)),
        Shown::Json => println!("{}", serde_json::to_string_pretty(&settings)?),
    }
    Ok(())
}

/// Files that have to be there: those that keys name that end in `_file`.
fn readable(settings: &[effective::Setting]) -> Result<(), ConfigError> {
    for setting in settings.iter().filter(|setting| setting.key.ends_with("_file")) {
        if let Some(path) = setting.value.as_str().map(PathBuf::from)
            && let Err(error) = std::fs::File::open(&path)
        {
            return Err(ConfigError(format!("{}: cannot read {}: {error}", setting.key, path.display())));
        }
    }
    Ok(())
}

/// Prints the JSON schema (draft 2020-12) of configurations.
pub(crate) fn schema() -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&described())?);
    Ok(())
}

/// Prints what each key means.
pub(crate) fn reference() -> Result<()> {
    print!("{}", reference::markdown(&described()));
    Ok(())
}

fn described() -> Schema {
    schema_for!(Config)
}
