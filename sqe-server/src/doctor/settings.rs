//! Promise 7: the configuration and its secrets are the operator's alone.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::finding::Finding;
use crate::config::{Config, IdentityConfig, PolicyConfig};

pub(super) fn look(config: &Config, file: &Path) -> Vec<Finding> {
    let mut findings = vec![match mode(file) {
        Some(mode) if mode & 0o022 != 0 => Finding::fail(
            7,
            format!("configuration {}", file.display()),
            "others can change it",
            format!("run: chmod go-w {}", file.display()),
        ),
        _ => {
            Finding::ok(7, format!("configuration {}", file.display()), "it is good, and only its owner can change it")
        }
    }];
    findings.extend(secrets(config).into_iter().map(|(key, path)| secret(key, &path)));
    findings
}

/// Files that hold secrets, and the keys that name them.
fn secrets(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut secrets = Vec::new();
    let mut add = |key, path: Option<&PathBuf>| secrets.extend(path.map(|path| (key, path.clone())));
    add("tls.key_file", config.tls.as_ref().map(|tls| &tls.key_file));
    for identity in &config.identity {
        match identity {
            IdentityConfig::Oidc(oidc) => {
                add("identity.introspection.secret_file", oidc.introspection.as_ref().map(|it| &it.secret_file));
            }
            IdentityConfig::ApiTokens(tokens) => add("identity.path", Some(&tokens.path)),
            IdentityConfig::Jwt { .. } | IdentityConfig::Dev { .. } | IdentityConfig::ClientCertificates(_) => {}
        }
    }
    if let PolicyConfig::Cedar { mask_key_file, .. } = &config.policy {
        add("policy.mask_key_file", mask_key_file.as_ref());
    }
    add("audit.otlp.headers_file", config.audit.otlp.as_ref().and_then(|otlp| otlp.headers_file.as_ref()));
    add(
        "telemetry.otlp_headers_file",
        config.telemetry.as_ref().and_then(|telemetry| telemetry.otlp_headers_file.as_ref()),
    );
    secrets
}

fn secret(key: &str, path: &Path) -> Finding {
    let shown = path.display();
    match mode(path) {
        None => {
            Finding::fail(7, key, format!("{shown} cannot be looked at"), "put the file there, for the server's user")
        }
        Some(mode) if mode & 0o006 != 0 => Finding::fail(
            7,
            key,
            format!("everybody on this machine can read {shown}"),
            format!("run: chmod 600 {shown}"),
        ),
        Some(mode) if mode & 0o060 != 0 => Finding::warn(
            7,
            key,
            format!("its group can read {shown}"),
            format!("run: chmod 600 {shown}, unless that is meant"),
        ),
        Some(_) => Finding::ok(7, key, format!("only its owner can read {shown}")),
    }
}

fn mode(path: &Path) -> Option<u32> {
    Some(std::fs::metadata(path).ok()?.permissions().mode())
}
