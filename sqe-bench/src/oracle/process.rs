//! The Python process and the lines that go to and fro.

use std::{path::Path, process::Stdio, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqe_core::{Error, ErrorKind, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const SCRIPT: &str = include_str!("oracle.py");

/// How much of what the process complained about is kept.
const COMPLAINT_BYTES: u64 = 4096;

/// How long a process that stopped answering has to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    complaints: Option<ChildStderr>,
    deadline: Duration,
    last_id: u64,
}

#[derive(Serialize)]
struct Line<'a, R> {
    id: u64,
    #[serde(flatten)]
    request: &'a R,
}

#[derive(Deserialize)]
struct Reply {
    id: u64,
    error: Option<String>,
    #[serde(flatten)]
    body: Value,
}

impl Process {
    pub(super) fn spawn(python: &Path, deadline: Duration) -> Result<Self> {
        let mut child = Command::new(python)
            // Isolated: neither the environment nor the user's own site packages decide what runs.
            .args(["-I", "-X", "utf8", "-c", SCRIPT])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let python = python.display();
                Error::unavailable(format!("cannot start {python}; name a python interpreter that has duckdb"))
                    .with_source(error)
            })?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(answers)) => Ok(Self {
                complaints: child.stderr.take(),
                child,
                requests,
                answers: BufReader::new(answers).lines(),
                deadline,
                last_id: 0,
            }),
            _ => Err(Error::internal("the duckdb process has no input or output")),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// Cancellation: an answer that nobody waited for is skipped when it arrives, so the next request is not mistaken
    /// for it.
    pub(super) async fn ask<A: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<A> {
        self.last_id += 1;
        let line = serde_json::to_string(&Line { id: self.last_id, request })
            .map_err(|error| Error::internal("a request to duckdb cannot be written").with_source(error))?;
        let Ok(reply) = timeout(self.deadline, self.exchange(line + "\n")).await else {
            let _already_gone = self.child.start_kill();
            let seconds = self.deadline.as_secs();
            return Err(Error::new(ErrorKind::DeadlineExceeded, format!("duckdb did not answer within {seconds} s")));
        };
        let reply = reply?;
        match reply.error {
            Some(error) => Err(Error::invalid(format!("duckdb: {error}"))),
            None => serde_json::from_value(reply.body).map_err(unreadable),
        }
    }

    async fn exchange(&mut self, line: String) -> Result<Reply> {
        let sent = async {
            self.requests.write_all(line.as_bytes()).await?;
            self.requests.flush().await
        };
        if sent.await.is_err() {
            return Err(self.ended().await);
        }
        loop {
            let Ok(Some(line)) = self.answers.next_line().await else {
                return Err(self.ended().await);
            };
            let reply: Reply = serde_json::from_str(&line).map_err(unreadable)?;
            if reply.id == self.last_id {
                return Ok(reply);
            }
        }
    }

    async fn ended(&mut self) -> Error {
        let mut complaint = Vec::new();
        if let Some(stream) = self.complaints.take() {
            let _cut_short = timeout(LAST_WORDS, stream.take(COMPLAINT_BYTES).read_to_end(&mut complaint)).await;
        }
        let complaint = String::from_utf8_lossy(&complaint);
        let last = complaint.lines().map(str::trim).rfind(|line| !line.is_empty());
        Error::unavailable(format!("the duckdb process has ended: {}", last.unwrap_or("it does not say why")))
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::internal("the duckdb process gave an answer that cannot be read").with_source(error)
}
