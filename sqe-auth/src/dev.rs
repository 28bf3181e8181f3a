//! A local issuer for development. Whoever can read its key is everybody.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::rand_core::OsRng,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqe_core::{Error, Result, Secret};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{DEVELOPMENT_ISSUER, JwtVerifier, JwtVerifierBuilder, KeyFamily, KeySet, TokenType};

/// A person or program that a [`DevIssuer`] vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DevPerson {
    /// The subject, `sub`.
    pub subject: String,
    /// A name to read, `name`.
    pub display_name: Option<String>,
    /// The groups, `groups`.
    pub groups: BTreeSet<String>,
    /// The roles, `roles`.
    pub roles: BTreeSet<String>,
}

impl DevPerson {
    /// Somebody without groups and roles.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), display_name: None, groups: BTreeSet::new(), roles: BTreeSet::new() }
    }

    /// Sets a name to read.
    #[must_use]
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Replaces the groups.
    #[must_use]
    pub fn with_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Replaces the roles.
    #[must_use]
    pub fn with_roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }
}

/// **For development only**: issues tokens for whomever it is asked to, with a key that lies on this machine.
///
/// It has an ES256 key (RFC 7518, 3.4) and makes access tokens of RFC 9068 for the audience [`AUDIENCE`](Self::AUDIENCE).
/// All of its kind share the issuer [`ISSUER`](Self::ISSUER) and differ in their keys. A verifier of it says so
/// ([`JwtVerifier::is_development`]), and a production profile refuses it.
///
/// ```
/// use std::time::Duration;
///
/// use sqe_auth::{DevIssuer, DevPerson};
/// use sqe_core::{Credentials, IdentityProvider};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sqe_core::Result<()> {
/// let issuer = DevIssuer::generate();
/// let verifier = issuer.verifier()?;
/// let token = issuer.issue(&DevPerson::new("alice").with_roles(["analyst"]), Duration::from_secs(3600))?;
///
/// let alice = verifier.authenticate(&Credentials::Bearer(token)).await?;
/// assert!(alice.is_some_and(|alice| alice.principal.subject == "alice" && alice.roles.contains("analyst")));
/// assert!(verifier.is_development());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DevIssuer {
    key: SigningKey,
    kid: String,
}

impl DevIssuer {
    /// The `iss` of its tokens.
    pub const ISSUER: &'static str = DEVELOPMENT_ISSUER;
    /// The `aud` of its tokens.
    pub const AUDIENCE: &'static str = "sqe";
    /// The file that [`open`](Self::open) keeps the key in.
    pub const KEY_FILE: &'static str = "development-issuer.pem";

    /// An issuer with a new key.
    #[must_use]
    pub fn generate() -> Self {
        Self::with_key(SigningKey::random(&mut OsRng))
    }

