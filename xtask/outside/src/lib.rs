//! A way to log in of one's own, for badges at a door, beside those of `sqe-auth`.

// ANCHOR: trait
use async_trait::async_trait;
use sqe_core::{Credentials, Error, Identity, IdentityProvider, Principal, Result, Secret};

/// Whose badge says what.
#[derive(Debug)]
pub struct Badges(pub Vec<(Secret, String)>);

#[async_trait]
impl IdentityProvider for Badges {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(shown) = credentials else { return Ok(None) };
        if !shown.expose().starts_with("badge-") {
            return Ok(None);
        }
        let mut holder = None;
        // All are looked at, and secrets compare in constant time: how long it takes tells nothing.
        for (badge, name) in &self.0 {
            if badge == shown {
                holder = Some(name);
            }
        }
        let name = holder.ok_or_else(|| Error::unauthenticated(sqe_auth::NOT_ACCEPTED))?;
        Ok(Some(Identity::new(Principal::new("urn:example:door", name)).with_groups(["staff"])))
    }
}
// ANCHOR_END: trait

#[cfg(test)]
mod tests {
    use sqe_auth::Chain;
    use sqe_core::conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check};

    use super::*;

    fn bearer(text: &str) -> Credentials {
        Credentials::Bearer(Secret::new(text))
    }

    fn fixture() -> IdentityFixture {
        IdentityFixture::new(bearer("badge-0451"), Principal::new("urn:example:door", "alice"))
            .accepted(bearer("badge-1138"), Principal::new("urn:example:door", "bob"))
            .foreign(bearer("something else"))
            .rejected(FORGED, bearer("badge-0000"))
            .without(EXPIRED)
            .without(WRONG_AUDIENCE)
    }

    fn badges() -> Badges {
        Badges(vec![("badge-0451".into(), "alice".into()), ("badge-1138".into(), "bob".into())])
    }

    #[tokio::test]
    async fn the_provider_passes_the_kit_alone_and_in_a_chain() {
        check(&badges(), &fixture()).await.unwrap();
        check(&Chain::default().then(badges()), &fixture()).await.unwrap();
    }

    #[tokio::test]
    async fn the_kit_finds_a_provider_that_knows_somebody_else() {
        let wrong = fixture().accepted(bearer("badge-0451"), Principal::new("urn:example:door", "mallory"));
        assert!(check(&badges(), &wrong).await.is_err());
    }
}
