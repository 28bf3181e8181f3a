//! One-topic programs for engine builders, in the folder `examples` of this package. Each ends with a failure if
//! anything that it shows is not so, and CI runs all of them.
//!
//! | program | shows |
//! |---|---|
//! | `hello_engine` | an engine put together from the crates of this repository |
//! | `custom_identity` | an `IdentityProvider`: API tokens, kept as hashes |
//! | `custom_policy` | a `PolicyEngine`: a table of rules in code |
//! | `custom_catalog` | a `CatalogProvider`: CSV texts as read-only tables |
//! | `custom_vendor` | a `CredentialVendor`: folders of people on this machine |
//! | `custom_scheduler` | a `Scheduler`: so many statements at once and no more |
//! | `custom_audit` | an `AuditSink`: a file of JSON lines |
//!
//! This library holds what they share, so that each of them is about its topic: some rows, people with tokens of a
//! development issuer, and answers as text.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use sqe_audit::MemoryTrail;
use sqe_auth::{DevIssuer, DevPerson, JwtVerifier};
use sqe_core::{
    Credentials, Engine, Result, Session,
    audit::ClientInfo,
    engine::{EngineBuilder, SessionOptions},
    policy::danger::PermitAll,
};

/// Five orders of a shop: `id`, `seller`, `region`, `phone` and `amount`.
///
/// # Errors
/// A defect: the columns do not fit together.
pub fn orders() -> Result<RecordBatch> {
    let column = |texts: [&str; 5]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    Ok(RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])) as ArrayRef),
        ("seller", column(["ana", "ben", "ana", "cho", "ben"])),
        ("region", column(["north", "south", "north", "north", "south"])),
        ("phone", column(["555-0101", "555-0102", "555-0103", "555-0104", "555-0105"])),
        ("amount", Arc::new(Int64Array::from(vec![120, 80, 200, 40, 60])) as ArrayRef),
    ])?)
}

/// Vouches for whomever an example needs: a development issuer with a key of its own.
#[derive(Debug)]
pub struct People(DevIssuer);

impl Default for People {
    fn default() -> Self {
        Self(DevIssuer::generate())
    }
}

impl People {
    /// What an engine verifies their tokens with.
    ///
    /// # Errors
    /// This process cannot verify signatures.
    pub fn verifier(&self) -> Result<JwtVerifier> {
        self.0.verifier()
    }

    /// The beginning of an engine for these people, with a trail in memory. It permits everybody everything: it is for
    /// examples whose topic is not policy.
    ///
    /// # Errors
    /// This process cannot verify signatures.
    pub fn builder(&self) -> Result<EngineBuilder> {
        Ok(Engine::builder().identity(self.verifier()?).policy(PermitAll).audit(MemoryTrail::new()))
    }

    /// Logs somebody in, with a token that is good for an hour.
    ///
    /// # Errors
    /// The engine does not know the issuer.
    pub async fn session(&self, engine: &Engine, person: &DevPerson) -> Result<Session> {
        let token = self.0.issue(person, Duration::from_secs(3600))?;
        engine.session(&Credentials::Bearer(token), SessionOptions::new(ClientInfo::new("example"))).await
    }
}

/// The whole answer to a query, one text a row, such as `1|north`.
///
/// # Errors
/// Those of the query.
pub async fn ask(session: &Session, sql: &str) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in session.query(sql).await?.collect().await? {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
        rows.extend((0..batch.num_rows()).map(row));
    }
    Ok(rows)
}
