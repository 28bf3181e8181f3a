//! A listener that nobody must ever call: the address that canary credentials point at.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::{Context, Result};

/// Counts the connections made to it. Everything that a cloud library would read credentials from points here.
#[derive(Debug)]
pub struct Trap {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Profile files and tokens.
    files: tempfile::TempDir,
}

impl Trap {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// The machine has no free port, or no room for a few files.
    pub fn set() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let calls = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for caller in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if caller.is_ok() {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let files = tempfile::tempdir()?;
        let profile = format!(
            "[default]\naws_access_key_id = canary-key\naws_secret_access_key = canary-secret\nendpoint_url = http://{address}\n"
        );
        let account = format!(
            r#"{{"type": "service_account", "client_email": "canary", "private_key": "canary", "token_uri": "http://{address}"}}"#
        );
        for (name, text) in [("profile", profile), ("token", "canary-token".to_owned()), ("account", account)] {
            std::fs::write(files.path().join(name), text)?;
        }
        Ok(Self { address, calls, stop, thread: Some(thread), files })
    }

    /// Variables that make every ambient way to credentials lead here: static keys, endpoints, the metadata services of
    /// machines and containers, profile files, web identity, service accounts, proxies.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}", self.address);
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID", "canary-key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "canary-secret".to_owned()),
            ("AWS_SESSION_TOKEN", "canary-token".to_owned()),
            ("AWS_REGION", "canary-1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_PROFILE", "default".to_owned()),
            ("AWS_ROLE_ARN", "arn:aws:iam::0:role/canary".to_owned()),
        ];
        for (name, file) in [
            ("AWS_SHARED_CREDENTIALS_FILE", "profile"),
            ("AWS_CONFIG_FILE", "profile"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "token"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "account"),
            ("AZURE_FEDERATED_TOKEN_FILE", "token"),
        ] {
            variables.push((name, self.files.path().join(file).display().to_string()));
        }
        for name in [
            "AWS_ENDPOINT",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_STS",
            "AWS_METADATA_ENDPOINT",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "GOOGLE_SERVICE_ACCOUNT_URL",
            "AZURE_STORAGE_ENDPOINT",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
        ] {
            variables.push((name, url.clone()));
        }
        variables
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Trap;

    #[test]
    fn a_trap_counts_who_calls_and_nobody_else() {
        let trap = Trap::set().unwrap();
        assert_eq!(trap.calls(), 0);
        std::net::TcpStream::connect(trap.address()).unwrap();
        let started = std::time::Instant::now();
        while trap.calls() == 0 && started.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert_eq!(trap.calls(), 1);
    }
}
