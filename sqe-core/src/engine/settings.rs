//! What a person may set for a session: these few things, each within what the operator allows.

use std::{fmt, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, StringArray, timezone::Tz},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    execution::{FunctionRegistry, SessionState},
    sql::sqlparser::ast::{Expr, Ident, ObjectName, Set, UnaryOperator, Use, Value},
};

use super::{
    Inner, Session,
    statement::{normal, parts},
};
use crate::{Error, Result};

/// Rows of the smallest batches that may be asked for: smaller ones make work and nothing else.
const FEWEST: usize = 64;
/// The shortest time that statements may be given.
const SHORTEST: Duration = Duration::from_millis(1);
/// Bytes of a name.
const LONGEST: usize = 255;

/// Something that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    BatchSize,
    Catalog,
    Schema,
    StatementTimeout,
    TargetPartitions,
    TimeZone,
}

impl Setting {
    const ALL: [Self; 6] =
        [Self::BatchSize, Self::Catalog, Self::Schema, Self::StatementTimeout, Self::TargetPartitions, Self::TimeZone];

    fn name(self) -> &'static str {
        match self {
            Self::BatchSize => "batch_size",
            Self::Catalog => "catalog",
            Self::Schema => "schema",
            Self::StatementTimeout => "statement_timeout",
            Self::TargetPartitions => "target_partitions",
            Self::TimeZone => "time_zone",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::BatchSize => "rows that operators hand on at once, at most what the server allows",
            Self::Catalog => "the catalog of names that have none",
            Self::Schema => "the schema of names that have none",
            Self::StatementTimeout => "how long a statement may take, at most what the server allows",
            Self::TargetPartitions => "parts in which a statement is computed, at most what the server allows",
            Self::TimeZone => "the zone of times without one, such as Europe/Amsterdam or +02:00",
        }
    }

    /// # Errors
    /// `Unsupported` lists what there is.
    fn named(words: &[String]) -> Result<Self> {
        let name = words.join(" ");
        let spelled = match name.as_str() {
            "timezone" | "time zone" => "time_zone",
            other => other,
        };
        (Self::ALL.into_iter().find(|setting| setting.name() == spelled)).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|setting| setting.name()).collect();
            Error::unsupported(format!("{name} is not a setting of this engine; there are {}", all.join(", ")))
        })
    }
}

/// A statement about settings, as it was written.
#[derive(Debug)]
pub(super) enum Wish {
    /// Sets one; `None`: back to how the session began.
    Set(Setting, Option<String>),
    /// Sets what names without a catalog or a schema mean: `USE schema`, `USE catalog.schema`.
    Use(Option<String>, String),
    /// Sets all back.
    ResetAll,
}

/// `SET name = value`, `SET name TO value`, `SET TIME ZONE value`.
///
/// # Errors
/// `Unsupported` for another setting or form.
pub(super) fn set(set: Set) -> Result<Wish> {
    match set {
        Set::SingleAssignment { scope: None, hivevar: false, variable, values } => {
            let setting = Setting::named(&[parts(&variable)?.join(".")])?;
            let [value] = values.as_slice() else {
                return Err(Error::invalid(format!("{} takes one value", setting.name())));
            };
            Ok(Wish::Set(setting, text(setting, value)?))
        }
        Set::SetTimeZone { local: false, value } => Ok(Wish::Set(Setting::TimeZone, text(Setting::TimeZone, &value)?)),
        // Names what can be set.
        other => Err(Setting::named(&[other.to_string()]).err().unwrap_or_else(|| Error::internal("no such setting"))),
    }
}

/// `USE name`.
///
/// # Errors
/// `Unsupported` for another form.
pub(super) fn used(used: Use) -> Result<Wish> {
    let Use::Object(name) = used else {
        return Err(Error::unsupported("write USE schema or USE catalog.schema"));
    };
    match parts(&name)?.as_slice() {
        [schema] => Ok(Wish::Use(None, schema.clone())),
        [catalog, schema] => Ok(Wish::Use(Some(catalog.clone()), schema.clone())),
        _ => Err(Error::invalid("write USE schema or USE catalog.schema")),
    }
}

/// `RESET name`, `RESET ALL`.
///
/// # Errors
/// `Unsupported` for another setting.
pub(super) fn reset(name: &ObjectName) -> Result<Wish> {
    match words(name.0.iter().filter_map(|part| part.as_ident())).as_slice() {
        [all] if all == "all" => Ok(Wish::ResetAll),
        words => Ok(Wish::Set(Setting::named(words)?, None)),
    }
}

/// `SHOW name`; `None` for `SHOW ALL`.
///
/// # Errors
/// `Unsupported` for another setting.
pub(super) fn shown(variable: &[Ident]) -> Result<Option<Setting>> {
    match words(variable.iter()).as_slice() {
        [all] if all == "all" => Ok(None),
        words => Setting::named(words).map(Some),
    }
}

