//! Accesses → decisions, one batch.

use std::time::Duration;

use super::{
    Session,
    observed::{Begun, within},
};
use crate::{Access, Decision, Error, ErrorKind, PolicyRequest, Result, observe::Room};

/// How long a policy engine may think about one batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// One decision an access, in order. Any failure denies the whole batch.
///
/// # Errors
/// `Unavailable` if the policy engine fails, is late, or answers with another number of decisions.
pub(super) async fn decide(session: &Session, accesses: &[Access]) -> Result<Vec<Decision>> {
    if accesses.is_empty() {
        return Ok(Vec::new());
    }
    let begun = Begun::now();
    let decided = ask(session, accesses).await;
    let (mut permitted, mut restricted, mut denied) = (0, 0, 0);
    for decision in decided.as_deref().unwrap_or_default() {
        match decision.restrictions() {
            None => denied += 1,
            Some(restrictions) if restrictions.is_none() => permitted += 1,
            Some(_) => restricted += 1,
        }
    }
    let failure = decided.as_ref().err().map(Error::kind);
    session.engine().tell(Room::Decide { permitted, restricted, denied }, within(), begun, failure);
    decided
}

async fn ask(session: &Session, accesses: &[Access]) -> Result<Vec<Decision>> {
    let request = PolicyRequest::new(session.identity(), accesses);
    let unavailable =
        |why: &str| Error::unavailable(format!("the policy engine {why}, so nothing is permitted; try again later"));
    let decisions = match tokio::time::timeout(PATIENCE, session.engine().policy.decide(&request)).await {
        Err(_) => return Err(unavailable("does not answer in time")),
        Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => return Err(error),
        Ok(Err(error)) => return Err(unavailable("failed").with_source(error)),
        Ok(Ok(decisions)) => decisions,
    };
    if decisions.len() == accesses.len() { Ok(decisions) } else { Err(unavailable("gave an answer that does not fit")) }
}
