//! Where a login is kept: the desktop's keyring, else a file that its owner alone may read.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqe_core::{Error, Result, Secret};
use zeroize::{Zeroize, Zeroizing};

use super::provider::Tokens;
use crate::{
    profile::{LoginConfig, LoginStore},
    surroundings::{own_folder, refuse_shared, state_folder, variable},
};

/// How long a keyring may take; it may ask its owner for a password.
const PATIENCE: Duration = Duration::from_secs(60);
/// What keyrings file it under.
const SERVICE: &str = "sqe";

/// A login as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) resource: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) access: Secret,
    /// Seconds since 1970.
    pub(super) expires_at: Option<i64>,
    pub(super) refresh: Option<Secret>,
}

/// The same as text. Wiped when it goes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    client_id: String,
    resource: Option<String>,
    subject: Option<String>,
    access_token: String,
    expires_at: Option<i64>,
    refresh_token: Option<String>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl Kept {
    /// What a provider gave. A refresh brings neither a name nor, sometimes, a new refresh token: those of `before` stay.
    pub(super) fn new(config: &LoginConfig, tokens: Tokens, before: Option<Self>) -> Self {
        let (subject, refresh) = before.map(|before| (before.subject, before.refresh)).unwrap_or_default();
        Self {
            issuer: config.issuer.clone(),
            client_id: config.client_id.clone(),
            resource: config.resource.clone(),
            subject: tokens.subject.or(subject),
            access: tokens.access,
            expires_at: tokens.expires_at,
            refresh: tokens.refresh.or(refresh),
        }
    }

    /// Whether it is a login of this kind: who changes the profile logs in again.
    pub(super) fn fits(&self, config: &LoginConfig) -> bool {
        self.issuer == config.issuer && self.client_id == config.client_id && self.resource == config.resource
    }

    fn write(&self) -> Result<Zeroizing<Vec<u8>>> {
        let written = Written {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            resource: self.resource.clone(),
            subject: self.subject.clone(),
            access_token: self.access.expose().to_owned(),
            expires_at: self.expires_at,
            refresh_token: self.refresh.as_ref().map(|token| token.expose().to_owned()),
        };
        // Room for everything at once: a buffer that grows leaves pieces behind.
        let mut text = Zeroizing::new(Vec::with_capacity(64 << 10));
        serde_json::to_writer(&mut *text, &written)
            .map_err(|error| Error::internal("the login cannot be written").with_source(error))?;
        Ok(text)
    }

    fn read(text: &[u8]) -> Result<Self> {
        // The cause may repeat a piece of the text.
        let mut written: Written = serde_json::from_slice(text)
            .map_err(|_| Error::unauthenticated("the kept login cannot be read; log in again"))?;
        Ok(Self {
            issuer: std::mem::take(&mut written.issuer),
            client_id: std::mem::take(&mut written.client_id),
            resource: written.resource.take(),
            subject: written.subject.take(),
            access: Secret::new(std::mem::take(&mut written.access_token)),
            expires_at: written.expires_at,
            refresh: written.refresh_token.take().map(Secret::new),
        })
    }
}

/// The place of one profile's login.
#[derive(Debug, Clone)]
pub(super) struct Store {
    name: String,
    folder: PathBuf,
    /// Whether the keyring is asked first.
    keyring: bool,
    /// Whether a file will do.
    file: bool,
}

impl Store {
    /// The place that the profile names, or the keyring if there is one.
    ///
    /// # Errors
    /// `InvalidInput` if there is nowhere to keep anything.
    pub(super) fn of(profile: &str, config: &LoginConfig) -> Result<Self> {
        let state = state_folder();
        let state = state.ok_or_else(|| Error::invalid("there is no place to keep a login; set HOME"))?;
        let (keyring, file) = match config.store {
            Some(LoginStore::File) => (false, true),
            Some(LoginStore::Keyring) => (true, false),
            // A session bus is there on many machines that have no keyring.
            None => (keyring_is_near(), true),
        };
        Ok(Self { name: file_name(profile), folder: state.join("login"), keyring, file })
    }

    /// The login, if there is one.
    ///
    /// # Errors
    /// `Unavailable` if the place cannot be read, `InvalidInput` if others could read it, too.
    pub(super) async fn load(&self) -> Result<Option<Kept>> {
        let in_keyring = if self.keyring { self.load_from_keyring().await } else { Ok(None) };
        let text = match in_keyring {
            Ok(Some(text)) => Some(text),
            kept if self.file => match (self.load_file()?, kept) {
                (None, Err(error)) => return Err(error),
                (text, _) => text,
            },
            kept => kept?,
        };
        text.map(|text| Kept::read(&text)).transpose()
    }

    /// Keeps a login in the place of the one before, and says where that is, for people.
    ///
    /// # Errors
    /// `Unavailable` if no place can be written.
    pub(super) async fn save(&self, kept: &Kept) -> Result<String> {
        let text = kept.write()?;
        if self.keyring {
            let text = text.clone();
            match self.in_keyring(move |entry| entry.set_secret(&text)).await {
                Ok(()) => {
                    // There is one login, and this is it.
                    self.delete_file()?;
                    return Ok("the keyring".to_owned());
                }
                Err(error) if !self.file => return Err(error),
                Err(error) => tracing::debug!(error = error.message(), "a file takes the keyring's place"),
            }
        }
        self.save_file(&text).map_err(|error| self.broken("written", error))?;
        Ok(self.path().display().to_string())
    }

