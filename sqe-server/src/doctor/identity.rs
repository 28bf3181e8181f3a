//! Promise 1: who is believed about who somebody is.

use super::{finding::Finding, words};
use crate::{
    config::{Config, IdentityConfig, Profile},
    wire,
};

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, answer) in wire::ask(&config.identity, config.server.profile).await {
        findings.push(match answer {
            Ok(()) => Finding::ok(1, what, "what it vouches with is there and can be used"),
            Err(error) => Finding::fail(
                1,
                what,
                words(&error),
                "nobody can log in with what it vouches for: check its file, or the address, the certificate authority (ca_file) and \
                 the network",
            ),
        });
    }
    for (what, answer) in wire::files(config) {
        findings.push(match answer {
            Ok(()) => Finding::ok(1, what, "can be read, and nobody but its owner can change it"),
            Err(error) => Finding::fail(
                1,
                what,
                words(&error),
                "no server starts with it, and one that runs keeps to what it read before: mend the file",
            ),
        });
    }
    for identity in &config.identity {
        if let IdentityConfig::Dev { path } = identity {
            findings.push(Finding::warn(
                1,
                "development issuer",
                format!("whoever can read {} can be anybody", path.display()),
                "configure an [[identity]] of kind oidc or jwt before real people use this",
            ));
        }
    }
    findings.push(match config.server.profile {
        Profile::Production => {
            Finding::ok(1, "profile", "production: anonymous and development identities are refused")
        }
        Profile::Dev => Finding::warn(
            1,
            "profile",
            "dev: what protects nobody is accepted",
            "set server.profile = \"production\" for real people",
        ),
    });
    findings
}
