//! From arguments, variables and a profile to where to connect and as whom. An argument wins over a variable, and a
//! variable over a profile; `--profile` is an argument.

use std::path::{Path, PathBuf};

use sqe_core::Secret;
use sqe_flight::client::ConnectOptions;

use super::{LOCAL, Profile, Profiles};
use crate::{
    cli::ConnectArguments,
    exit::UsageError,
    login::{Login, told},
    surroundings::{refuse_shared, variable},
};

/// Where to connect and as whom.
#[derive(Debug)]
pub(crate) struct Target {
    /// The address, as it was given.
    pub(crate) uri: String,
    /// The name of the profile, if there is one.
    pub(crate) name: Option<String>,
    /// The profile; an empty one if there is none.
    pub(crate) profile: Profile,
    /// What there is to show beside a certificate.
    pub(crate) credential: Credential,
    /// Whom to act as; `None`: oneself.
    act_as: Option<String>,
    /// Where names without a catalog and a schema point; `None`: where the server says.
    pub(crate) catalog: Option<String>,
    pub(crate) schema: Option<String>,
    certificates: Certificates,
}

#[derive(Debug)]
struct Certificates {
    ca_file: Option<PathBuf>,
    /// Certificate and key.
    own: Option<(PathBuf, PathBuf)>,
}

/// What a person shows to the server.
#[derive(Debug)]
pub(crate) enum Credential {
    /// A file that holds a token; read again whenever a token is needed.
    File(PathBuf),
    /// A token that the environment holds.
    Variable(Secret),
    /// A login at the provider of the profile.
    Login(Login),
    /// Nothing: a certificate has to do.
    None,
}

impl Target {
    /// Puts together what was said in different places.
    ///
    /// # Errors
    /// The profiles cannot be used, there is none of this name, something of it is incomplete, or nothing tells who asks.
    pub(crate) fn resolve(arguments: &ConnectArguments) -> anyhow::Result<Self> {
        let named = arguments.profile.clone().or_else(|| variable("SQE_PROFILE"));
        let (name, profile) = match Profiles::load()?.choose(named.as_deref())? {
            Some((name, profile)) => (Some(name), profile),
            None => (None, Profile::default()),
        };
        // Who names a profile wants its server, whatever a variable says.
        let surrounding = variable("SQE_URI").filter(|_| arguments.profile.is_none());
        let given = arguments.uri.clone().or(surrounding);
        let own_uri = profile.uri.clone().unwrap_or_else(|| LOCAL.to_owned());
        let uri = given.unwrap_or_else(|| own_uri.clone());

        let cert_file = arguments.client_cert_file.clone().or_else(|| profile.client_cert_file.clone());
        let key_file = arguments.client_key_file.clone().or_else(|| profile.client_key_file.clone());
        let own = match (cert_file, key_file) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let problem = "a client certificate needs its key: give client_cert_file and client_key_file";
                return Err(UsageError(problem.to_owned()).into());
            }
        };
        let ca_file = arguments.ca_file.clone().or_else(|| profile.ca_file.clone());
        let credential = if let Some(path) = &arguments.token_file {
            Credential::File(path.clone())
        } else if let Some(token) = variable("SQE_TOKEN") {
            Credential::Variable(Secret::new(token))
        } else if let Some(path) = &profile.token_file {
            Credential::File(path.clone())
        } else if let (Some(name), Some(config)) = (&name, &profile.login) {
            // A token of one server is nothing for another, whatever a variable or a slip of the finger says.
            if uri != own_uri {
                return Err(UsageError(format!(
                    "the login of profile {name} is for {own_uri} alone; give --token-file or SQE_TOKEN for {uri}"
                ))
                .into());
            }
            Credential::Login(Login { profile: name.clone(), config: config.clone() })
        } else if own.is_some() {
            Credential::None
        } else {
            let problem = "there is no token: give --token-file, set SQE_TOKEN, or log in with a profile";
            return Err(UsageError(problem.to_owned()).into());
        };
        Ok(Self {
            uri,
            credential,
            act_as: arguments.act_as.clone().or_else(|| profile.act_as.clone()),
            catalog: arguments.catalog.clone().or_else(|| profile.catalog.clone()),
            schema: arguments.schema.clone().or_else(|| profile.schema.clone()),
            certificates: Certificates { ca_file, own },
            name,
            profile,
        })
    }

    /// What a connection needs, with a token that is good now.
    ///
    /// # Errors
    /// A file cannot be read, or there is no token any more.
    pub(crate) async fn options(&self) -> anyhow::Result<ConnectOptions> {
        let mut options = ConnectOptions::new(&self.uri);
        if let Some(token) = self.credential.token().await? {
            options = options.with_token(token);
        }
        if let Some(subject) = &self.act_as {
            options = options.acting_as(subject);
        }
        if let Some(path) = &self.certificates.ca_file {
            options = options.with_ca_certificate(read(path, "the certificate")?);
        }
        if let Some((certificate, key)) = &self.certificates.own {
            let metadata = std::fs::metadata(key).map_err(|error| unreadable(key, "the key", &error))?;
            refuse_shared(key, &metadata).map_err(|error| UsageError(error.to_string()))?;
            let pem = String::from_utf8(read(key, "the key")?)
                .map_err(|_| UsageError(format!("the key {} is not PEM", key.display())))?;
            options = options.with_client_certificate(read(certificate, "the certificate")?, Secret::new(pem));
        }
        Ok(options)
    }
}

impl Credential {
    /// A token that is good now.
    ///
    /// # Errors
    /// There is none, or it cannot be read; a login that ended, or whose provider does not answer.
    async fn token(&self) -> anyhow::Result<Option<Secret>> {
        let text = match self {
            Self::File(path) => {
                Secret::new(std::fs::read_to_string(path).map_err(|error| unreadable(path, "the token file", &error))?)
            }
            Self::Variable(token) => token.clone(),
            Self::Login(login) => return Ok(Some(login.token().await.map_err(told)?)),
            Self::None => return Ok(None),
        };
        match text.expose().trim() {
            "" => Err(UsageError("the token is empty".to_owned()).into()),
            token => Ok(Some(Secret::new(token))),
        }
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, UsageError> {
    std::fs::read(path).map_err(|error| unreadable(path, what, &error))
}

fn unreadable(path: &Path, what: &str, error: &std::io::Error) -> UsageError {
    UsageError(format!("cannot read {what} {}: {error}", path.display()))
}
