//! `sqe audit export`.

use std::{
    io::{self, BufWriter, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use sqe_audit::{Bookmark, Destination, Exporter, Followed, Follower, ocsf};
use sqe_core::Error;

use super::{is_trail, otlp::Otlp, told};
use crate::{
    cli::{ExportArguments, ExportFormat},
    config::{self, AuditOtlpConfig, ConfigError},
    exit::UsageError,
    wire,
};

/// Exports the trail's records, once or for as long as it runs.
///
/// # Errors
/// Wrong arguments, a trail that is not there or not intact, or nobody takes the records.
pub(crate) async fn export(arguments: ExportArguments) -> Result<()> {
    is_trail(&arguments.path)?;
    let destination = destination(&arguments)?;
    let mut exporter = Exporter::new(Follower::of_folder(&arguments.path));
    if let Some(path) = &arguments.bookmark {
        exporter = exporter.with_bookmark(Bookmark::open(path).map_err(told)?);
    }
    exporter = exporter.between(arguments.from, arguments.to);
    if arguments.follow {
        return match destination.as_lines() {
            // Whoever read standard output does not come back.
            Some(lines) => follow_lines(&mut exporter, lines).await,
            None => exporter.follow(destination.as_destination()).await.map_err(told),
        };
    }
    let done = match exporter.catch_up(destination.as_destination()).await {
        Ok(done) => done,
        Err(_) if destination.as_lines().is_some_and(Lines::is_left) => return Ok(()),
        Err(error) => return Err(told(error)),
    };
    eprintln!("{} records exported", done.records);
    Ok(())
}

async fn follow_lines(exporter: &mut Exporter, lines: &Lines) -> Result<()> {
    loop {
        if let Err(error) = exporter.catch_up(lines).await {
            return if lines.is_left() { Ok(()) } else { Err(told(error)) };
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

enum To {
    Lines(Lines),
    Otlp(Box<Otlp>),
}

impl To {
    fn as_lines(&self) -> Option<&Lines> {
        match self {
            Self::Lines(lines) => Some(lines),
            Self::Otlp(_) => None,
        }
    }

    fn as_destination(&self) -> &dyn Destination {
        match self {
            Self::Lines(lines) => lines,
            Self::Otlp(otlp) => otlp.as_ref(),
        }
    }
}

fn destination(arguments: &ExportArguments) -> Result<To> {
    let form = match arguments.format {
        ExportFormat::Ndjson => Form::Record,
        ExportFormat::Ocsf => Form::Ocsf,
        ExportFormat::Otlp => {
            let Some(endpoint) = arguments.endpoint.clone() else {
                return Err(UsageError("--format otlp needs --endpoint http://HOST:PORT".to_owned()).into());
            };
            config::check_endpoint("--endpoint", &endpoint, true).map_err(UsageError)?;
            wire::cryptography()?;
            let (headers_file, ca_file) = (arguments.headers_file.clone(), arguments.ca_file.clone());
            let config = AuditOtlpConfig { endpoint, headers_file, ca_file };
            let otlp = Otlp::new(&config).with_context(|| ConfigError("the export cannot start".to_owned()))?;
            return Ok(To::Otlp(Box::new(otlp)));
        }
    };
    if arguments.endpoint.is_some() || arguments.headers_file.is_some() || arguments.ca_file.is_some() {
        return Err(UsageError("--endpoint, --headers-file and --ca-file are for --format otlp".to_owned()).into());
    }
    Ok(To::Lines(Lines { form, left: AtomicBool::new(false) }))
}

/// How a record becomes a line.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// As it stands in the trail, with its hashes.
    Record,
    Ocsf,
}

/// One line of JSON a record, on standard output.
#[derive(Debug)]
struct Lines {
    form: Form,
    /// Whether whoever read them is gone.
    left: AtomicBool,
}

impl Lines {
    fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    fn write(&self, records: &[Followed]) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        for record in records {
            match self.form {
                Form::Record => to.write_all(record.line.as_bytes())?,
                Form::Ocsf => serde_json::to_writer(&mut to, &ocsf::event(record))?,
            }
            to.write_all(b"\n")?;
        }
        to.flush()
    }
}

#[async_trait]
impl Destination for Lines {
    async fn take(&self, records: &[Followed]) -> sqe_core::Result<()> {
        self.write(records).map_err(|error| {
            self.left.store(error.kind() == io::ErrorKind::BrokenPipe, Ordering::Relaxed);
            Error::unavailable("standard output takes no more").with_source(error)
        })
    }
}
