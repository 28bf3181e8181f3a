//! Login by another device (RFC 8628): where there is no browser.

use std::time::{Duration, Instant};

use serde::Deserialize;
use sqe_core::{Error, ErrorKind, Result};
use zeroize::Zeroize;

use super::{
    http::Answer,
    provider::{Provider, Tokens},
};
use crate::sql::write::visible::visible;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Section 3.2: the time between two questions where the provider names none; section 3.5: what `slow_down` adds.
const INTERVAL: Duration = Duration::from_secs(5);
/// So often in a row the provider may not answer.
const SILENCES: u32 = 3;

/// Section 3.2.
#[derive(Deserialize)]
struct Authorization {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Drop for Authorization {
    fn drop(&mut self) {
        self.device_code.zeroize();
    }
}

/// Tells the person where to go, and waits until they have been there.
///
/// # Errors
/// `Unauthenticated` if the person declines or takes too long; `Unsupported` if the provider has no such login;
/// `Unavailable`.
pub(super) async fn login(provider: &Provider) -> Result<Tokens> {
    let endpoint = provider.metadata.device_authorization_endpoint.as_deref();
    let endpoint = endpoint
        .ok_or_else(|| Error::unsupported("the provider offers no login by another device; leave out --device"))?;
    let scope = provider.scope();
    let mut fields = vec![("client_id", provider.config.client_id.as_str()), ("scope", scope.as_str())];
    if let Some(resource) = &provider.config.resource {
        fields.push(("resource", resource));
    }
    let authorization: Authorization = match provider.http.form(endpoint, &fields).await? {
        Answer::Granted(authorization) => authorization,
        Answer::Refused(refusal) => {
            return Err(Error::unauthenticated(format!("the provider refuses the login ({})", refusal.words())));
        }
    };
    eprintln!(
        "to log in, go to {} on any device and type the code {}",
        visible(&authorization.verification_uri),
        visible(&authorization.user_code)
    );
    if let Some(uri) = &authorization.verification_uri_complete {
        eprintln!("or go to {}", visible(uri));
    }
    wait(provider, &authorization).await
}

async fn wait(provider: &Provider, authorization: &Authorization) -> Result<Tokens> {
    let end = Instant::now() + Duration::from_secs(authorization.expires_in.min(3600));
    let mut interval = authorization.interval.map_or(INTERVAL, |seconds| Duration::from_secs(seconds.clamp(1, 60)));
    let mut silences = 0;
    let too_late = || Error::unauthenticated("the code has expired; log in again");
    loop {
        tokio::time::sleep(interval).await;
        if Instant::now() >= end {
            return Err(too_late());
        }
        let grant = [("grant_type", GRANT), ("device_code", authorization.device_code.as_str())];
        let refusal = match provider.try_redeem(&grant).await {
            Ok(Ok(tokens)) => return Ok(tokens),
            Ok(Err(refusal)) => refusal,
            // Section 3.5: ask less often while there is no connection.
            Err(error) if error.kind() == ErrorKind::Unavailable && silences < SILENCES => {
                silences += 1;
                interval *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        silences = 0;
        match refusal.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += INTERVAL,
            "access_denied" => return Err(Error::unauthenticated("the login was declined")),
            "expired_token" => return Err(too_late()),
            _ => {
                return Err(Error::unauthenticated(format!("the provider refuses the login ({})", refusal.words())));
            }
        }
    }
}
