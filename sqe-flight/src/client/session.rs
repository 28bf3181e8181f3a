//! What a client asks about its session, and sets in it: `SetSessionOptions` and `GetSessionOptions`.

use std::collections::{BTreeMap, HashMap};

use arrow_flight::Action;
use futures::TryStreamExt;
use prost::Message;
use sqe_core::{Error, Result};

use super::{Client, told};
use crate::protocol::{
    self, GetSessionOptionsRequest, GetSessionOptionsResult, OptionErrorValue, OptionValue, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};

impl Client {
    /// The options of the session, by name; values of other kinds than text are written out, those of a list separated
    /// by commas. Servers name at least `catalog` and `schema`; this one also tells whose session it is: `issuer`,
    /// `subject`, `groups`, and `expires_at` (RFC 3339) where the credentials end by themselves.
    ///
    /// # Errors
    /// Any; `Unsupported` if the server has no session options.
    pub async fn session_options(&self) -> Result<BTreeMap<String, String>> {
        let body = GetSessionOptionsRequest {}.encode_to_vec();
        let answer: GetSessionOptionsResult = self.act(protocol::GET_SESSION_OPTIONS, body).await?;
        let text = |value: OptionValue| match value {
            OptionValue::String(value) => value,
            OptionValue::Bool(value) => value.to_string(),
            OptionValue::Int64(value) => value.to_string(),
            OptionValue::Double(value) => value.to_string(),
            OptionValue::StringList(list) => list.values.join(","),
        };
        let set = |(name, value): (String, SessionOptionValue)| Some((name, text(value.option_value?)));
        Ok(answer.session_options.into_iter().filter_map(set).collect())
    }

    /// Sets where names without a catalog or a schema point; `None` leaves it as it is. It holds for the session, so
    /// [`login`](Self::login) first: other connections may share the session of a mere token.
    ///
    /// # Errors
    /// Any; `InvalidInput` if the server refuses the value.
    pub async fn set_defaults(&self, catalog: Option<&str>, schema: Option<&str>) -> Result<()> {
        let option = |value: &str| SessionOptionValue { option_value: Some(OptionValue::String(value.to_owned())) };
        let session_options: HashMap<String, SessionOptionValue> = [("catalog", catalog), ("schema", schema)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), option(value?))))
            .collect();
        if session_options.is_empty() {
            return Ok(());
        }
        let body = SetSessionOptionsRequest { session_options }.encode_to_vec();
        let answer: SetSessionOptionsResult = self.act(protocol::SET_SESSION_OPTIONS, body).await?;
        match answer.errors.iter().next() {
            None => Ok(()),
            Some((name, error)) => Err(match error.value() {
                OptionErrorValue::InvalidName => Error::unsupported(format!("the server has no session option {name}")),
                _ => Error::invalid(format!("the server refuses this value of {name}")),
            }),
        }
    }

    /// Does an action and reads its first answer.
    pub(super) async fn act<M: Message + Default>(&self, name: &str, body: Vec<u8>) -> Result<M> {
        let request = self.request(Action::new(name, body));
        let answers = self.inner.clone().do_action(request).await.map_err(told)?.into_inner();
        let answers: Vec<_> = answers.try_collect().await.map_err(told)?;
        let first = answers.first().ok_or_else(|| Error::internal(format!("the server answered nothing to {name}")))?;
        M::decode(&*first.body)
            .map_err(|error| Error::internal("the server's answer could not be read").with_source(error))
    }
}
