//! What a profile refuses.

use super::{
    CatalogConfig, Config, ConfigError, CredentialsConfig, Demand, IdentityConfig, IntrospectionConfig, OidcConfig,
    PolicyConfig, Profile, TlsConfig, telemetry::check_endpoint,
};

/// # Errors
/// The first thing that cannot work, or that the profile does not accept.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let refuse = |problem: String| Err(ConfigError(problem));
    if config.identity.is_empty() {
        return refuse("there is no [[identity]]: nobody could log in".to_owned());
    }
    if config.catalogs.is_empty() {
        return refuse("there is no [catalogs.NAME]: there would be nothing to query".to_owned());
    }
    if config.catalogs.contains_key("system") {
        return refuse("[catalogs.system]: the name system is the engine's own; choose another".to_owned());
    }
    if let Some(name) = config.server.catalog.as_ref().filter(|name| !config.catalogs.contains_key(*name)) {
        return refuse(format!("server.catalog is {name}, and there is no [catalogs.{name}]"));
    }
    for identity in &config.identity {
        if let IdentityConfig::Jwt { jwks_url, jwks_file, issuer, .. } = identity
            && jwks_url.is_some() == jwks_file.is_some()
        {
            return refuse(format!("the identity of {issuer} needs either jwks_url or jwks_file"));
        }
        if let IdentityConfig::Jwt { issuer, jwks_url: None, ca_file: Some(_), .. } = identity {
            return refuse(format!("the identity of {issuer} has a ca_file and fetches nothing; remove it"));
        }
        if let IdentityConfig::Oidc(OidcConfig { issuer, client_credentials: Some(machines), .. }) = identity
            && machines.client_ids.is_empty() == machines.prefix.is_none()
        {
            return refuse(format!("the client_credentials of {issuer} need either client_ids or prefix"));
        }
    }
    // Of two that take what nobody else knows, the second would never be asked.
    let takes_the_rest = |identity: &&IdentityConfig| {
        matches!(
            identity,
            IdentityConfig::Oidc(OidcConfig { introspection: Some(IntrospectionConfig { prefix: None, .. }), .. })
        )
    };
    if config.identity.iter().filter(takes_the_rest).count() > 1 {
        return refuse(
            "only one introspection can be without prefix: set what the tokens of the others begin with".to_owned(),
        );
    }
    if let Some(TlsConfig { client_certificates: Demand::Optional, client_ca_file: None, .. }) = &config.tls {
        return refuse(
            "tls.client_certificates needs the authorities that they come from: tls.client_ca_file".to_owned(),
        );
    }
    let keeps_files = |(_, catalog): &(&String, &CatalogConfig)| matches!(catalog, CatalogConfig::Sql { .. });
    if let (CredentialsConfig::None, Some((name, _))) = (&config.credentials, config.catalogs.iter().find(keeps_files))
    {
        return refuse(format!(
            "catalog {name} keeps files and nobody may reach them; set [credentials] kind = \"local\""
        ));
    }
    let strict = config.server.profile == Profile::Production;
    if let Some(otlp) = &config.audit.otlp {
        check_endpoint("audit.otlp.endpoint", &otlp.endpoint, strict).map_err(ConfigError)?;
    }
    if let Some(telemetry) = &config.telemetry {
        check_endpoint("telemetry.otlp_endpoint", &telemetry.otlp_endpoint, strict).map_err(ConfigError)?;
    }
    if let Some(ratio) = config.telemetry.as_ref().map(|it| it.sample_ratio).filter(|it| !(0.0..=1.0).contains(it)) {
        return refuse(format!("telemetry.sample_ratio is {ratio}; it goes from 0 to 1"));
    }
    match config.server.profile {
        Profile::Dev => Ok(()),
        Profile::Production => production(config),
    }
}

