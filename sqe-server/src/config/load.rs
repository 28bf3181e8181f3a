//! From a file and the environment to a [`Config`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{CatalogConfig, Config, ConfigError, IdentityConfig, PolicyConfig, nearest::nearest, profile};

/// What every variable that sets a key begins with.
pub(crate) const PREFIX: &str = "SQE__";

/// Reads `path`, lays the `SQE__SECTION__KEY` variables over it and checks the result. Relative paths in it are relative
/// to the file's folder.
///
/// # Errors
/// The file cannot be read or is not TOML, a key is unknown, a value does not fit, or the profile refuses it.
pub(crate) fn load(path: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    layers(path, variables).map(|layers| layers.config)
}

/// A configuration, and where its values come from.
#[derive(Debug)]
pub(crate) struct Layers {
    pub(crate) config: Config,
    /// What the file says.
    pub(crate) file: Table,
    /// The variables that set a key, by the key's full name, as in `server.listen` or `identity.0.issuer`.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Like [`load`], and tells what came from where.
///
/// # Errors
/// Those of [`load`].
pub(crate) fn layers(
    path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Layers, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("cannot read the configuration {}: {error}", path.display())))?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    parse(&text, variables, &folder)
        .map_err(|ConfigError(problem)| ConfigError(format!("in the configuration {}: {problem}", path.display())))
}

fn parse(
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    folder: &Path,
) -> Result<Layers, ConfigError> {
    let file: Table = text.parse().map_err(|error: toml::de::Error| ConfigError(error.to_string()))?;
    let mut tree = file.clone();
    let mut set = BTreeMap::new();
    for (name, value) in variables {
        if let Some(key) = name.strip_prefix(PREFIX) {
            overlay(&mut tree, key, &value).map_err(|problem| ConfigError(format!("variable {name}: {problem}")))?;
            set.insert(key.split("__").map(str::to_lowercase).collect::<Vec<_>>().join("."), name);
        }
    }
    let mut config: Config = tree.try_into().map_err(|error: toml::de::Error| ConfigError(explain(&error)))?;
    for path in paths(&mut config) {
        if path.is_relative() {
            *path = folder.join(&*path);
        }
    }
    profile::check(&config)?;
    Ok(Layers { config, file, variables: set })
}

/// Sets one key. Parts are separated by `__` and lower-cased; a number picks an entry of a list. The value is taken as
/// TOML if it is one (`true`, `30`, `["a"]`, `"quoted"`), otherwise as text.
fn overlay(tree: &mut Table, key: &str, value: &str) -> Result<(), String> {
    let mut parts: Vec<String> = key.split("__").map(str::to_lowercase).collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty()) else { return Err("it names no key".to_owned()) };
    if parts.is_empty() {
        return Err(format!("it names no section; is SQE__SECTION__{} meant?", key.to_uppercase()));
    }
    let mut table = tree;
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        let entry = table.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
        table = match entry {
            Value::Table(inner) => inner,
            Value::Array(list) => {
                let index = parts.next().and_then(|index| index.parse::<usize>().ok());
                let index = index.ok_or_else(|| format!("{part} is a list: an index has to follow, as in __0__"))?;
                match list.get_mut(index) {
                    Some(Value::Table(inner)) => inner,
                    _ => return Err(format!("{part} has no entry {index}")),
                }
            }
            _ => return Err(format!("{part} is no section")),
        };
    }
    let typed = format!("value = {value}").parse::<Table>().ok().and_then(|mut parsed| parsed.remove("value"));
    table.insert(last, typed.unwrap_or_else(|| Value::String(value.to_owned())));
    Ok(())
}

/// The reader's words, with the nearest known key in the case of an unknown one.
pub(crate) fn explain(error: &toml::de::Error) -> String {
    let whole = error.to_string();
    let whole = whole.trim_end().replace('\n', " ");
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    if error.message().starts_with("unknown ")
        && let Some(unknown) = quoted.next()
        && let Some(known) = nearest(unknown, quoted)
    {
        return format!("{whole}; is `{known}` meant?");
    }
    whole
}

