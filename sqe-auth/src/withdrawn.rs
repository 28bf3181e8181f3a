//! Whose right a change took away.

use std::fmt;

use sqe_core::Identity;

/// Whose right a change took away, for whoever keeps sessions: they end those that it [`covers`](Self::covers).
///
/// The change is in force before this exists, so nobody comes in again between the two.
#[must_use = "sessions that began before the change go on until they are ended"]
pub struct Withdrawn(Box<dyn Fn(&Identity) -> bool + Send + Sync>);

impl Withdrawn {
    /// The right of those whom `covers` says.
    pub(crate) fn new(covers: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(covers))
    }

    /// Whether the change took this identity's right away.
    #[must_use]
    pub fn covers(&self, identity: &Identity) -> bool {
        (self.0)(identity)
    }
}

impl fmt::Debug for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Withdrawn")
    }
}
