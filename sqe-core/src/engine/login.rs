//! How often logging in may fail, so that guessing and checking stay cheap for everybody but the one who guesses.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;

use super::builder::random_key;
use crate::{Credentials, Error, ErrorKind, Identity, Result, Secret, audit::ClientInfo};

/// How often logging in may fail before it is refused for a while, without asking anybody whether the credentials are good.
///
/// - A failure is charged to the **address** it came from: an IPv4 address, or the first 64 bits of an IPv6 one, which are
///   one customer's. Nobody at another address notices.
/// - A failure with a password is charged to the **user name**, too: passwords can be guessed from many addresses at once.
///   Tokens and keys cannot, so nothing is charged to whom they claim to be of.
/// - What is tried again with the same **credentials** is charged to them and no longer to the address: a program that goes
///   on with an old token locks out itself and not its neighbours.
/// - Credentials that were good within the last hour are asked about in any case. They are no guesses.
///
/// What is refused is `ResourceExhausted` and says for how long. That tells nothing about any credentials: it depends on
/// what was tried before alone.
///
/// Where all clients come from one address, because a proxy stands in front, its failures are everybody's: set
/// [`per_address`](Self::per_address) to `None` and let the proxy count.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoginLimits {
    /// Failures from one address. `None`: any number.
    pub per_address: Option<FailureRate>,
    /// Failures of one user name with passwords. It should be more than what an address may, so that one address alone
    /// does not use it up. `None`: any number.
    pub per_name: Option<FailureRate>,
    /// Failures with the same credentials. `None`: any number.
    pub per_credential: Option<FailureRate>,
    /// About how many addresses, names and credentials are remembered, each. Those that were not seen for longest are
    /// forgotten first.
    pub remembered: usize,
}

/// So many failures at once, and from then on one each so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRate {
    /// How many there may be at once, at least one.
    pub at_once: u32,
    /// How long it takes until there may be one more.
    pub one_more_after: Duration,
}

impl Default for LoginLimits {
    /// 30 at once and one more every two seconds from one address, and with the same credentials; 300 and one more every
    /// two seconds of one user name; 16,384 of each remembered.
    fn default() -> Self {
        let rate = |at_once| Some(FailureRate { at_once, one_more_after: Duration::from_secs(2) });
        Self { per_address: rate(30), per_name: rate(300), per_credential: rate(30), remembered: 16_384 }
    }
}

/// The longest that anybody is refused, however often they failed at once.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// How long credentials that were good are no guesses.
const GOOD_FOR: Duration = Duration::from_secs(60 * 60);

/// Counts failures.
pub(super) struct Logins {
    limits: LoginLimits,
    key: Secret,
    state: Mutex<State>,
}

struct State {
    /// When nothing is held against an address any more, and so on.
    addresses: Recent<Origin, Instant>,
    names: Recent<Digest, Instant>,
    failed: Recent<Digest, Instant>,
    /// Until when credentials that were good are no guesses.
    good: Recent<Digest, Instant>,
}

/// A keyed digest: what is remembered is of no use to anybody.
type Digest = [u8; 32];

/// Where somebody comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    V4([u8; 4]),
    /// The network of an IPv6 address.
    V6([u8; 8]),
    /// Something else that a front end calls an address.
    Other(Digest),
}

/// What a failure would be charged to.
#[derive(Debug, Clone, Copy)]
struct Charged {
    origin: Option<Origin>,
    name: Option<Digest>,
    credential: Digest,
}

/// One attempt that was let through. If it is dropped before it [`ended`](Self::ended), because the client went away, it
/// failed: otherwise whoever goes away in time could try for free.
#[must_use]
pub(super) struct Attempt<'a> {
    logins: &'a Logins,
    charged: Option<Charged>,
}

impl Logins {
    pub(super) fn new(limits: LoginLimits) -> Self {
        let (key, room) = (random_key(), limits.remembered);
        let state = State {
            addresses: Recent::new(room),
            names: Recent::new(room),
            failed: Recent::new(room),
            good: Recent::new(room),
        };
        Self { limits, key, state: Mutex::new(state) }
    }

