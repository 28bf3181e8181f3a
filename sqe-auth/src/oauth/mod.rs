//! Questions to an issuer that it answers only to clients of its own.

mod client_credentials;
mod endpoint;
mod exchange;
mod introspection;
mod token;

pub use client_credentials::{ClientCredentials, ClientCredentialsBuilder, ClientIds};
pub use endpoint::Endpoint;
pub use exchange::{ExchangeSettings, ExchangeTarget, OAuthExchange, OAuthExchangeBuilder};
pub use introspection::{Introspection, IntrospectionBuilder, IntrospectionSettings, OpaqueTokens};
