//! `sqe login`, `logout`, `whoami` and `token`: a person's login at an OpenID provider, and tokens that are good now.
//!
//! This is small code of our own on the HTTP client that the workspace has. What is hard about a login (the loopback, the
//! checks of the answer, device codes, the lock around a refresh) a library for OpenID leaves to its caller, and what it
//! would bring is a second set of keys and signatures beside the one that verifies tokens here.

mod browser;
mod device;
mod http;
mod id_token;
mod loopback;
mod provider;
mod store;

use std::io::IsTerminal;

use anyhow::{Context, Result};
use sqe_core::{Error, ErrorKind, Secret};

use self::{
    provider::{Provider, Tokens},
    store::{Kept, Store},
};
use crate::{
    cli::{LoginArguments, ProfileArguments, TokenArguments, WhoamiArguments},
    exit::UsageError,
    profile::{LoginConfig, Profiles, Target},
    sql,
    surroundings::variable,
};

/// A token that ends so soon, in seconds, is not used any more: it has a way to go.
const MARGIN: i64 = 30;

/// `sqe login`
///
/// # Errors
/// The profile names no provider, the provider does not answer or refuses, or the login cannot be kept.
pub(crate) async fn login(arguments: LoginArguments) -> Result<()> {
    let (name, config) = chosen(arguments.profile.as_deref())?;
    let store = Store::of(&name, &config).map_err(told)?;
    let (provider, tokens) = enter(config, &arguments).await.map_err(told)?;
    let kept = Kept::new(&provider.config, tokens, None);
    let _changing = lock(&store).await?;
    let place = store.save(&kept).await?;
    let who = kept.subject.as_deref().map(sql::write::visible::visible).unwrap_or("somebody".into());
    eprintln!("logged in as {who}; the login is kept in {place}");
    if kept.refresh.is_none() {
        eprintln!("the provider gave no refresh token: the login ends with its first access token");
    }
    Ok(())
}

async fn enter(config: LoginConfig, arguments: &LoginArguments) -> sqe_core::Result<(Provider, Tokens)> {
    let provider = Provider::discover(config).await?;
    let tokens = match arguments.device {
        true => device::login(&provider).await?,
        false => browser::login(&provider, !arguments.no_browser).await?,
    };
    Ok((provider, tokens))
}

/// What is wrong with a provider's address or its abilities is for whoever wrote the profile.
pub(crate) fn told(error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Unsupported => UsageError(error.message().to_owned()).into(),
        _ => error.into(),
    }
}

/// `sqe logout`. The login is forgotten here whatever the provider says.
///
/// # Errors
/// It is still here, or the provider does not say that it took the refresh token back.
pub(crate) async fn logout(arguments: ProfileArguments) -> Result<()> {
    let (name, config) = chosen(arguments.profile.as_deref())?;
    let store = Store::of(&name, &config)?;
    let _changing = lock(&store).await?;
    // One that cannot be read can still be forgotten.
    let kept = store.load().await.ok().flatten();
    store.delete().await?;
    let Some(refresh) = kept.filter(|kept| kept.fits(&config)).and_then(|kept| kept.refresh) else {
        eprintln!("logged out");
        return Ok(());
    };
    let revoked = match Provider::discover(config).await {
        Ok(provider) => provider.revoke(&refresh).await,
        Err(error) => Err(error),
    };
    match revoked.map_err(told).context("logged out here, but the provider was not told")? {
        true => eprintln!("logged out, and the provider took the login back"),
        false => eprintln!("logged out; the provider takes no logins back, so this one ends by itself"),
    }
    Ok(())
}

/// `sqe token`
///
/// # Errors
/// Nobody is logged in, or it would be shown on a screen.
pub(crate) async fn token(arguments: TokenArguments) -> Result<()> {
    if std::io::stdout().is_terminal() && !arguments.force {
        let problem = "whoever sees the token can be you; send it to a program, or give --force";
        return Err(UsageError(problem.to_owned()).into());
    }
    let (name, config) = chosen(arguments.profile.as_deref())?;
    println!("{}", Login { profile: name, config }.token().await.map_err(told)?.expose());
    Ok(())
}

