//! `sqe serve --config`.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use crate::site::{Site, binary, stderr};

fn refused(site: &Site, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    let output = command.arg("serve").arg("--config").arg(site.path().join("sqe.toml"));
    let output = output.envs(variables.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    output
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_one_named() {
    let site = Site::new();
    let output = refused(&site, &[("SQE__SERVER__DRAIN_SECOND", "1")]);
    assert!(stderr(&output).contains("is `drain_seconds` meant?"), "{}", stderr(&output));
    // The right name is accepted.
    site.serve(&[("SQE__SERVER__DRAIN_SECONDS", "1")]);
}

#[test]
fn production_refuses_the_development_issuer_and_permit_all() {
    let site = Site::new();
    let output = refused(&site, &[("SQE__SERVER__PROFILE", "production")]);
    assert!(stderr(&output).contains("development issuer"), "{}", stderr(&output));
    let file = site.path().join("sqe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let jwt =
        "kind = \"jwt\"\nissuer = \"https://idp.example\"\naudience = \"sqe\"\njwks_url = \"https://idp.example/jwks\"";
    let text = text.replace("kind = \"dev\"\n            path = \".\"", jwt);
    std::fs::write(&file, text).unwrap();
    let output = refused(&site, &[("SQE__SERVER__PROFILE", "production")]);
    assert!(stderr(&output).contains("permit-all"), "{}", stderr(&output));
}

#[test]
fn production_refuses_the_development_issuer_also_when_its_keys_are_configured_by_hand() {
    let site = Site::new();
    let file = site.path().join("sqe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::create_dir(site.path().join("policies")).unwrap();
    let nobody = "@id(\"nobody\") forbid (principal, action, resource);";
    std::fs::write(site.path().join("policies/nobody.cedar"), nobody).unwrap();
    let with = |issuer: &str| {
        let jwt = format!(
            "kind = \"jwt\"\nissuer = \"{issuer}\"\naudience = \"sqe\"\nkeys = \"ec\"\njwks_url = \"https://idp.example/jwks\""
        );
        let text = text.replace("kind = \"dev\"\n            path = \".\"", &jwt);
        std::fs::write(&file, text.replace("kind = \"permit-all\"", "kind = \"cedar\"\npath = \"policies\"")).unwrap();
    };
    with("urn:sqe:development");
    let output = refused(&site, &[("SQE__SERVER__PROFILE", "production")]);
    assert!(stderr(&output).contains("development issuer"), "{}", stderr(&output));
    with("https://idp.example");
    site.serve(&[("SQE__SERVER__PROFILE", "production")]);
}

#[test]
fn a_server_is_ready_soon_and_stops_when_it_is_told_to() {
    let site = Site::new();
    let begin = Instant::now();
    let (mut server, uri) = site.serve(&[]);
    // Half a second is the aim of a release build on a quiet machine; this bound only finds what blocks.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(site.run(&uri, "SELECT 1 AS a"), "a\n1\n");
    server.signal("TERM").unwrap();
    let status = server.wait(Duration::from_secs(30)).unwrap();
    assert!(status.success(), "{}", server.log());
}

#[test]
fn a_second_server_on_the_same_trail_is_refused() {
    let site = Site::new();
    let (_server, _) = site.serve(&[]);
    let output = refused(&site, &[]);
    assert!(stderr(&output).contains("one writer"), "{}", stderr(&output));
}
