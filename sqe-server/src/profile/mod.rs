//! `~/.config/sqe/config.toml`: the servers that a person talks to, by name. It holds no secret.

mod target;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    cli::Format,
    config::{ConfigError, explain, nearest},
    surroundings,
};

pub(crate) use target::{Credential, Target};

/// The address of a profile that names none: a server on this machine.
pub(crate) const LOCAL: &str = "grpc://127.0.0.1:50051";

/// Keys that somebody might put a secret under.
const SECRETS: [&str; 6] = ["token", "access_token", "refresh_token", "password", "client_secret", "secret"];

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The profile of whoever names none.
    default_profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// `[profiles.NAME]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The server.
    pub(crate) uri: Option<String>,
    /// The authority of the server's certificate, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// What this person or machine shows to the server, PEM.
    pub(crate) client_cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) client_key_file: Option<PathBuf>,
    /// A file that holds a token.
    pub(crate) token_file: Option<PathBuf>,
    /// Whom to act as.
    pub(crate) act_as: Option<String>,
    /// Where names without a catalog point.
    pub(crate) catalog: Option<String>,
    /// Where names without a schema point.
    pub(crate) schema: Option<String>,
    /// How answers look.
    pub(crate) format: Option<Format>,
    /// Whether the prompt keeps what was typed. Default: yes.
    pub(crate) history: Option<bool>,
    /// Whether what does not fit the screen goes through a pager. Default: yes.
    pub(crate) pager: Option<bool>,
    /// How to log in.
    pub(crate) login: Option<LoginConfig>,
}

/// `[profiles.NAME.login]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginConfig {
    /// The OpenID provider, as its `iss` is written.
    pub(crate) issuer: String,
    /// This program's name there: a public client.
    pub(crate) client_id: String,
    /// What is asked for. `openid` is always among it.
    #[serde(default = "scopes")]
    pub(crate) scopes: Vec<String>,
    /// The server's name at the provider (RFC 8707), where it needs one to issue tokens for it.
    pub(crate) resource: Option<String>,
    /// The authority of the provider's certificate, PEM. Unset: the public ones.
    pub(crate) ca_file: Option<PathBuf>,
    /// Where the login is kept. Unset: in the desktop's keyring if there is one, else in a file.
    pub(crate) store: Option<LoginStore>,
}

/// Where a login is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoginStore {
    /// The desktop's, by the Secret Service.
    Keyring,
    /// `~/.local/state/sqe/login`, readable by its owner only.
    File,
}

/// `offline_access` brings the refresh token (OpenID Connect Core 1.0, section 11).
fn scopes() -> Vec<String> {
    ["openid", "offline_access"].map(str::to_owned).to_vec()
}

impl Profiles {
    /// Reads the person's file; without one there are no profiles.
    ///
    /// # Errors
    /// It cannot be read, is not TOML, has an unknown key, or holds what looks like a secret.
    pub(crate) fn load() -> Result<Self, ConfigError> {
        let Some(path) = surroundings::config_folder().map(|folder| folder.join("config.toml")) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError(format!("cannot read the profiles {}: {error}", path.display()))),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let inside = |problem: String| ConfigError(format!("in the profiles {}: {problem}", path.display()));
        let tree: Table = text.parse().map_err(|error: toml::de::Error| inside(error.to_string()))?;
        if let Some(key) = secret(&tree) {
            return Err(inside(format!(
                "a secret does not belong here: take out {key}; use `sqe login`, token_file or SQE_TOKEN"
            )));
        }
        let mut profiles: Self = tree.try_into().map_err(|error: toml::de::Error| inside(explain(&error)))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for path in profiles.profiles.values_mut().flat_map(Profile::paths) {
            *path = placed(path, folder);
        }
        if let Some(name) = profiles.default_profile.as_ref().filter(|name| !profiles.profiles.contains_key(*name)) {
            return Err(inside(format!("default_profile is {name}, and there is no [profiles.{name}]")));
        }
        Ok(profiles)
    }

    /// The profile of this name, or the default one, with its name. `None`: none is named and there is no default.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn choose(mut self, name: Option<&str>) -> Result<Option<(String, Profile)>, ConfigError> {
        let Some(name) = name.map(str::to_owned).or(self.default_profile) else { return Ok(None) };
        match self.profiles.remove(&name) {
            Some(profile) => Ok(Some((name, profile))),
            None => {
                let hint = nearest(&name, self.profiles.keys().map(String::as_str))
                    .map(|known| format!("; is {known} meant?"))
                    .unwrap_or_default();
                Err(ConfigError(format!("there is no profile {name} in ~/.config/sqe/config.toml{hint}")))
            }
        }
    }
}