    /// Lets an attempt through, or not.
    ///
    /// # Errors
    /// `ResourceExhausted` if too many failed before.
    pub(super) fn begin(&self, credentials: &Credentials, client: &ClientInfo) -> Result<Attempt<'_>> {
        let charged = self.charged(credentials, client);
        self.check(&charged, Instant::now())?;
        Ok(Attempt { logins: self, charged: Some(charged) })
    }

    fn check(&self, charged: &Charged, now: Instant) -> Result<()> {
        let LoginLimits { per_address, per_name, per_credential, .. } = &self.limits;
        let state = self.state.lock();
        if state.good.get(&charged.credential).is_some_and(|until| until > now) {
            return Ok(());
        }
        if let Some(until) = state.failed.get(&charged.credential) {
            return check(per_credential, until, now, "with these credentials");
        }
        if let Some(until) = charged.origin.and_then(|origin| state.addresses.get(&origin)) {
            check(per_address, until, now, "from your address")?;
        }
        match charged.name.and_then(|name| state.names.get(&name)) {
            Some(until) => check(per_name, until, now, "of this user name"),
            None => Ok(()),
        }
    }

    fn succeeded(&self, charged: &Charged, now: Instant) {
        let mut state = self.state.lock();
        state.failed.remove(&charged.credential);
        state.good.insert(charged.credential, now + GOOD_FOR);
    }

    fn failed(&self, charged: &Charged, now: Instant) {
        let LoginLimits { per_address, per_name, per_credential, .. } = &self.limits;
        let mut state = self.state.lock();
        state.good.remove(&charged.credential);
        let again = state.failed.get(&charged.credential);
        charge(&mut state.failed, charged.credential, per_credential.as_ref(), now);
        if again.is_some() {
            return;
        }
        if let Some(name) = charged.name {
            charge(&mut state.names, name, per_name.as_ref(), now);
        }
        if let Some(origin) = charged.origin
            && charge(&mut state.addresses, origin, per_address.as_ref(), now)
        {
            tracing::warn!(address = %origin, "too many log-ins from here failed; more are refused for a while");
        }
    }

    fn charged(&self, credentials: &Credentials, client: &ClientInfo) -> Charged {
        let origin = client.address.as_ref().map(|address| self.origin(address));
        // Whoever acts as somebody else shows their own credentials.
        let mut own = credentials;
        while let Credentials::ActingAs { actor, .. } = own {
            own = actor;
        }
        let (name, credential) = match own {
            Credentials::Bearer(token) => (None, self.digest("bearer", &[token.expose().as_bytes()])),
            Credentials::Basic { username, password } => {
                let parts = [username.as_bytes(), password.expose().as_bytes()];
                (Some(self.digest("name", &[username.as_bytes()])), self.digest("basic", &parts))
            }
            Credentials::ClientCertificate(chain) => {
                let own = chain.certificates().next().unwrap_or_default();
                (None, self.digest("certificate", &[own]))
            }
            Credentials::ActingAs { .. } => (None, self.digest("nobody", &[])),
        };
        Charged { origin, name, credential }
    }

    fn origin(&self, address: &str) -> Origin {
        let socket = address.parse::<SocketAddr>().map(|socket| socket.ip());
        match socket.or_else(|_| address.parse::<IpAddr>()).map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Origin::V4(ip.octets()),
            Ok(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Origin::V6([a, b, c, d, e, f, g, h])
            }
            Err(_) => Origin::Other(self.digest("address", &[address.as_bytes()])),
        }
    }

    fn digest(&self, domain: &str, parts: &[&[u8]]) -> Digest {
        // Every length of key will do; without a key there would be one value for all, and so one limit.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) else { return [0; 32] };
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Attempt<'_> {
    /// Notes how it ended.
    pub(super) fn ended(mut self, answer: &Result<Option<Identity>>) {
        let Some(charged) = self.charged.take() else { return };
        match answer {
            Ok(Some(_)) => self.logins.succeeded(&charged, Instant::now()),
            Ok(None) => self.logins.failed(&charged, Instant::now()),
            Err(error) if error.kind() == ErrorKind::Unauthenticated => self.logins.failed(&charged, Instant::now()),
            // Nobody could tell, or somebody who is known asked for what they may not.
            Err(_) => {}
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(charged) = self.charged.take() {
            self.logins.failed(&charged, Instant::now());
        }
    }
}

/// Whether one more may fail of something against which failures are held until then. Each failure is held for as long as
/// it takes until there may be one more (the generic cell rate algorithm, ITU-T I.371).
fn check(rate: &Option<FailureRate>, until: Instant, now: Instant, what: &str) -> Result<()> {
    let Some(rate) = rate else { return Ok(()) };
    let wait = until.saturating_duration_since(now).saturating_sub(rate.tolerance());
    if wait.is_zero() {
        return Ok(());
    }
    let seconds = wait.as_secs().saturating_add(1);
    Err(Error::exhausted(format!("too many log-ins {what} failed; try again in {seconds} seconds")))
}

/// Holds one more failure against something. Says whether it is the one with which refusing begins.
fn charge<K: Hash + Eq + Copy>(
    recent: &mut Recent<K, Instant>,
    key: K,
    rate: Option<&FailureRate>,
    now: Instant,
) -> bool {
    let (each, tolerance) = rate.map_or_else(Default::default, |rate| (rate.one_more_after, rate.tolerance()));
    let before = recent.get(&key).map_or(now, |until| until.max(now));
    let after = (before + each).min(now + tolerance + LONGEST);
    recent.insert(key, after);
    rate.is_some() && before <= now + tolerance && after > now + tolerance
}

impl FailureRate {
    /// For how long failures may be held against something before one more is refused.
    fn tolerance(&self) -> Duration {
        self.one_more_after.saturating_mul(self.at_once.saturating_sub(1))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(octets) => IpAddr::from(*octets).fmt(f),
            Self::V6([a, b, c, d, e, g, h, i]) => {
                let network = [*a, *b, *c, *d, *e, *g, *h, *i, 0, 0, 0, 0, 0, 0, 0, 0];
                write!(f, "{}/64", IpAddr::from(network))
            }
            Self::Other(_) => f.write_str("an address that is none"),
        }
    }
}

/// A map that holds what was written last. It has two halves: when the young one is full it becomes the old one, and what
/// was in the old one is forgotten.
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V: Copy> Recent<K, V> {
    fn new(room: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: room.div_ceil(2).max(1) }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests;
