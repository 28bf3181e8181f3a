//! What the commands of the prompt do.

use std::{io::Write, path::PathBuf, process::Command as Process, sync::Arc};

use anyhow::{Context, Result};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use chrono::DateTime;
use sqe_core::Error;
use sqe_flight::client::{ListedTable, TableFilter};

use super::{
    catalog,
    command::{self, Command, Expanded, HELP},
    name,
    session::{Flow, Session},
    sink,
};
use crate::{
    exit::UsageError,
    profile::Credential,
    surroundings::{home, variable},
};

impl Session {
    /// Does what a line such as `\d orders` says.
    ///
    /// # Errors
    /// It is no command, or it cannot be done.
    pub(super) async fn command(&mut self, line: &str) -> Result<Flow> {
        match command::parse(line)? {
            Command::Quit => return Ok(Flow::Leave),
            Command::Include(path) => return self.include(&at_home(path)).await,
            Command::Help => print!("{HELP}"),
            Command::Describe(Some(name)) => self.describe(&name).await?,
            Command::Describe(None) => self.tables(None).await?,
            Command::Tables(pattern) => self.tables(pattern.as_deref()).await?,
            Command::Schemas(catalog) => self.schemas(catalog.as_deref()).await?,
            Command::Catalogs => {
                let client = self.client.clone();
                let found = self.patiently(client.catalogs()).await?;
                self.show(&rows([("catalog", found)])?)?;
            }
            Command::Connect(name) => self.point_to(&name).await?,
            Command::ConnectionInfo => {
                let found = self.who().await?;
                self.show(&found)?;
            }
            Command::Output(None) => self.output = None,
            Command::Output(Some(path)) => self.output = Some(sink::create(&at_home(path))?),
            Command::Edit => return Err(UsageError("\\e needs a prompt".to_owned()).into()),
            Command::Expanded(wanted) => {
                let toggled = if self.settings.expanded == Expanded::Off { Expanded::On } else { Expanded::Off };
                self.settings.expanded = wanted.unwrap_or(toggled);
                self.chat(match self.settings.expanded {
                    Expanded::Off => "rows stand in tables",
                    Expanded::On => "one value a line",
                    Expanded::Auto => "one value a line where a table would be too wide",
                });
            }
            Command::Timing(wanted) => {
                self.settings.timing = wanted.unwrap_or(!self.settings.timing);
                self.chat(if self.settings.timing { "times are told" } else { "times are not told" });
            }
            Command::Format(format) => self.settings.format = format,
            Command::Pager(wanted) => self.settings.paged = wanted,
        }
        Ok(Flow::On)
    }

    fn chat(&self, words: &str) {
        if self.settings.chatty {
            eprintln!("{words}");
        }
    }

    /// The columns of a table.
    async fn describe(&mut self, text: &str) -> Result<()> {
        let (catalog, schema, table) = self.full_name(text).await?;
        let client = self.client.clone();
        let found = self.patiently(catalog::one_table(&client, &catalog, &schema, &table)).await?;
        // What may not be known and what is not there are one answer, here as everywhere.
        let found = found.ok_or_else(|| Error::not_found(format!("there is no table {catalog}.{schema}.{table}")))?;
        let columns = found.columns.context("the server told no columns")?;
        let fields = columns.fields();
        let batch = rows([
            ("column", fields.iter().map(|field| field.name().clone()).collect()),
            ("type", fields.iter().map(|field| type_name(field)).collect()),
            ("nullable", fields.iter().map(|f| if f.is_nullable() { "yes" } else { "no" }.to_owned()).collect()),
        ])?;
        self.show(&batch)
    }

    async fn tables(&mut self, pattern: Option<&str>) -> Result<()> {
        let (catalog, schema) = self.defaults().await?;
        let mut parts: Vec<&str> = pattern.unwrap_or("*").split('.').collect();
        let (name, schema) = (parts.pop().unwrap_or("*"), parts.pop().unwrap_or(&schema));
        let catalog = parts.pop().unwrap_or(&catalog);
        if !parts.is_empty() {
            return Err(UsageError("\\dt takes [CATALOG.][SCHEMA.]TABLE, and * stands for anything".to_owned()).into());
        }
        let like = |glob: &str| glob.replace('*', "%").replace('?', "_");
        let filter = TableFilter::default().in_catalog(catalog).in_schemas_like(like(schema)).named_like(like(name));
        let client = self.client.clone();
        let mut found = self.patiently(client.tables(&filter)).await?;
        found.retain(|table| matches(schema, &table.schema) && matches(name, &table.name));
        let column = |of: fn(&ListedTable) -> &String| found.iter().map(|table| of(table).clone()).collect();
        let batch = rows([
            ("schema", column(|table| &table.schema)),
            ("table", column(|table| &table.name)),
            ("type", column(|table| &table.table_type)),
        ])?;
        self.show(&batch)
    }

    async fn schemas(&mut self, catalog: Option<&str>) -> Result<()> {
        let default = self.defaults().await?.0;
        let catalog = catalog.unwrap_or(&default).to_owned();
        let client = self.client.clone();
        let found = self.patiently(client.schemas(Some(&catalog))).await?;
        let (catalogs, schemas) = found.into_iter().unzip();
        self.show(&rows([("catalog", catalogs), ("schema", schemas)])?)
    }