impl Profile {
    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = [&mut self.ca_file, &mut self.client_cert_file, &mut self.client_key_file, &mut self.token_file];
        let login = self.login.as_mut().map(|login| &mut login.ca_file);
        own.into_iter().chain(login).filter_map(Option::as_mut)
    }
}

/// `~/` is the person's home; other relative paths are those of the file's folder.
fn placed(path: &Path, folder: &Path) -> PathBuf {
    match (path.strip_prefix("~"), surroundings::home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => folder.join(path),
    }
}

/// A key that is called like a secret, anywhere.
fn secret(tree: &Table) -> Option<String> {
    tree.iter().find_map(|(key, value)| match value {
        Value::Table(inner) => secret(inner),
        _ => SECRETS.contains(&key.to_lowercase().as_str()).then(|| key.clone()),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GOOD: &str = r#"
        default_profile = "lab"
        [profiles.lab]
        uri = "grpc://127.0.0.1:7"
        [profiles.prod]
        uri = "grpc+tls://sqe.example:50051"
        ca_file = "ca.pem"
        client_cert_file = "/keys/me.crt"
        catalog = "lake"
        schema = "sales"
        format = "vertical"
        history = false
        [profiles.prod.login]
        issuer = "https://idp.example"
        client_id = "sqe-cli"
        resource = "urn:sqe"
    "#;

    fn parsed(text: &str) -> Result<Profiles, ConfigError> {
        Profiles::parse(text, Path::new("/people/ann/.config/sqe/config.toml"))
    }

    #[test]
    fn a_profile_is_found_by_name_and_the_default_one_without() {
        let (name, prod) = parsed(GOOD).unwrap().choose(Some("prod")).unwrap().unwrap();
        assert_eq!((name.as_str(), prod.format, prod.history), ("prod", Some(Format::Vertical), Some(false)));
        assert_eq!(prod.ca_file.unwrap(), Path::new("/people/ann/.config/sqe/ca.pem"));
        assert_eq!(prod.client_cert_file.unwrap(), Path::new("/keys/me.crt"));
        let login = prod.login.unwrap();
        assert_eq!((login.issuer.as_str(), login.scopes.len()), ("https://idp.example", 2));
        assert_eq!(parsed(GOOD).unwrap().choose(None).unwrap().unwrap().0, "lab");
        assert!(parsed("").unwrap().choose(None).unwrap().is_none());
    }

    #[rstest]
    #[case("uri =", "urii =", "is `uri` meant?")]
    #[case("client_id =", "clientid =", "is `client_id` meant?")]
    #[case("format = \"vertical\"", "format = \"verticle\"", "is `vertical` meant?")]
    #[case("default_profile = \"lab\"", "default_profile = \"lub\"", "no [profiles.lub]")]
    #[case("default_profile", "default_profil", "is `default_profile` meant?")]
    fn unknown_words_are_refused_with_the_nearest_known_one(#[case] from: &str, #[case] to: &str, #[case] said: &str) {
        let ConfigError(problem) = parsed(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(problem.contains(said) && problem.contains("config.toml"), "{problem}");
    }

    #[rstest]
    #[case("client_id = \"sqe-cli\"", "client_secret = \"hunter2\"")]
    #[case("catalog = \"lake\"", "token = \"hunter2\"")]
    #[case("catalog = \"lake\"", "Password = \"hunter2\"")]
    fn a_secret_is_refused_and_not_repeated(#[case] from: &str, #[case] to: &str) {
        let ConfigError(problem) = parsed(&GOOD.replace(from, to)).unwrap_err();
        assert!(problem.contains("does not belong here") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn an_unknown_profile_is_refused_with_the_nearest_known_one() {
        let ConfigError(problem) = parsed(GOOD).unwrap().choose(Some("prud")).unwrap_err();
        assert!(problem.contains("is prod meant?"), "{problem}");
    }
}
