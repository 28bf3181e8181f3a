//! `sqe doctor`: the seven promises, each with evidence from one installation. It changes nothing and tells no secrets.

mod ambient;
mod audit;
mod finding;
mod identity;
mod network;
mod policy;
mod settings;

use anyhow::Result;

use self::finding::State;
use crate::{
    cli::{DoctorArguments, Shown},
    config,
    exit::Told,
    serve::variables,
    wire,
};

/// Looks at everything and says what it found.
///
/// # Errors
/// The configuration cannot be used, or something fails that is promised.
pub(crate) async fn run(arguments: &DoctorArguments) -> Result<()> {
    let config = config::load(&arguments.config, variables())?;
    wire::cryptography()?;
    let mut findings = identity::look(&config).await;
    findings.extend(policy::look(&config).await);
    findings.extend(ambient::look());
    findings.extend(audit::look(&config));
    findings.extend(network::look(&config));
    findings.extend(settings::look(&config, &arguments.config));
    findings.sort_by_key(|finding| finding.promise);
    match arguments.output {
        Shown::Table => print!("{}", finding::table(&findings)),
        Shown::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
    }
    match findings.iter().filter(|finding| finding.state == State::Fail).count() {
        0 => Ok(()),
        // It has been told; the code is that of whatever is not as it should be.
        failures => Err(Told::of(&anyhow::anyhow!("{failures} findings fail")).into()),
    }
}

/// An error for operators, from the outside in.
fn words(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
