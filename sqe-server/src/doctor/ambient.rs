//! Promise 4: credentials that lie around.

use super::finding::Finding;
use crate::{serve::variables, surroundings};

/// What variables of cloud providers begin with.
const PREFIXES: [&str; 6] = ["AWS_", "AZURE_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "ALIBABA_CLOUD_"];

/// Files of their tools, below a home.
const FILES: [&str; 4] = [
    ".aws/credentials",
    ".aws/config",
    ".config/gcloud/application_default_credentials.json",
    ".azure/accessTokens.json",
];

pub(super) fn look() -> Vec<Finding> {
    let mut names: Vec<String> = variables().map(|(name, _)| name).filter(|name| is_credential(name)).collect();
    names.sort();
    let home = surroundings::home();
    let files: Vec<String> = home
        .iter()
        .flat_map(|home| FILES.iter().map(move |file| home.join(file)))
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    vec![
        finding("variables of cloud providers", &names, "unset them for the server"),
        finding("files of cloud tools", &files, "run the server as a user who has none"),
    ]
}

fn is_credential(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn finding(what: &str, found: &[String], advice: &str) -> Finding {
    if found.is_empty() {
        return Finding::ok(4, what, "there are none");
    }
    let evidence = format!("{} are there and are never read", found.join(", "));
    Finding::warn(4, what, evidence, format!("{advice}: what is not there cannot be taken"))
}
