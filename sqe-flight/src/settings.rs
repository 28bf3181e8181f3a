//! What an operator may choose.

use std::time::Duration;

/// Limits and names of a [`FlightSqlServer`](crate::FlightSqlServer). Every limit ends in an error that names it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// What the server calls itself in `SqlInfo`.
    pub server_name: String,
    /// The version that the server reports in `SqlInfo`.
    pub server_version: String,
    /// A session that nothing was asked of for so long ends. Default: one hour.
    pub session_idle_timeout: Duration,
    /// A session never lives longer than this, whatever its credentials say; after it the person logs in again, so that
    /// a withdrawn token without an end of its own stops working. Default: twelve hours.
    pub session_max_age: Duration,
    /// A ticket that is not redeemed within this time is gone, with what was planned for it. Default: five minutes.
    pub ticket_ttl: Duration,
    /// A prepared statement that was not used for so long is closed, with what is bound to it: clients vanish without
    /// closing theirs. Default: one hour.
    pub prepared_idle_timeout: Duration,
    /// How long a stream waits for its client: until it takes the next rows of an answer, or sends the next ones of a load.
    /// Then its statement ends. Default: five minutes.
    pub stream_idle_timeout: Duration,
    /// How long a call that asks what became of a statement waits for news (`PollFlightInfo`). Default: five seconds.
    pub poll_wait: Duration,
    /// The largest message that a client may send, in bytes. Default: 16 MiB.
    pub max_message_bytes: usize,
    /// Batches are cut so that a message carries about this many bytes of data. One row is never cut. Default: 2 MiB.
    pub target_message_bytes: usize,
    /// The longest statement, in bytes of UTF-8. Default: 1 MiB.
    pub max_statement_bytes: usize,
    /// Sessions of all people together. Default: 10,000.
    pub max_sessions: usize,
    /// Sessions of one person. Default: 256.
    pub max_sessions_per_person: usize,
    /// Open prepared statements of one session. Default: 1,000.
    pub max_prepared_statements: usize,
    /// Tickets of one session that nobody has redeemed yet. Default: 256.
    pub max_tickets: usize,
    /// Parameters bound in one call, and one batch of a load, in bytes of Arrow data. Default: 64 MiB.
    pub max_parameter_bytes: usize,
    /// Parameters that the server holds for one person, in bytes of Arrow data: those that are being received, and those
    /// that are bound to prepared statements, in all of the person's sessions; and the batches of loads that are under way.
    /// Default: 256 MiB.
    pub max_parameter_bytes_per_person: usize,
    /// What the server keeps for one person between calls, in bytes: texts of prepared statements, and plans that wait
    /// to be fetched, in all of the person's sessions. Default: 256 MiB.
    pub max_kept_bytes_per_person: usize,
    /// Rows of parameters that one *query* may be run with; each is a run of its own. Updates have no such limit, for
    /// they run one after another. Default: 1,000.
    pub max_query_parameter_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server_name: "SQE".to_owned(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            session_idle_timeout: Duration::from_secs(60 * 60),
            session_max_age: Duration::from_secs(12 * 60 * 60),
            ticket_ttl: Duration::from_secs(5 * 60),
            prepared_idle_timeout: Duration::from_secs(60 * 60),
            stream_idle_timeout: Duration::from_secs(5 * 60),
            poll_wait: Duration::from_secs(5),
            max_message_bytes: 16 << 20,
            target_message_bytes: 2 << 20,
            max_statement_bytes: 1 << 20,
            max_sessions: 10_000,
            max_sessions_per_person: 256,
            max_prepared_statements: 1_000,
            max_tickets: 256,
            max_parameter_bytes: 64 << 20,
            max_parameter_bytes_per_person: 256 << 20,
            max_kept_bytes_per_person: 256 << 20,
            max_query_parameter_rows: 1_000,
        }
    }
}
