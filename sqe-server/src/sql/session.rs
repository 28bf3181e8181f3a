//! A connection and how its answers look: what the prompt and scripts have in common.

use std::{
    fs::File,
    future::Future,
    io::{self, BufWriter, Write},
    path::Path,
    sync::Arc,
};

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow_flight::FlightInfo;
use futures::TryStreamExt;
use sqe_core::{Error, ErrorKind};
use sqe_flight::client::{Client, Rows};

use super::{
    catalog::{Catalog, SharedCatalog},
    command::Expanded,
    interrupt::Interrupts,
    progress::Progress,
    screen,
    sink::{self, Sink},
    split::{Piece, pieces},
    write::{
        Look, Writer, Written,
        visible::{OnlyVisible, visible},
    },
};
use crate::{
    cli::Format,
    exit::{self, UsageError},
    profile::Target,
};

/// Files that run files that run files.
const DEEPEST: usize = 16;

/// How a server is told to stop something does not take longer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How answers look, and what becomes of failures.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `None`: a table on a terminal, CSV elsewhere.
    pub(super) format: Option<Format>,
    pub(super) expanded: Expanded,
    pub(super) timing: bool,
    pub(super) paged: bool,
    /// Whether a person sits in front of it, who wants to be told how it went.
    pub(super) chatty: bool,
    pub(super) stop_on_error: bool,
}

impl Settings {
    /// Nobody sits in front of it.
    pub(super) fn of_a_script(format: Option<Format>) -> Self {
        let expanded = Expanded::default();
        Self { format, expanded, timing: false, paged: false, chatty: false, stop_on_error: true }
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Leave,
}

/// What runs statements.
pub(super) struct Session {
    pub(super) target: Target,
    pub(super) client: Client,
    pub(super) catalog: SharedCatalog,
    pub(super) settings: Settings,
    /// What `\o` named.
    pub(super) output: Option<File>,
    pub(super) last: String,
    interrupts: Interrupts,
    /// Whether the server keeps a session for this connection alone, where defaults can be set.
    own: bool,
    depth: usize,
    failed: Option<exit::Told>,
}

impl Session {
    /// Connects. With a session of its own, where names point can be changed, and somebody without rights is told so at
    /// once.
    ///
    /// # Errors
    /// As [`connect`](super::connect).
    pub(super) async fn open(target: Target, settings: Settings, own: bool) -> Result<Self> {
        let interrupts = Interrupts::catch()?;
        let client = super::connect(&target).await?;
        let catalog = Arc::new(Catalog::new(client.clone()));
        let mut session = Self {
            target,
            client,
            catalog,
            settings,
            output: None,
            last: String::new(),
            interrupts,
            own: false,
            depth: 0,
            failed: None,
        };
        if own || session.target.catalog.is_some() || session.target.schema.is_some() {
            session.own_session().await?;
        }
        Ok(session)
    }

    /// Says where this is and as whom.
    pub(super) async fn greet(&mut self) -> Result<()> {
        let options = self.client.session_options().await.unwrap_or_default();
        let whom = options.get("subject").map(|subject| format!(" as {}", visible(subject))).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        eprintln!("sqe {version}, connected to {}{whom}. \\? shows help, Ctrl-D leaves.", self.target.uri);
        Ok(())
    }

    /// Gets a session on the server for this connection alone, if it has none, and points its names where they should.
    ///
    /// # Errors
    /// Any.
    pub(super) async fn own_session(&mut self) -> Result<()> {
        if self.own {
            return Ok(());
        }
        self.client.login().await?;
        self.own = true;
        self.catalog.reconnect(self.client.clone());
        self.client.set_defaults(self.target.catalog.as_deref(), self.target.schema.as_deref()).await?;
        let options = self.client.session_options().await.unwrap_or_default();
        let option = |name: &str| options.get(name).cloned().unwrap_or_default();
        self.catalog.set_defaults(option("catalog"), option("schema"));
        Ok(())
    }

    /// Runs statements and commands in their order.
    ///
    /// # Errors
    /// Wherever to stop: the first failure, or Ctrl-C. Where failures do not stop it, they are told, and the first of them
    /// is remembered.
    pub(super) async fn run(&mut self, text: &str) -> Result<Flow> {
        for piece in pieces(text) {
            let outcome = match piece {
                Piece::Statement(sql) => self.statement(sql).await.map(|()| Flow::On),
                Piece::Command(line) => Box::pin(self.command(line)).await,
            };
            match outcome {
                Ok(Flow::On) => {}
                Ok(Flow::Leave) => return Ok(Flow::Leave),
                // Who does not listen any more does not want the rest either.
                Err(error) if sink::is_left(&error) => return Ok(Flow::Leave),
                Err(error) if self.settings.stop_on_error || is_cancelled(&error) => return Err(error),
                Err(error) => {
                    exit::tell(&error);
                    self.failed.get_or_insert(exit::Told::of(&error));
                }
            }
        }
        Ok(Flow::On)
    }