    /// Lets names without a catalog or a schema point elsewhere, if there is such a place for this person.
    async fn point_to(&mut self, text: &str) -> Result<()> {
        let (default, _) = self.defaults().await?;
        let (catalog, schema) = match name::parts(text).as_deref() {
            Some([schema]) => (default, schema.clone()),
            Some([catalog, schema]) => (catalog.clone(), schema.clone()),
            _ => return Err(UsageError("\\c takes a schema, as in \\c lake.sales".to_owned()).into()),
        };
        let client = self.client.clone();
        let found = self.patiently(client.schemas(Some(&catalog))).await?;
        if !found.iter().any(|(_, found)| *found == schema) {
            return Err(Error::not_found(format!("there is no schema {catalog}.{schema}")).into());
        }
        client.set_defaults(Some(&catalog), Some(&schema)).await?;
        self.catalog.set_defaults(catalog, schema);
        Ok(())
    }

    /// Where this is connected, and who the server says asks.
    pub(super) async fn who(&mut self) -> Result<RecordBatch> {
        self.own_session().await?;
        let client = self.client.clone();
        let options = self.patiently(client.session_options()).await?;
        let option = |name: &str| options.get(name).cloned();
        let secure = ["grpc+tls:", "grpcs:", "https:"].iter().any(|scheme| self.target.uri.starts_with(scheme));
        let found = [
            ("server", Some(self.target.uri.clone())),
            ("encryption", Some(if secure { "TLS" } else { "none" }.to_owned())),
            ("subject", option("subject")),
            ("issuer", option("issuer")),
            ("groups", option("groups")),
            ("login ends", option("expires_at")),
            ("profile", self.target.name.clone()),
            ("catalog", option("catalog")),
            ("schema", option("schema")),
        ];
        let ends = match &self.target.credential {
            Credential::Login(login) => login.ends_at().await.and_then(|end| DateTime::from_timestamp(end, 0)),
            _ => None,
        };
        let found = found.into_iter().chain([("token ends", ends.map(|end| end.to_rfc3339()))]);
        let told = found.filter_map(|(what, value)| Some((what.to_owned(), value?)));
        let (what, value) = told.unzip();
        rows([("what", what), ("is", value)])
    }

    /// Where names point, which only a session of one's own tells reliably.
    async fn defaults(&mut self) -> Result<(String, String)> {
        self.own_session().await?;
        Ok(self.catalog.defaults())
    }

    async fn full_name(&mut self, text: &str) -> Result<(String, String, String)> {
        let (catalog, schema) = self.defaults().await?;
        match name::parts(text).unwrap_or_default().as_slice() {
            [table] => Ok((catalog, schema, table.clone())),
            [schema, table] => Ok((catalog, schema.clone(), table.clone())),
            [catalog, schema, table] => Ok((catalog.clone(), schema.clone(), table.clone())),
            _ => Err(UsageError(format!("{text} is no name of a table; write [CATALOG.][SCHEMA.]TABLE")).into()),
        }
    }
}

/// Has the person change a text in an editor.
///
/// # Errors
/// The editor does not start, or says that it failed.
pub(super) fn edit(text: &str) -> Result<String> {
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // Readable by its owner only.
    let mut file = tempfile::Builder::new().prefix("sqe-").suffix(".sql").tempfile().context("cannot make a file")?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    let script = format!("{editor} \"$1\"");
    let status = Process::new("sh").args(["-c", &script, "sh"]).arg(file.path()).status();
    if !status.with_context(|| format!("cannot start {editor}"))?.success() {
        return Err(UsageError(format!("{editor} failed; the statement stays as it was")).into());
    }
    // Editors may put a new file into its place.
    Ok(std::fs::read_to_string(file.path()).context("cannot read what was edited")?.trim_end().to_owned())
}

fn at_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

/// The type as SQL has it, where the server tells it (`FlightSql.proto`, "column metadata" at `CommandGetTables`).
fn type_name(field: &Field) -> String {
    let told = field.metadata().get("ARROW:FLIGHT:SQL:TYPE_NAME").cloned();
    let precise = match field.data_type() {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            told.as_ref().map(|name| format!("{name}({precision},{scale})"))
        }
        _ => None,
    };
    precise.or(told).unwrap_or_else(|| field.data_type().to_string())
}

fn rows<const N: usize>(columns: [(&str, Vec<String>); N]) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect();
    let arrays = columns.into_iter().map(|(_, values)| Arc::new(StringArray::from(values)) as ArrayRef).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Whether a name is like a pattern of `*` and `?`. Case is not looked at.
fn matches(pattern: &str, name: &str) -> bool {
    fn like(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            (['*', rest @ ..], [_, shorter @ ..]) => like(rest, name) || like(pattern, shorter),
            (['*', rest @ ..], []) => like(rest, name),
            (['?', rest @ ..], [_, name @ ..]) => like(rest, name),
            ([wanted, rest @ ..], [first, name @ ..]) => wanted == first && like(rest, name),
            (_, []) => false,
        }
    }
    let chars = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    like(&chars(pattern), &chars(name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*", "anything", true)]
    #[case("c*", "customer", true)]
    #[case("c?st*r", "Customer", true)]
    #[case("c_stomer", "customer", false)]
    #[case("cust", "customer", false)]
    #[case("*%", "customer", false)]
    fn patterns_are_those_of_file_names(#[case] pattern: &str, #[case] name: &str, #[case] expected: bool) {
        assert_eq!(matches(pattern, name), expected);
    }
}