fn words<'a>(idents: impl Iterator<Item = &'a Ident>) -> Vec<String> {
    idents.map(normal).collect()
}

/// What was written as a value; `None` for `DEFAULT`.
fn text(setting: Setting, value: &Expr) -> Result<Option<String>> {
    match value {
        Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") => {
            Ok(None)
        }
        Expr::Identifier(ident) => Ok(Some(normal(ident))),
        Expr::Value(value) => match &value.value {
            Value::Number(number, false) => Ok(Some(number.clone())),
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Ok(Some(text.clone())),
            _ => Err(refused(setting, "a word, a text or a number")),
        },
        // As they are written, such as SET TIME ZONE -5.
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, .. } => Ok(Some(value.to_string())),
        _ => Err(refused(setting, "a word, a text or a number")),
    }
}

fn refused(setting: Setting, wanted: &str) -> Error {
    Error::invalid(format!("{} takes {wanted}", setting.name()))
}

/// A setting with a value that was looked at. `None`: as when the session began.
#[derive(Debug, Clone)]
pub(super) enum Change {
    BatchSize(Option<usize>),
    Catalog(Option<String>),
    Schema(Option<String>),
    StatementTimeout(Option<Duration>),
    TargetPartitions(Option<usize>),
    TimeZone(Option<Arc<str>>),
}

/// What a wish changes.
///
/// # Errors
/// `InvalidInput` for a value that a setting does not take.
pub(super) fn changes(wish: Wish, engine: &Inner) -> Result<Vec<Change>> {
    match wish {
        Wish::Set(setting, value) => Ok(vec![change(setting, value, engine)?]),
        Wish::Use(catalog, schema) => {
            let catalog = catalog.map(|catalog| change(Setting::Catalog, Some(catalog), engine)).transpose()?;
            Ok(catalog.into_iter().chain([change(Setting::Schema, Some(schema), engine)?]).collect())
        }
        Wish::ResetAll => Setting::ALL.into_iter().map(|setting| change(setting, None, engine)).collect(),
    }
}

fn change(setting: Setting, value: Option<String>, engine: &Inner) -> Result<Change> {
    let config = engine.template.config();
    let value = value.as_deref();
    Ok(match setting {
        Setting::BatchSize => Change::BatchSize(number(setting, value, FEWEST, config.batch_size())?),
        Setting::TargetPartitions => Change::TargetPartitions(number(setting, value, 1, config.target_partitions())?),
        Setting::Catalog => Change::Catalog(name(setting, value)?),
        Setting::Schema => Change::Schema(name(setting, value)?),
        Setting::StatementTimeout => Change::StatementTimeout(timeout(value, engine.limits.deadline)?),
        Setting::TimeZone => Change::TimeZone(zone(value)?),
    })
}

fn number(setting: Setting, value: Option<&str>, least: usize, most: usize) -> Result<Option<usize>> {
    let Some(value) = value else { return Ok(None) };
    let least = least.min(most);
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(refused(setting, &format!("a whole number from {least} to {most}"))),
    }
}

fn name(setting: Setting, value: Option<&str>) -> Result<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
        return Err(refused(setting, &format!("a name of 1 to {LONGEST} bytes without control characters")));
    }
    Ok(Some(value.to_owned()))
}

/// Milliseconds, or a number with its unit, as PostgreSQL takes them.
fn timeout(value: Option<&str>, limit: Duration) -> Result<Option<Duration>> {
    let Some(value) = value else { return Ok(None) };
    let number = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = value.get(number.len()..).unwrap_or_default();
    let milliseconds: Option<u64> = match unit {
        "" | "ms" => Some(1),
        "s" => Some(1_000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let given = number.trim_end().parse::<u64>().ok().zip(milliseconds);
    let given = given.and_then(|(number, unit)| number.checked_mul(unit)).map(Duration::from_millis);
    match given {
        Some(given) if (SHORTEST..=limit).contains(&given) => Ok(Some(given)),
        _ => Err(refused(
            Setting::StatementTimeout,
            &format!("a time from {} to {}, such as 500ms, 30s, 5min or 1h", Time(SHORTEST), Time(limit)),
        )),
    }
}

/// A duration as it can be set.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            _ if milliseconds.is_multiple_of(1_000) => write!(f, "{}s", milliseconds / 1_000),
            _ => write!(f, "{milliseconds}ms"),
        }
    }
}

fn zone(value: Option<&str>) -> Result<Option<Arc<str>>> {
    let Some(value) = value else { return Ok(None) };
    // Whatever the parser of zones may accept: a type of a column carries the text.
    let plain = value.len() <= 64 && value.chars().all(|c| c.is_ascii_alphanumeric() || "+-:/_".contains(c));
    match value.parse::<Tz>() {
        Ok(_) if plain => Ok(Some(value.into())),
        _ => Err(refused(Setting::TimeZone, "a name such as Europe/Amsterdam, or an offset such as +02:00")),
    }
}