    /// Runs a file.
    ///
    /// # Errors
    /// It cannot be read, or as [`run`](Self::run).
    pub(super) async fn include(&mut self, path: &Path) -> Result<Flow> {
        if self.depth >= DEEPEST {
            return Err(UsageError(format!("{} files deep; does one run itself?", self.depth)).into());
        }
        let problem = |error| UsageError(format!("cannot read {}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(problem)?;
        self.depth += 1;
        let outcome = self.run(&text).await;
        self.depth -= 1;
        outcome
    }

    /// Ends the session on the server. Fails if something failed and did not stop it.
    pub(super) async fn close(self) -> Result<()> {
        self.client.close().await;
        match self.failed {
            Some(told) => Err(told.into()),
            None => Ok(()),
        }
    }

    /// Forgets what failed at the prompt, where the person has seen it.
    pub(super) fn forgive(&mut self) {
        self.failed = None;
    }

    /// Runs one statement and shows its answer.
    async fn statement(&mut self, sql: &str) -> Result<()> {
        sql.clone_into(&mut self.last);
        self.interrupts.forget();
        let mut progress = Progress::begin();
        let outcome = self.ask(sql, &mut progress).await;
        progress.clear();
        let written = outcome?;
        let first = sql.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap_or_default();
        if ["create", "drop", "alter"].iter().any(|word| word.eq_ignore_ascii_case(first)) {
            self.catalog.forget();
        }
        self.tell(written, progress.elapsed());
        Ok(())
    }

    async fn ask(&mut self, sql: &str, progress: &mut Progress) -> Result<Option<Written>> {
        let mut announced = self.announce(sql, progress).await;
        if let Err(error) = &announced
            && self.own
            && kind(error) == Some(ErrorKind::Unauthenticated)
        {
            // The session ended; nothing has run. Perhaps there is a newer token.
            self.reconnect().await?;
            announced = self.announce(sql, progress).await;
        }
        let info = announced?;
        let rows = self.client.rows(info.clone()).await?;
        let mut sink = Sink::open(self.output.as_ref(), self.settings.paged)?;
        match self.pour(rows, info, &mut sink, progress).await {
            Ok(written) => {
                progress.clear();
                sink.finish()?;
                Ok(written)
            }
            Err(error) => {
                progress.end();
                left(error, sink)
            }
        }
    }

    /// Lets rows run into a sink as they come. What came before a failure is shown, too. `None`: there is nothing to show.
    async fn pour(
        &mut self,
        mut rows: Rows,
        info: FlightInfo,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<Option<Written>> {
        let look = self.look(sink)?;
        let schema = rows.schema();
        let people = matches!(look.format, Format::Table | Format::Vertical | Format::Csv | Format::Markdown);
        let silent = people && schema.fields().is_empty();
        let on_screen = sink.is_screen();
        let to: Box<dyn Write> = if silent { Box::new(io::sink()) } else { decent(sink, look.format) };
        let mut writer = Writer::new(look, schema, to)?;
        let mut seen = 0;
        let end = loop {
            tokio::select! {
                biased;
                () = self.interrupts.next() => {
                    self.stop(info).await;
                    break Err(cancelled());
                }
                batch = rows.try_next() => match batch {
                    Ok(None) => break Ok(()),
                    Ok(Some(batch)) => {
                        seen += batch.num_rows();
                        if on_screen {
                            progress.end();
                        }
                        if let Err(error) = writer.write(&batch) {
                            // Nobody takes it any more: writing the end would fail as well.
                            self.stop(info).await;
                            return Err(error);
                        }
                    }
                    Err(error) => break Err(error.into()),
                },
                () = progress.tick() => progress.show(seen),
            }
        };
        progress.clear();
        let written = writer.finish();
        end?;
        written.map(|written| Some(written).filter(|_| !silent))
    }

    async fn announce(&mut self, sql: &str, progress: &mut Progress) -> Result<FlightInfo> {
        let client = self.client.clone();
        let mut announced = std::pin::pin!(client.announce(sql));
        loop {
            tokio::select! {
                biased;
                () = self.interrupts.next() => return Err(cancelled()),
                info = &mut announced => return Ok(info?),
                () = progress.tick() => progress.show(0),
            }
        }
    }

    /// Tells the server to stop a query. It may have ended by itself; a second Ctrl-C waits for no answer.
    async fn stop(&mut self, info: FlightInfo) {
        tokio::select! {
            stopped = tokio::time::timeout(PATIENCE, self.client.cancel(info)) => match stopped {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {}
                Ok(Err(error)) => tracing::warn!(error = error.message(), "the statement may still run"),
                Err(_) => tracing::warn!("the server does not answer; the statement may still run"),
            },
            () = self.interrupts.next() => {}
        }
    }

    /// Logs in anew, and keeps where names point.
    async fn reconnect(&mut self) -> Result<()> {
        let (catalog, schema) = self.catalog.defaults();
        self.client = super::connect(&self.target).await?;
        self.client.login().await?;
        let defined = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        self.client.set_defaults(defined(&catalog).as_deref(), defined(&schema).as_deref()).await?;
        self.catalog.reconnect(self.client.clone());
        Ok(())
    }

    /// Waits for something that is no statement; Ctrl-C ends that.
    pub(super) async fn patiently<T>(&mut self, asked: impl Future<Output = sqe_core::Result<T>>) -> Result<T> {
        self.interrupts.forget();
        tokio::select! {
            biased;
            () = self.interrupts.next() => Err(cancelled()),
            answer = asked => Ok(answer?),
        }
    }

    /// Shows rows that are no statement's.
    pub(super) fn show(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut sink = Sink::open(self.output.as_ref(), self.settings.paged)?;
        let look = self.look(&sink)?;
        let mut writer = Writer::new(look, batch.schema(), decent(&mut sink, look.format))?;
        match writer.write(batch).and_then(|()| writer.finish()) {
            Ok(written) => {
                sink.finish()?;
                tell_left_out(&written.left_out);
                Ok(())
            }
            Err(error) => left(error, sink).map(|_| ()),
        }
    }

    fn look(&self, sink: &Sink) -> Result<Look> {
        let size = screen::size().filter(|_| sink.is_screen());
        let format = self.settings.format.unwrap_or(if size.is_some() { Format::Table } else { Format::Csv });
        if format == Format::Arrow && size.is_some() {
            let problem = "a terminal cannot show Arrow; send it to a file with \\o or >";
            return Err(UsageError(problem.to_owned()).into());
        }
        let format = match (format, self.settings.expanded) {
            (Format::Table, Expanded::On) => Format::Vertical,
            (format, _) => format,
        };
        Ok(Look {
            format,
            width: size.map(|size| size.columns),
            vertical_if_wide: self.settings.expanded == Expanded::Auto,
        })
    }

    fn tell(&self, written: Option<Written>, elapsed: std::time::Duration) {
        let Settings { chatty, timing, .. } = self.settings;
        if !chatty && !timing {
            return;
        }
        let rows = match &written {
            None => "done".to_owned(),
            Some(Written { rows: 1, .. }) => "1 row".to_owned(),
            Some(Written { rows, .. }) => format!("{rows} rows"),
        };
        let time = if timing { format!(", {:.1} ms", elapsed.as_secs_f64() * 1000.0) } else { String::new() };
        eprintln!("({rows}{time})");
        tell_left_out(&written.map(|written| written.left_out).unwrap_or_default());
    }
}

/// What may be written to this sink: to a terminal nothing that it would obey. People's formats see to that themselves.
fn decent<'a>(sink: &'a mut Sink, format: Format) -> Box<dyn Write + 'a> {
    match sink.is_screen() && matches!(format, Format::Csv | Format::Json | Format::Ndjson) {
        true => Box::new(BufWriter::new(OnlyVisible::new(sink))),
        false => Box::new(BufWriter::new(sink)),
    }
}

/// A pager that was left has shown enough; a pipe that nobody reads ends everything.
fn left(error: anyhow::Error, sink: Sink) -> Result<Option<Written>> {
    let paged = sink.is_screen();
    let _gone = sink.finish();
    match paged && sink::is_left(&error) {
        true => Ok(None),
        false => Err(error),
    }
}

fn tell_left_out(left_out: &[String]) {
    if !left_out.is_empty() {
        eprintln!("not shown, for the terminal is too narrow: {}; \\x shows all", left_out.join(", "));
    }
}

fn cancelled() -> anyhow::Error {
    Error::new(ErrorKind::Cancelled, "cancelled").into()
}

fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<Error>()).map(Error::kind)
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    kind(error) == Some(ErrorKind::Cancelled)
}