fn paths(config: &mut Config) -> Vec<&mut PathBuf> {
    let mut paths = vec![&mut config.audit.path];
    if let Some(otlp) = &mut config.audit.otlp {
        paths.extend(otlp.headers_file.iter_mut().chain(&mut otlp.ca_file));
    }
    if let Some(telemetry) = &mut config.telemetry {
        paths.extend(telemetry.otlp_headers_file.iter_mut().chain(&mut telemetry.otlp_ca_file));
    }
    if let Some(tls) = &mut config.tls {
        paths.extend([&mut tls.cert_file, &mut tls.key_file]);
        paths.extend(&mut tls.client_ca_file);
    }
    for identity in &mut config.identity {
        match identity {
            IdentityConfig::Jwt { jwks_file, ca_file, .. } => paths.extend(jwks_file.iter_mut().chain(ca_file)),
            IdentityConfig::Oidc(oidc) => {
                let secret = oidc.introspection.as_mut().map(|introspection| &mut introspection.secret_file);
                paths.extend(oidc.ca_file.iter_mut().chain(secret));
            }
            IdentityConfig::Dev { path } => paths.push(path),
            IdentityConfig::ApiTokens(tokens) => paths.push(&mut tokens.path),
            IdentityConfig::ClientCertificates(certificates) => {
                paths.push(&mut certificates.ca_file);
                paths.extend(&mut certificates.crl_files);
                paths.extend(&mut certificates.people_file);
            }
        }
    }
    if let Some(impersonation) = &mut config.impersonation {
        paths.extend([&mut impersonation.people_file, &mut impersonation.rules_file]);
    }
    if let Some(revocation) = &mut config.revocation {
        paths.push(&mut revocation.file);
    }
    match &mut config.policy {
        PolicyConfig::Cedar { path, mask_key_file } => {
            paths.push(path);
            paths.extend(mask_key_file);
        }
        PolicyConfig::PermitAll {} => {}
    }
    for catalog in config.catalogs.values_mut() {
        match catalog {
            CatalogConfig::Sql { path, warehouse, .. } => paths.extend([path, warehouse]),
            CatalogConfig::Memory {} => {}
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Profile;

    const GOOD: &str = r#"
        [server]
        profile = "dev"
        [[identity]]
        kind = "dev"
        path = "."
        [policy]
        kind = "cedar"
        path = "policies"
        [catalogs.lake]
        kind = "sql"
        path = "catalog.db"
        warehouse = "/elsewhere/warehouse"
        [credentials]
        kind = "local"
        [audit]
        path = "audit"
    "#;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(GOOD, variables, Path::new("/etc/sqe")).map(|layers| layers.config)
    }

    #[test]
    fn relative_paths_are_those_of_the_file_and_absolute_ones_stay() {
        let config = with(&[]).unwrap();
        assert_eq!(config.audit.path, Path::new("/etc/sqe/audit"));
        let Some(CatalogConfig::Sql { path, warehouse, .. }) = config.catalogs.get("lake") else { panic!("no lake") };
        assert_eq!(path, Path::new("/etc/sqe/catalog.db"));
        assert_eq!(warehouse, Path::new("/elsewhere/warehouse"));
    }

    #[test]
    fn variables_win_over_the_file_in_sections_catalogs_and_lists() {
        let config = with(&[
            ("SQE__SERVER__LISTEN", "127.0.0.1:7"),
            ("SQE__LIMITS__STATEMENTS", "5"),
            ("SQE__CATALOGS__LAKE__NAME", "other"),
            ("SQE__IDENTITY__0__PATH", "/k"),
            ("SQE_TOKEN", "is no configuration"),
        ])
        .unwrap();
        assert_eq!(config.server.listen.port(), 7);
        assert_eq!(config.limits.statements, Some(5));
        let Some(CatalogConfig::Sql { name, .. }) = config.catalogs.get("lake") else { panic!("no lake") };
        assert_eq!(name.as_deref(), Some("other"));
        let [IdentityConfig::Dev { path }] = config.identity.as_slice() else { panic!("not one issuer") };
        assert_eq!(path, Path::new("/k"));
    }

    #[rstest]
    #[case("SQE__SERVER__LISTN", "`listen`")]
    #[case("SQE__LIMITS__STATEMENT_SECOND", "`statement_seconds`")]
    #[case("SQE__AUDITS__PATH", "`audit`")]
    #[case("SQE__CATALOGS__LAKE__WAREHOUS", "`warehouse`")]
    #[case("SQE__IDENTITY__0__PAHT", "`path`")]
    fn an_unknown_key_is_refused_and_the_nearest_known_one_named(#[case] variable: &str, #[case] known: &str) {
        let ConfigError(problem) = with(&[(variable, "\"1\"")]).unwrap_err();
        assert!(problem.contains("unknown field") && problem.contains(&format!("is {known} meant?")), "{problem}");
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let ConfigError(problem) = with(&[("SQE__POLICY__KIND", "ceder")]).unwrap_err();
        assert!(problem.contains("is `cedar` meant?"), "{problem}");
    }

    #[rstest]
    #[case("SQE__LISTEN", "names no section")]
    #[case("SQE__IDENTITY__KIND", "is a list")]
    #[case("SQE__IDENTITY__7__KIND", "has no entry 7")]
    #[case("SQE__SERVER__PROFILE__X", "is no section")]
    fn a_variable_that_leads_nowhere_is_refused(#[case] variable: &str, #[case] problem: &str) {
        let ConfigError(said) = with(&[(variable, "1")]).unwrap_err();
        assert!(said.contains(problem) && said.contains(variable), "{said}");
    }

    #[test]
    fn who_names_no_profile_gets_the_strict_one() {
        let ConfigError(problem) = parse(&GOOD.replace("profile = \"dev\"", ""), [], Path::new("")).unwrap_err();
        assert!(problem.contains("production"), "{problem}");
        assert_eq!(with(&[]).unwrap().server.profile, Profile::Dev);
    }
}