/// `sqe whoami`: what the server says.
///
/// # Errors
/// There is no server, or it knows nobody.
pub(crate) async fn whoami(arguments: WhoamiArguments) -> Result<()> {
    let target = Target::resolve(&arguments.connect)?;
    sql::whoami(target, arguments.output).await
}

/// A profile's login.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) profile: String,
    pub(crate) config: LoginConfig,
}

impl Login {
    /// An access token that is good now, by a refresh if it has to be.
    ///
    /// # Errors
    /// `Unauthenticated` if nobody is logged in any more; `Unavailable` if the provider has to be asked and does not
    /// answer.
    pub(crate) async fn token(&self) -> sqe_core::Result<Secret> {
        let store = Store::of(&self.profile, &self.config)?;
        if let Some(token) = self.kept(&store).await?.and_then(good) {
            return Ok(token);
        }
        // Refresh tokens are good once: two processes that use the same one look like a thief and its victim, and the
        // provider ends the login of both.
        let _changing = lock(&store).await?;
        let kept = self.kept(&store).await?.ok_or_else(|| self.nobody("nobody is logged in"))?;
        if let Some(token) = good(kept.clone()) {
            return Ok(token);
        }
        let Some(refresh) = kept.refresh.clone() else { return Err(self.nobody("the login has ended")) };
        let provider = Provider::discover(self.config.clone()).await?;
        let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        let tokens = match provider.try_redeem(&grant).await? {
            Ok(tokens) => tokens,
            Err(refusal) if refusal.error == "invalid_grant" => {
                store.delete().await?;
                return Err(self.nobody("the provider has ended the login"));
            }
            Err(refusal) => {
                return Err(Error::unauthenticated(format!("the provider refuses to go on ({})", refusal.words())));
            }
        };
        // OpenID Connect Core 1.0, section 12.2: it stays the same person.
        if tokens.subject.is_some() && tokens.subject != kept.subject {
            return Err(Error::unauthenticated("the provider answers with somebody else's token; nothing was kept"));
        }
        let renewed = Kept::new(&self.config, tokens, Some(kept));
        store.save(&renewed).await?;
        Ok(renewed.access)
    }

    async fn kept(&self, store: &Store) -> sqe_core::Result<Option<Kept>> {
        Ok(store.load().await?.filter(|kept| kept.fits(&self.config)))
    }

    fn nobody(&self, what: &str) -> Error {
        Error::unauthenticated(format!("{what}; run: sqe login --profile {}", self.profile))
    }

    /// When the access token that is kept ends, in seconds since 1970.
    pub(crate) async fn ends_at(&self) -> Option<i64> {
        let store = Store::of(&self.profile, &self.config).ok()?;
        self.kept(&store).await.ok()??.expires_at
    }
}

/// The access token, if it will do for a while.
fn good(kept: Kept) -> Option<Secret> {
    let now = chrono::Utc::now().timestamp();
    kept.expires_at.is_none_or(|end| end.saturating_sub(now) > MARGIN).then_some(kept.access)
}

/// Keeps other processes from changing the login until what comes back is dropped.
async fn lock(store: &Store) -> sqe_core::Result<std::fs::File> {
    let file = store.lock_file()?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    let problem = "the login cannot be locked against other processes";
    locked
        .map_err(|error| Error::internal(problem).with_source(error))?
        .map_err(|error| Error::unavailable(problem).with_source(error))
}

/// The profile that is meant, and its provider.
fn chosen(named: Option<&str>) -> Result<(String, LoginConfig)> {
    let named = named.map(str::to_owned).or_else(|| variable("SQE_PROFILE"));
    let chosen = Profiles::load()?.choose(named.as_deref())?;
    let (name, profile) = chosen.ok_or_else(|| {
        UsageError("no profile is named; give --profile, or default_profile in ~/.config/sqe/config.toml".to_owned())
    })?;
    let config = profile.login.ok_or_else(|| {
        UsageError(format!(
            "the profile {name} names no provider; add [profiles.{name}.login] with issuer and client_id"
        ))
    })?;
    Ok((name, config))
}