/// What a session has set, beside its catalog and its schema.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    batch_size: Option<usize>,
    statement_timeout: Option<Duration>,
    target_partitions: Option<usize>,
    time_zone: Option<Arc<str>>,
}

impl Settings {
    /// Takes over a change; gives back one of the names that are kept elsewhere.
    pub(super) fn take(&mut self, change: Change) -> Option<Change> {
        match change {
            Change::BatchSize(rows) => self.batch_size = rows,
            Change::StatementTimeout(time) => self.statement_timeout = time,
            Change::TargetPartitions(parts) => self.target_partitions = parts,
            Change::TimeZone(zone) => self.time_zone = zone,
            names @ (Change::Catalog(_) | Change::Schema(_)) => return Some(names),
        }
        None
    }

    /// How long a statement may take where the engine's own limit is `limit`.
    pub(super) fn deadline(&self, limit: Duration) -> Duration {
        self.statement_timeout.map_or(limit, |timeout| timeout.min(limit))
    }

    /// Prepares a statement's state.
    ///
    /// # Errors
    /// `Internal` if a function cannot be replaced.
    pub(super) fn apply(&self, state: &mut SessionState) -> Result<()> {
        let options = state.config_mut().options_mut();
        if let Some(rows) = self.batch_size {
            options.execution.batch_size = rows;
        }
        if let Some(parts) = self.target_partitions {
            options.execution.target_partitions = parts;
        }
        let Some(zone) = &self.time_zone else { return Ok(()) };
        options.execution.time_zone = Some(zone.to_string());
        // Functions of time know their zone since they were made.
        let options = state.config().options();
        let functions = state.scalar_functions().values();
        let zoned: Vec<_> = functions.filter_map(|known| known.inner().with_updated_config(options)).collect();
        for function in zoned {
            state.register_udf(Arc::new(function))?;
        }
        Ok(())
    }
}

/// The columns of SHOW's answer.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![text("name"), text("value"), text("description")]))
}

/// SHOW's answer: one setting, or all.
pub(super) fn answer(session: &Session, wanted: Option<Setting>) -> Result<RecordBatch> {
    let shown = || Setting::ALL.into_iter().filter(|setting| wanted.is_none_or(|wanted| wanted == *setting));
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let columns = vec![
        text(shown().map(|setting| setting.name().to_owned()).collect()),
        text(shown().map(|setting| value(session, setting)).collect()),
        text(shown().map(|setting| setting.description().to_owned()).collect()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn value(session: &Session, setting: Setting) -> String {
    let engine = session.engine();
    let config = engine.template.config();
    let (settings, (catalog, schema)) = (session.settings(), session.defaults());
    match setting {
        Setting::BatchSize => settings.batch_size.unwrap_or_else(|| config.batch_size()).to_string(),
        Setting::TargetPartitions => {
            settings.target_partitions.unwrap_or_else(|| config.target_partitions()).to_string()
        }
        Setting::Catalog => catalog,
        Setting::Schema => schema,
        Setting::StatementTimeout => Time(settings.deadline(engine.limits.deadline)).to_string(),
        Setting::TimeZone => match settings.time_zone {
            Some(zone) => zone.to_string(),
            None => config.options().execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", Some(1))]
    #[case("1500", Some(1_500))]
    #[case("500ms", Some(500))]
    #[case("30s", Some(30_000))]
    #[case("30 s", Some(30_000))]
    #[case("5min", Some(300_000))]
    #[case("1h", Some(3_600_000))]
    #[case("2h", None)]
    #[case("0", None)]
    #[case("-1", None)]
    #[case("1.5s", None)]
    #[case("", None)]
    #[case("s", None)]
    #[case("1d", None)]
    #[case("99999999999999999999", None)]
    #[case("9999999999999999999h", None)]
    fn times_are_read_with_their_units_and_not_beyond_the_limit(#[case] text: &str, #[case] milliseconds: Option<u64>) {
        let found = timeout(Some(text), Duration::from_secs(3_600)).ok().flatten();
        assert_eq!(found, milliseconds.map(Duration::from_millis));
    }

    #[rstest]
    #[case("UTC", true)]
    #[case("Europe/Amsterdam", true)]
    #[case("+02:00", true)]
    #[case("Mars/Olympus", false)]
    #[case("'", false)]
    #[case("", false)]
    fn zones_are_names_and_offsets(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(zone(Some(text)).is_ok(), valid);
    }

    #[test]
    fn numbers_keep_within_what_the_operator_allows() {
        let of = |text: &str| number(Setting::BatchSize, Some(text), FEWEST, 8_192).ok().flatten();
        assert_eq!((of("64"), of("8192"), of("63"), of("8193"), of("many")), (Some(64), Some(8_192), None, None, None));
        assert_eq!(number(Setting::BatchSize, Some("10"), FEWEST, 10).unwrap(), Some(10), "the operator has less");
    }
}