    /// Forgets the login, if there is one.
    ///
    /// # Errors
    /// `Unavailable` if it is still there, or may be.
    pub(super) async fn delete(&self) -> Result<()> {
        let was_in_file = self.delete_file()?;
        if !self.keyring {
            return Ok(());
        }
        let deleted = self
            .in_keyring(|entry| match entry.delete_credential() {
                Ok(()) | Err(keyring_core::Error::NoEntry) => Ok(()),
                Err(error) => Err(error),
            })
            .await;
        // A file was there because the keyring was not.
        if was_in_file { Ok(()) } else { deleted }
    }

    async fn load_from_keyring(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.in_keyring(|entry| match entry.get_secret() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(keyring_core::Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Whether there was one.
    fn delete_file(&self) -> Result<bool> {
        match fs::remove_file(self.path()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.broken("removed", error)),
        }
    }

    /// A file that processes lock while they change the login.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be made.
    pub(super) fn lock_file(&self) -> Result<fs::File> {
        let path = self.folder.join(format!("{}.lock", self.name));
        crate::surroundings::own_file(&path).map_err(|error| self.broken("locked", error))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    fn broken(&self, what: &str, error: std::io::Error) -> Error {
        let path = self.path();
        Error::unavailable(format!("the login in {} cannot be {what}: {error}", path.display())).with_source(error)
    }

    fn load_file(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.path();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.broken("read", error)),
        };
        refuse_shared(&path, &metadata).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Some(Zeroizing::new(fs::read(&path).map_err(|error| self.broken("read", error))?)))
    }

    /// It appears whole, and under its name only once it is on the disk.
    fn save_file(&self, text: &[u8]) -> std::io::Result<()> {
        own_folder(&self.folder)?;
        // Made readable by its owner alone.
        let mut draft = tempfile::NamedTempFile::new_in(&self.folder)?;
        draft.write_all(text)?;
        draft.as_file().sync_all()?;
        draft.persist(self.path())?;
        fs::File::open(&self.folder)?.sync_all()
    }

    /// Does something in the keyring, on a thread of its own: its client waits without regard to whose thread it is.
    async fn in_keyring<T: Send + 'static>(
        &self,
        what: impl FnOnce(&keyring_core::Entry) -> keyring_core::Result<T> + Send + 'static,
    ) -> Result<T> {
        let name = self.name.clone();
        let (sender, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let done = open_keyring().and_then(|store| {
                let entry = keyring_core::Entry::new_in_store(&store, SERVICE, &name)?;
                what(&entry)
            });
            // Who does not wait any more does not want it.
            let _late = sender.send(done);
        });
        let hint = "set store = \"file\" in the profile's login to keep it in a file";
        let answer = tokio::task::block_in_place(|| answer.recv_timeout(PATIENCE));
        match answer {
            Ok(done) => {
                done.map_err(|error| Error::unavailable(format!("the keyring does not answer: {error}; {hint}")))
            }
            Err(_) => Err(Error::unavailable(format!("the keyring does not answer; {hint}"))),
        }
    }
}

#[cfg(target_os = "linux")]
fn open_keyring() -> keyring_core::Result<std::sync::Arc<keyring_core::CredentialStore>> {
    let store: std::sync::Arc<keyring_core::CredentialStore> = zbus_secret_service_keyring_store::Store::new()?;
    Ok(store)
}

#[cfg(not(target_os = "linux"))]
fn open_keyring() -> keyring_core::Result<std::sync::Arc<keyring_core::CredentialStore>> {
    Err(keyring_core::Error::NotSupportedByStore("this system's keyring is not known here".to_owned()))
}

/// Whether there is a desktop whose services could keep a secret.
fn keyring_is_near() -> bool {
    let bus = variable("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).join("bus").exists());
    cfg!(target_os = "linux") && (bus || variable("DBUS_SESSION_BUS_ADDRESS").is_some())
}

/// A profile's name as the name of a file: what is not a letter, a digit, `_` or `-` is written as its bytes.
fn file_name(profile: &str) -> String {
    profile
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rstest::rstest;

    use super::*;

    fn store(folder: &Path) -> Store {
        Store { name: "lab".to_owned(), folder: folder.join("login"), keyring: false, file: true }
    }

    fn kept(access: &str) -> Kept {
        Kept {
            issuer: "https://idp.example".to_owned(),
            client_id: "cli".to_owned(),
            resource: None,
            subject: Some("ann".to_owned()),
            access: Secret::new(access),
            expires_at: Some(7),
            refresh: Some(Secret::new("r")),
        }
    }

    #[tokio::test]
    async fn a_login_is_kept_for_its_owner_alone_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert!(store.load().await.unwrap().is_none());
        store.save(&kept("one")).await.unwrap();
        store.save(&kept("two")).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.path()), mode(&store.folder)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1, "a draft was left behind");
        let loaded = store.load().await.unwrap().unwrap();
        assert_eq!((loaded.access, loaded.refresh), (Secret::new("two"), Some(Secret::new("r"))));
        store.delete().await.unwrap();
        store.delete().await.unwrap();
        assert!(store.load().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_login_that_others_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.save(&kept("one")).await.unwrap();
        fs::set_permissions(store.path(), PermissionsExt::from_mode(0o640)).unwrap();
        let error = store.load().await.unwrap_err();
        assert!(error.message().contains("chmod 600"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_login_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.save(&kept("one")).await.unwrap();
        fs::write(store.path(), "{\"access_token\": \"hunter2\"").unwrap();
        let error = store.load().await.unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(!format!("{:?}", kept("hunter2")).contains("hunter2"));
    }

    #[rstest]
    #[case("lab-1_B", "lab-1_B")]
    #[case("../etc", "%2e%2e%2fetc")]
    #[case("ü", "%c3%bc")]
    fn a_profiles_name_is_no_way_out_of_the_folder(#[case] profile: &str, #[case] expected: &str) {
        assert_eq!(file_name(profile), expected);
    }
}