fn production(config: &Config) -> Result<(), ConfigError> {
    let refuse = |problem: &str| Err(ConfigError(format!("the production profile refuses {problem}")));
    if config.identity.iter().any(|identity| matches!(identity, IdentityConfig::Dev { .. })) {
        return refuse("the development issuer: configure an [[identity]] of kind oidc or jwt");
    }
    if matches!(config.policy, PolicyConfig::PermitAll {}) {
        return refuse("permit-all: configure a [policy] of kind cedar");
    }
    if config.tls.is_none() && !config.server.listen.ip().is_loopback() {
        return refuse("plaintext beyond loopback: tokens would travel readable; configure [tls]");
    }
    if config.tls.is_none() && config.server.http.is_some_and(|http| !http.ip().is_loopback()) {
        return refuse("server.http beyond loopback without TLS: anybody between could answer probes; configure [tls]");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const STRICT: &str = r#"
        [server]
        listen = "0.0.0.0:50051"
        profile = "production"
        [tls]
        cert_file = "c"
        key_file = "k"
        [[identity]]
        kind = "jwt"
        issuer = "https://idp.example"
        audience = "sqe"
        jwks_url = "https://idp.example/jwks"
        [policy]
        kind = "cedar"
        path = "policies"
        [catalogs.lake]
        kind = "sql"
        path = "catalog.db"
        warehouse = "warehouse"
        [credentials]
        kind = "local"
        [audit]
        path = "audit"
    "#;

    fn verdict(text: &str) -> Result<(), ConfigError> {
        check(&toml::from_str(text).unwrap())
    }

    #[test]
    fn production_accepts_what_protects() {
        verdict(STRICT).unwrap();
    }

    #[rstest]
    #[case("[tls]\n        cert_file = \"c\"\n        key_file = \"k\"", "", "plaintext")]
    #[case("kind = \"cedar\"\n        path = \"policies\"", "kind = \"permit-all\"", "permit-all")]
    #[case("[policy]", "[[identity]]\nkind = \"dev\"\npath = \".\"\n[policy]", "development issuer")]
    fn production_refuses_what_development_accepts(#[case] from: &str, #[case] to: &str, #[case] problem: &str) {
        let changed = STRICT.replace(from, to);
        assert_ne!(changed, STRICT);
        let ConfigError(said) = verdict(&changed).unwrap_err();
        assert!(said.contains(problem), "{said}");
        verdict(&changed.replace("\"production\"", "\"dev\"")).unwrap();
    }

    const OIDC: &str = r#"
        [[identity]]
        kind = "oidc"
        issuer = "https://idp.example"
        audience = "sqe"
        [identity.introspection]
        client_id = "sqe"
        secret_file = "secret"
        [identity.client_credentials]
        client_ids = ["job"]
        [[identity]]
        kind = "oidc"
        issuer = "https://other.example"
        audience = "sqe"
        ca_file = "ca.pem"
        [identity.roles_of_groups]
        finance = ["auditor"]
        [identity.introspection]
        client_id = "sqe"
        secret_file = "secret"
        prefix = "acme_"
        [policy]
    "#;

    #[rstest]
    #[case::fits("", "", None)]
    #[case::both_take_the_rest("prefix = \"acme_\"", "", Some("only one introspection"))]
    #[case::no_machines("client_ids = [\"job\"]", "", Some("client_ids or prefix"))]
    #[case::machines_twice(
        "client_ids = [\"job\"]",
        "client_ids = [\"job\"]\nprefix = \"svc-\"",
        Some("client_ids or prefix")
    )]
    fn issuers_of_several_kinds_fit_together_or_are_refused(
        #[case] from: &str,
        #[case] to: &str,
        #[case] problem: Option<&str>,
    ) {
        let text = STRICT.replace("[policy]", OIDC).replace(from, to);
        match problem {
            None => verdict(&text).unwrap(),
            Some(problem) => {
                let ConfigError(said) = verdict(&text).unwrap_err();
                assert!(said.contains(problem), "{said}");
            }
        }
    }

    #[test]
    fn a_certificate_authority_without_anything_to_fetch_is_refused() {
        let text = STRICT.replace("jwks_url = \"https://idp.example/jwks\"", "jwks_file = \"keys\"\nca_file = \"ca\"");
        let ConfigError(said) = verdict(&text).unwrap_err();
        assert!(said.contains("fetches nothing"), "{said}");
        verdict(&STRICT.replace("audience = \"sqe\"", "audience = \"sqe\"\nca_file = \"ca\"")).unwrap();
    }

    #[test]
    fn production_accepts_plaintext_on_loopback() {
        let text = STRICT.replace("[tls]\n        cert_file = \"c\"\n        key_file = \"k\"", "");
        verdict(&text.replace("0.0.0.0", "127.0.0.1")).unwrap();
    }

    #[test]
    fn production_serves_probes_in_plaintext_on_loopback_and_with_tls_beyond() {
        let with = |http: &str| STRICT.replace("[server]", &format!("[server]\nhttp = \"{http}\""));
        verdict(&with("0.0.0.0:8080")).unwrap();
        let plain = |http: &str| {
            let text = with(http).replace("[tls]\n        cert_file = \"c\"\n        key_file = \"k\"", "");
            text.replace("0.0.0.0:50051", "127.0.0.1:50051")
        };
        verdict(&plain("127.0.0.1:8080")).unwrap();
        let ConfigError(said) = verdict(&plain("0.0.0.0:8080")).unwrap_err();
        assert!(said.contains("server.http"), "{said}");
        verdict(&plain("0.0.0.0:8080").replace("\"production\"", "\"dev\"")).unwrap();
    }

    #[rstest]
    #[case("http://127.0.0.1:4317", true, None)]
    #[case("http://[::1]:4317", true, None)]
    #[case("http://localhost:4317", true, None)]
    #[case("https://collector.example:4317", true, None)]
    #[case("http://collector.example:4317", false, None)]
    #[case("http://collector.example:4317", true, Some("plaintext"))]
    #[case("http://127.0.0.1.example:4317", true, Some("plaintext"))]
    #[case("https://me:secret@collector.example", false, Some("headers file"))]
    #[case("https://collector.example?key=secret", false, Some("headers file"))]
    #[case("grpc://127.0.0.1:4317", false, Some("begins with grpc"))]
    #[case("mailto:me", false, Some("names no machine"))]
    fn what_is_watched_does_not_travel_readable(
        #[case] endpoint: &str,
        #[case] strict: bool,
        #[case] problem: Option<&str>,
    ) {
        let profile = if strict { "production" } else { "dev" };
        let section = format!("[telemetry]\notlp_endpoint = \"{endpoint}\"");
        let text = format!("{}\n{section}", STRICT.replace("\"production\"", &format!("\"{profile}\"")));
        match (verdict(&text), problem) {
            (Ok(()), None) => {}
            (Err(ConfigError(said)), Some(problem)) => {
                assert!(said.contains(problem) && !said.contains("secret"), "{said}");
            }
            (other, _) => panic!("{endpoint}: {other:?}"),
        }
    }

    #[test]
    fn a_part_of_the_traces_is_from_0_to_1() {
        let with = |ratio: &str| {
            let section = format!("[telemetry]\notlp_endpoint = \"http://127.0.0.1:1\"\nsample_ratio = {ratio}");
            verdict(&format!("{STRICT}\n{section}"))
        };
        for good in ["0.0", "1.0", "0.25", "1"] {
            with(good).unwrap();
        }
        for wrong in ["-0.1", "1.5", "nan", "inf"] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }

    #[rstest]
    #[case("jwks_url = \"https://idp.example/jwks\"", "", "jwks_url or jwks_file")]
    #[case("kind = \"local\"", "kind = \"none\"", "nobody may reach")]
    #[case("[catalogs.lake]", "[catalogs.system]", "engine's own")]
    #[case("profile = \"production\"", "catalog = \"pond\"", "no [catalogs.pond]")]
    #[case("key_file = \"k\"", "key_file = \"k\"\nclient_certificates = \"optional\"", "client_ca_file")]
    fn what_cannot_work_is_refused_at_the_start(#[case] from: &str, #[case] to: &str, #[case] problem: &str) {
        let ConfigError(said) = verdict(&STRICT.replace(from, to)).unwrap_err();
        assert!(said.contains(problem), "{said}");
    }
}