    /// The issuer of a directory: that of its key file [`KEY_FILE`](Self::KEY_FILE), or a new one whose key is written
    /// there with mode 0600. So the tokens of a demo outlive its restart. Two processes that open an empty directory at
    /// once get the same issuer. It blocks on the file system.
    ///
    /// # Errors
    /// `PermissionDenied` if others than the owner can read the key file; `InvalidInput` if it holds no key;
    /// `Unavailable` if the directory does not exist or cannot be written.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(Self::KEY_FILE);
        if let Some(known) = Self::load(&path)? {
            return Ok(known);
        }
        Self::generate().save(&path)?;
        // Somebody else may have been faster: what lies there now is the issuer of this directory.
        Self::load(&path)?.ok_or_else(|| Error::unavailable("the development key was removed while it was written"))
    }

    fn with_key(key: SigningKey) -> Self {
        // The key's thumbprint (RFC 7638) as its id: the same for everybody who computes it, and no choice to make.
        let (x, y) = coordinates(&key);
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        Self { key, kid }
    }

    fn load(path: &Path) -> Result<Option<Self>> {
        let unreadable = |error: io::Error| {
            Error::unavailable(format!("the development key {} cannot be read", path.display())).with_source(error)
        };
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
                let path = path.display();
                return Err(Error::denied(format!(
                    "others can read the development key {path}; delete it, it is no longer a secret"
                )));
            }
        }
        let mut pem = Zeroizing::new(String::new());
        io::Read::read_to_string(&mut file, &mut pem).map_err(unreadable)?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| {
            Error::invalid(format!("{} does not hold a development key; delete it to get a new one", path.display()))
        })?;
        Ok(Some(Self::with_key(key)))
    }

    /// Writes the key where there is none yet. Readers see all of it or nothing.
    fn save(&self, path: &Path) -> Result<()> {
        let pem = self
            .key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| Error::internal("the development key cannot be encoded").with_source(error))?;
        let draft = Draft(path.with_extension(format!("{}.tmp", Uuid::new_v4())));
        let unwritable = |error: io::Error| {
            Error::unavailable(format!("the development key {} cannot be written", path.display())).with_source(error)
        };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft.0).map_err(unwritable)?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)?;
        // A link, unlike a rename, does not replace the key of somebody who was faster.
        match fs::hard_link(&draft.0, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unwritable(error)),
            _ => Ok(()),
        }
    }

    /// A token that says it is `person`, for so long. Each has a `jti` of its own.
    ///
    /// # Errors
    /// `InvalidInput` if the subject is empty or the lifetime ends after the year 9999.
    pub fn issue(&self, person: &DevPerson, lifetime: Duration) -> Result<Secret> {
        if person.subject.is_empty() {
            return Err(Error::invalid("a development token needs a subject"));
        }
        let now = Utc::now().timestamp();
        let exp = i64::try_from(lifetime.as_secs()).ok().and_then(|seconds| now.checked_add(seconds));
        let exp = exp.filter(|exp| *exp <= 253_402_300_799).ok_or_else(|| {
            Error::invalid("a development token cannot outlive the year 9999; ask for a shorter lifetime")
        })?;
        let mut claims = json!({
            "iss": Self::ISSUER,
            "aud": Self::AUDIENCE,
            "sub": person.subject,
            "client_id": "development",
            "iat": now,
            "exp": exp,
            "jti": Uuid::new_v4().to_string(),
            "groups": person.groups,
            "roles": person.roles,
        });
        if let (Some(name), Some(claims)) = (&person.display_name, claims.as_object_mut()) {
            claims.insert("name".into(), Value::String(name.clone()));
        }
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": self.kid});
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature: Signature = self
            .key
            .try_sign(signed.as_bytes())
            .map_err(|error| Error::internal("a development token cannot be signed").with_source(error))?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))))
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> String {
        let (x, y) = coordinates(&self.key);
        let key = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": x, "y": y});
        json!({ "keys": [key] }).to_string()
    }

    /// A verifier of its tokens, to be configured further.
    ///
    /// # Errors
    /// `Internal`: a defect.
    pub fn verifier_builder(&self) -> Result<JwtVerifierBuilder> {
        Ok(JwtVerifier::builder(Self::ISSUER)
            .audience(Self::AUDIENCE)
            .family(KeyFamily::Ec)
            .types([TokenType::AccessToken])
            .key_set(KeySet::from_jwks(&self.jwks())?))
    }

    /// A verifier of its tokens.
    ///
    /// # Errors
    /// `Internal` if this process cannot verify signatures, see [`self_test`](crate::self_test).
    pub fn verifier(&self) -> Result<JwtVerifier> {
        self.verifier_builder()?.build()
    }
}

impl fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A file that is removed when it is no longer needed, or when writing it failed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The public key's coordinates in base64url (RFC 7518, 6.2.1).
fn coordinates(key: &SigningKey) -> (String, String) {
    let point = key.verifying_key().to_encoded_point(false);
    let encode = |coordinate: Option<&p256::FieldBytes>| coordinate.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    (encode(point.x()).unwrap_or_default(), encode(point.y()).unwrap_or_default())
}
