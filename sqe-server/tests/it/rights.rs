//! People whom the operator's own files vouch for, who may act as whom, and rights that end before their time.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use serde_json::Value;
use sqe_auth::DevIssuer;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use sqe_testkit::process::Sqe;

use crate::{
    site::{Site, binary, eventually, sql_as, start_as, stderr, stdout},
    tls::{Authority, Secure},
    tokens::signed,
};

const ISSUER: &str = "urn:example:tokens";
const PEOPLE: &str = "https://idp.example";
const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) \
                       WHERE x + y = 7";

/// A site with API tokens, rules about acting, and a file of withdrawn rights.
fn site() -> Site {
    let site = Site::new();
    let people = format!(
        "people = [{{ issuer = \"{PEOPLE}\", subject = \"alice\", groups = [\"analysts\"] }}, \
         {{ issuer = \"{PEOPLE}\", subject = \"carol\" }}]"
    );
    let rules = format!(
        "administrators = []\n[[rules]]\nactor = {{ issuer = \"{ISSUER}\", subject = \"dashboard\" }}\n\
         groups = [\"analysts\"]\n"
    );
    fs::write(site.path().join("people.toml"), people).unwrap();
    fs::write(site.path().join("may-act.toml"), rules).unwrap();
    operator(&site, &["revoke", "init", "--file", "revoked"]);
    // A server does not start without the file.
    api_token(&site, "somebody");
    add(
        &site,
        "[[identity]]\nkind = \"api-tokens\"\npath = \"tokens\"\n\
         [impersonation]\npeople_file = \"people.toml\"\nrules_file = \"may-act.toml\"\n\
         [revocation]\nfile = \"revoked\"\npoll_seconds = 1\n",
    );
    site
}

pub(crate) fn add(site: &Site, text: &str) {
    let config = site.path().join("sqe.toml");
    let with = format!("{}{text}", fs::read_to_string(&config).unwrap());
    fs::write(config, with).unwrap();
}

/// What the operator of the machine runs, which has to succeed.
pub(crate) fn operator(site: &Site, words: &[&str]) -> String {
    let output = Command::new(binary()).args(words).current_dir(site.path()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

fn api_token(site: &Site, subject: &str) -> String {
    let words = ["api-token", "create", "--file", "tokens", "--issuer", ISSUER, "--subject", subject, "--days", "1"];
    operator(site, &words).trim().to_owned()
}

/// Puts a file that its owner alone may read into place, at once: a server may look at any moment.
fn put(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(draft, path).unwrap();
}

/// The middle of `sqe_pat_ID_SECRET`.
fn id(token: &str) -> &str {
    token.strip_prefix("sqe_pat_").unwrap().split('_').next().unwrap()
}

/// A claim of a JWT.
fn claim(token: &str, name: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()[name].as_str().unwrap().to_owned()
}

fn mistyped(token: &str) -> String {
    let (body, last) = token.split_at(token.len() - 1);
    format!("{body}{}", if last == "a" { "b" } else { "a" })
}

/// The words with which a token is not accepted.
fn refused(uri: &str, token: &str) -> String {
    let output = sql_as(uri, token, &["-c", "SELECT 1 AS a"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""), "{}", stderr(&output));
    stderr(&output)
}

fn hangup(server: &Sqe, words: &str) {
    let before = server.log().matches(words).count();
    server.signal("HUP").unwrap();
    eventually("the files were read again", || server.log().matches(words).count() > before);
}

async fn ask(options: ConnectOptions, sql: &str) -> sqe_core::Result<usize> {
    let rows = Client::connect(&options).await?.execute(sql).await?.collect().await?;
    Ok(rows.iter().map(|batch| batch.num_rows()).sum())
}

/// Who asked, and who acted for them, in the latest statement of `SELECT 1 AS <mark>`.
fn on_record(site: &Site, uri: &str, mark: &str) -> String {
    let sql = format!(
        "SELECT DISTINCT issuer, subject, array_to_string(actors, ' ') AS actors FROM system.audit.access WHERE statement LIKE '%{mark}%'"
    );
    site.run_as(uri, &site.token("auditor"), &sql)
}

#[test]
fn an_api_token_is_its_holder_until_it_is_revoked() {
    let site = site();
    let [dashboard, other, late, later] =
        ["dashboard", "other", "late", "later"].map(|subject| api_token(&site, subject));
    let (server, uri) = site.serve(&[]);
    assert_eq!(site.run_as(&uri, &dashboard, "SELECT 1 AS held"), "held\n1\n");
    assert_eq!(site.run_as(&uri, &other, "SELECT 1 AS a"), "a\n1\n");
    let seen = on_record(&site, &uri, "held");
    assert!(seen.contains(&format!("{ISSUER},dashboard,")), "{seen}");

    let refused = |token: &str| refused(&uri, token);
    let wrong = refused(&mistyped(&dashboard));
    operator(&site, &["api-token", "revoke", "--file", "tokens", id(&dashboard)]);
    hangup(&server, "SIGHUP: read again and in force");
    eventually("the token is refused", || !sql_as(&uri, &dashboard, &["-c", "SELECT 1"]).status.success());
    assert_eq!(refused(&dashboard), wrong, "a revoked token is told like a wrong one");
    site.run_as(&uri, &other, "SELECT 1 AS a");

    // A file that cannot be used, or is gone, changes nothing, and the log says so: what was read before holds for
    // those who are in, and for those who come for the first time.
    let tokens = site.path().join("tokens");
    let good = fs::read_to_string(&tokens).unwrap();
    put(&tokens, "nonsense");
    hangup(&server, "SIGHUP: what was read before stays in force");
    site.run_as(&uri, &other, "SELECT 1 AS a");
    assert_eq!(site.run_as(&uri, &late, "SELECT 1 AS a"), "a\n1\n");
    assert_eq!(refused(&dashboard), wrong);
    fs::remove_file(&tokens).unwrap();
    hangup(&server, "SIGHUP: what was read before stays in force");
    assert_eq!(site.run_as(&uri, &later, "SELECT 1 AS a"), "a\n1\n");
    assert_eq!(refused(&dashboard), wrong);
    put(&tokens, &good);
    operator(&site, &["api-token", "revoke", "--file", "tokens", id(&late)]);
    hangup(&server, "SIGHUP: read again and in force");
    eventually("the repaired file is in force", || !sql_as(&uri, &late, &["-c", "SELECT 1"]).status.success());
    assert_eq!(refused(&late), wrong);
    site.run_as(&uri, &later, "SELECT 1 AS a");

    for token in [&dashboard, &other] {
        let secret = token.rsplit('_').next().unwrap();
        assert!(!server.log().contains(secret) && !good.contains(secret), "a token's secret is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_acts_as_another_and_both_are_on_record() {
    let site = site();
    let (dashboard, other) = (api_token(&site, "dashboard"), api_token(&site, "other"));
    let (_server, uri) = site.serve(&[]);
    let acting = |token: &str, person: &str| ConnectOptions::new(&uri).with_token(Secret::new(token)).acting_as(person);
    assert_eq!(ask(acting(&dashboard, "alice"), "SELECT 1 AS acted").await.unwrap(), 1);
    let seen = on_record(&site, &uri, "acted");
    assert!(seen.contains(&format!("{PEOPLE},alice,")) && seen.contains("dashboard"), "{seen}");

    let mut words = std::collections::BTreeSet::new();
    // Somebody whom no rule names, nobody, and somebody whom only others may act as.
    for options in [acting(&dashboard, "carol"), acting(&dashboard, "nobody"), acting(&other, "alice")] {
        let error = ask(options, "SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        words.insert(error.message().to_owned());
    }
    assert_eq!(words.len(), 1, "the answer tells who there is: {words:?}");
    assert_eq!(ask(acting("no token", "alice"), "SELECT 1").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[test]
fn the_command_line_acts_as_somebody_by_an_argument_or_a_profile() {
    let site = site();
    let (dashboard, other) = (api_token(&site, "dashboard"), api_token(&site, "other"));
    let (_server, uri) = site.serve(&[]);
    let profiles =
        format!("[profiles.reports]\nuri = \"{uri}\"\nact_as = \"alice\"\n[profiles.own]\nuri = \"{uri}\"\n");
    fs::create_dir_all(site.path().join(".config/sqe")).unwrap();
    fs::write(site.path().join(".config/sqe/config.toml"), profiles).unwrap();
    let run = |token: &str, words: &[&str]| {
        let mut command = Command::new(binary());
        command.args(words).env_clear().env("HOME", site.path()).env("SQE_TOKEN", token);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let said = |token: &str, words: &[&str]| {
        let output = run(token, words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    for (words, whom) in [
        (&["--uri", &uri, "--act-as", "alice"][..], "alice"),
        (&["--profile", "reports"], "alice"),
        (&["--profile", "own"], "dashboard"),
        (&["--profile", "own", "--act-as", "alice"], "alice"),
    ] {
        let told = said(&dashboard, &[&["whoami"], words].concat());
        assert!(told.contains(&format!("subject,{whom}\n")), "{words:?}: {told}");
        assert_eq!(said(&dashboard, &[&["sql"], words, &["-c", "SELECT 1 AS n"]].concat()), "n\n1\n");
        said(&dashboard, &[&["explain"], words, &["SELECT 1"]].concat());
    }
    // Also in a session of its own, which knows whom it is for.
    let words = ["sql", "--profile", "reports", "--catalog", "lake", "-c", "SELECT 1 AS commanded"];
    said(&dashboard, &words);
    let seen = on_record(&site, &uri, "commanded");
    assert!(seen.contains(&format!("{PEOPLE},alice,")) && seen.contains("dashboard"), "{seen}");

    // An argument wins over the profile. Who may not is denied, in the same words whether there is such a person or not.
    let refusals = [(&dashboard, "carol"), (&dashboard, "nobody"), (&other, "alice")].map(|(token, person)| {
        let output = run(token, &["sql", "--profile", "reports", "--act-as", person, "-c", "SELECT 1"]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(4), ""), "{}", stderr(&output));
        stderr(&output)
    });
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    for wrong in ["", "al\u{ef}ce"] {
        let output = run(&dashboard, &["sql", "--uri", &uri, "--act-as", wrong, "-c", "SELECT 1"]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn a_withdrawn_right_stops_what_runs_and_keeps_out_whoever_had_it() {
    let site = site();
    let (server, uri) = site.serve(&[]);
    let (ann, bob) = (site.token("ann"), site.token("bob"));
    site.run_as(&uri, &ann, "SELECT 1 AS a");
    let mut running = site.start(&uri, "ann", ENDLESS);
    site.wait_until_running(&uri, "ann");
    operator(&site, &["revoke", "principal", "--file", "revoked", "--issuer", DevIssuer::ISSUER, "--subject", "ann"]);
    eventually("the statement was stopped", || server.log().contains("the revocation file was read again"));
    assert_eq!(running.wait().unwrap().code(), Some(7));
    let output = sql_as(&uri, &ann, &["-c", "SELECT 1 AS a"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    site.run_as(&uri, &bob, "SELECT 1 AS a");
    // The trail says how it ended, beside the one that ended by itself.
    let ends = "SELECT outcome, count(*) AS n FROM system.audit.access WHERE subject = 'ann' GROUP BY 1 ORDER BY 1";
    assert_eq!(site.run_as(&uri, &bob, ends), "outcome,n\ncancelled,1\ncompleted,1\n");
    let stopped =
        "SELECT outcome FROM system.audit.access WHERE subject = 'ann' AND statement LIKE '%generate_series%'";
    assert_eq!(site.run_as(&uri, &bob, stopped), "outcome\ncancelled\n");
    // Only what was issued up to then is withdrawn.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    site.run_as(&uri, &site.token("ann"), "SELECT 1 AS a");
}

#[test]
fn a_revocation_file_that_cannot_be_read_lets_nobody_back_in_and_keeps_nobody_else_out() {
    let site = site();
    // Made before anything is withdrawn; each is shown for the first time below.
    let [ann, bob, carol] = ["ann", "bob", "carol"].map(|name| [(); 3].map(|()| site.token(name)));
    let (server, uri) = site.serve(&[]);
    let is_seen = |change: &dyn Fn()| {
        let reads = || server.log().matches("the revocation file was read again").count();
        let before = reads();
        change();
        eventually("the file was read again", || reads() > before);
    };
    let withdraw = |subject: &str| {
        let words = ["revoke", "principal", "--file", "revoked", "--issuer", DevIssuer::ISSUER, "--subject", subject];
        is_seen(&|| drop(operator(&site, &words)));
    };
    let is_out = |token: &str| drop(refused(&uri, token));
    withdraw("ann");
    is_out(&ann[0]);
    site.run_as(&uri, &bob[0], "SELECT 1 AS a");

    let revoked = site.path().join("revoked");
    let good = fs::read_to_string(&revoked).unwrap();
    put(&revoked, "nonsense");
    eventually("the watch has seen it", || {
        server.log().contains("the revocations that were read before stay in force")
    });
    hangup(&server, "SIGHUP: what was read before stays in force");
    is_out(&ann[1]);
    site.run_as(&uri, &bob[1], "SELECT 1 AS a");
    fs::remove_file(&revoked).unwrap();
    hangup(&server, "SIGHUP: what was read before stays in force");
    is_out(&ann[2]);
    site.run_as(&uri, &carol[0], "SELECT 1 AS a");

    // A file that can be read again counts again.
    is_seen(&|| put(&revoked, &good));
    withdraw("bob");
    is_out(&bob[2]);
    is_out(&ann[0]);
    site.run_as(&uri, &carol[1], "SELECT 1 AS a");
}

/// Has tokens of one person run endless statements, withdraws the right of some of them, and sees that these stop, and that
/// the other goes on.
fn withdraw_some(site: &Site, words: &[&str], gone: &[String], stays: &str) {
    let (_server, uri) = site.serve(&[]);
    let count = |outcome: &str| {
        let sql = format!(
            "SELECT count(*) AS n FROM system.audit.access \
             WHERE statement LIKE '%generate_series%' AND outcome = '{outcome}'"
        );
        site.run_as(&uri, &site.token("auditor"), &sql).lines().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let mut stopping: Vec<_> = gone.iter().map(|token| start_as(&uri, token, ENDLESS)).collect();
    let mut going_on = start_as(&uri, stays, ENDLESS);
    eventually("all of them run", || count("running") == gone.len() + 1);
    operator(site, &[&["revoke", words[0], "--file", "revoked"], &words[1..]].concat());
    eventually("what is withdrawn stops", || count("cancelled") == gone.len());
    for child in &mut stopping {
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
    let wrong = refused(&uri, "garbage");
    for token in gone {
        assert_eq!(refused(&uri, token), wrong, "a withdrawn right is told like a wrong token");
    }
    assert_eq!(site.run_as(&uri, stays, "SELECT 1 AS a"), "a\n1\n");
    assert_eq!((going_on.try_wait().unwrap(), count("running")), (None, 1), "what was not withdrawn goes on");
    going_on.kill().unwrap();
    going_on.wait().unwrap();
}

#[test]
fn one_withdrawn_token_ends_and_another_of_the_same_person_goes_on() {
    let site = site();
    let [gone, stays] = [(); 2].map(|()| site.token("ann"));
    let name = claim(&gone, "jti");
    withdraw_some(&site, &["credential", &name, "--issuer", DevIssuer::ISSUER], &[gone], &stays);
}

#[test]
fn one_withdrawn_api_token_ends_and_another_of_the_same_holder_goes_on() {
    let site = site();
    let [gone, stays] = [(); 2].map(|()| api_token(&site, "nightly"));
    let name = id(&gone).to_owned();
    withdraw_some(&site, &["credential", &name], &[gone], &stays);
}

#[test]
fn all_tokens_of_a_withdrawn_log_in_end_and_those_of_another_go_on() {
    let site = site();
    let [gone, too, stays] = [("1", "desk"), ("2", "desk"), ("3", "sofa")].map(|(jti, sid)| {
        signed(&site, |claims| {
            claims["jti"] = jti.into();
            claims["sid"] = sid.into();
        })
    });
    withdraw_some(&site, &["session", "desk"], &[gone, too], &stays);
}

#[test]
fn an_api_token_that_has_ended_is_told_like_a_wrong_one_and_what_it_runs_stops() {
    let site = site();
    let [ended, ending, good] = ["ended", "ending", "good"].map(|subject| api_token(&site, subject));
    let file = site.path().join("tokens");
    // As if a token had been made long ago.
    let end = |token: &str| {
        let text = fs::read_to_string(&file).unwrap();
        let records = text.lines().map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            if record["token"]["id"] == id(token) {
                record["token"]["created_at"] = "2025-01-01T00:00:00Z".into();
                record["token"]["expires_at"] = "2025-01-02T00:00:00Z".into();
            }
            format!("{record}\n")
        });
        put(&file, &records.collect::<String>());
    };
    end(&ended);
    let (server, uri) = site.serve(&[]);
    let wrong = refused(&uri, &mistyped(&good));
    assert_eq!(refused(&uri, &ended), wrong);
    assert_eq!(site.run_as(&uri, &good, "SELECT 1 AS a"), "a\n1\n");

    let mut running = start_as(&uri, &ending, ENDLESS);
    site.wait_until_running(&uri, "ending");
    end(&ending);
    hangup(&server, "SIGHUP: read again and in force");
    assert_eq!(running.wait().unwrap().code(), Some(7));
    assert_eq!(refused(&uri, &ending), wrong);
    assert_eq!(site.run_as(&uri, &good, "SELECT 1 AS a"), "a\n1\n");
    let outcome = "SELECT outcome FROM system.audit.access WHERE subject = 'ending'";
    assert_eq!(site.run_as(&uri, &good, outcome), "outcome\ncancelled\n");
    let listed = operator(&site, &["api-token", "list", "--file", "tokens"]);
    for (token, state) in [(&ended, "expired"), (&ending, "expired"), (&good, "valid")] {
        assert!(listed.contains(&format!("{}\t{state}\t", id(token))), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_its_holder_where_its_authority_is_believed() {
    let (own, clients) = (Authority::new(), Authority::new());
    let secure = Secure::new(&own);
    fs::write(secure.site.path().join("clients.pem"), clients.pem()).unwrap();
    add(
        &secure.site,
        "[[identity]]\nkind = \"client-certificates\"\nissuer = \"urn:example:machines\"\nca_file = \"clients.pem\"\n\
         subject = \"common-name\"\n",
    );
    let settings = [("SQE__TLS__CLIENT_CA_FILE", "clients.pem"), ("SQE__TLS__CLIENT_CERTIFICATES", "optional")];
    let (_server, uri) = secure.serve(&settings);
    let options = || ConnectOptions::new(&uri).with_ca_certificate(own.pem());
    let showing = |authority: &Authority| {
        let (certificate, key) = authority.sign(ExtendedKeyUsagePurpose::ClientAuth);
        options().with_client_certificate(certificate, Secret::new(key))
    };
    assert_eq!(ask(showing(&clients), "SELECT 1 AS shown").await.unwrap(), 1);
    assert!(ask(showing(&Authority::new()), "SELECT 1").await.is_err());
    assert_eq!(ask(options(), "SELECT 1").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let auditor = options().with_token(Secret::new(secure.site.token("auditor")));
    let sql = "SELECT DISTINCT subject FROM system.audit.access WHERE statement LIKE '%shown%' \
               AND issuer = 'urn:example:machines' AND subject = 'somebody'";
    assert_eq!(ask(auditor, sql).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_that_tls_trusts_and_no_provider_knows_is_nobodys() {
    let (own, clients) = (Authority::new(), Authority::named("clients"));
    // One of another name, and one that only has the name of the authority that is believed.
    let (machines, namesake) = (Authority::named("machines"), Authority::named("clients"));
    let secure = Secure::new(&own);
    let file = |name: &str, text: String| fs::write(secure.site.path().join(name), text).unwrap();
    file("clients.pem", clients.pem());
    file("connecting.pem", [&clients, &machines, &namesake].map(Authority::pem).concat());
    add(
        &secure.site,
        "[[identity]]\nkind = \"client-certificates\"\nissuer = \"urn:example:machines\"\nca_file = \"clients.pem\"\n\
         subject = \"san-uri\"\nuri_prefix = \"spiffe://example.org/\"\n",
    );
    let settings = [("SQE__TLS__CLIENT_CA_FILE", "connecting.pem"), ("SQE__TLS__CLIENT_CERTIFICATES", "required")];
    let (_server, uri) = secure.serve(&settings);
    let showing = |authority: &Authority, names: &[&str]| {
        let names = names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
        let (certificate, key) = authority.sign_names(ExtendedKeyUsagePurpose::ClientAuth, names);
        ConnectOptions::new(&uri).with_ca_certificate(own.pem()).with_client_certificate(certificate, Secret::new(key))
    };
    let with_token = |options: ConnectOptions, who: &str| options.with_token(Secret::new(secure.site.token(who)));
    let etl = "spiffe://example.org/etl";
    assert_eq!(ask(showing(&clients, &[etl]), "SELECT 1 AS known").await.unwrap(), 1);

    let mut words = std::collections::BTreeSet::new();
    for (what, unknown) in [
        ("of an authority that connects and vouches for nobody", showing(&machines, &[etl])),
        ("of one that borrows the name of another", showing(&namesake, &[etl])),
        ("of a name that is not meant", showing(&clients, &["spiffe://example.com/etl"])),
        ("of no name", showing(&clients, &[])),
        ("of two names", showing(&clients, &[etl, "spiffe://example.org/root"])),
    ] {
        let error = ask(unknown.clone(), "SELECT 1 AS unknown").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{what}: {error}");
        words.insert(error.message().to_owned());
        // The connection is good for somebody with a token: it was not TLS that refused.
        assert_eq!(ask(with_token(unknown, "ann"), "SELECT 1 AS told").await.unwrap(), 1, "{what}");
    }
    assert_eq!(words.len(), 1, "the answer tells why: {words:?}");
    let stranger = with_token(showing(&Authority::named("strangers"), &[etl]), "ann");
    assert_ne!(ask(stranger, "SELECT 1 AS told").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert_eq!(ask(showing(&clients, &[etl]), "SELECT 1 AS known").await.unwrap(), 1);

    let auditor = with_token(showing(&clients, &[etl]), "auditor");
    let asked = |mark: &str, who: &str| {
        format!("SELECT query_id FROM system.audit.access WHERE statement LIKE '%AS {mark}%' AND subject = '{who}'")
    };
    assert_eq!(ask(auditor.clone(), &asked("known", etl)).await.unwrap(), 2);
    assert_eq!(ask(auditor.clone(), &asked("told", "ann")).await.unwrap(), 5);
    let unknown = "SELECT query_id FROM system.audit.access WHERE statement LIKE 'SELECT % AS unknown'";
    assert_eq!(ask(auditor, unknown).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_to_log_in_too_often_has_to_wait() {
    let site = site();
    // Nothing is forgiven while this runs.
    let settings = [("SQE__LIMITS__LOGIN__PER_ADDRESS", "3"), ("SQE__LIMITS__LOGIN__ONE_MORE_AFTER_SECONDS", "3600")];
    let (_server, uri) = site.serve(&settings);
    let (ann, bob, carol) = (site.token("ann"), site.token("bob"), site.token("carol"));
    let with = |token: &str| ConnectOptions::new(&uri).with_token(Secret::new(token));
    let guess = async |number: u32| ask(with(&format!("guess {number}")), "SELECT 1").await.unwrap_err().kind();
    ask(with(&ann), "SELECT 1").await.unwrap();
    for number in 0..2 {
        assert_eq!(guess(number).await, ErrorKind::Unauthenticated);
    }
    // Below the limit others from the same address get in, and that gives nobody back a guess.
    assert_eq!(ask(with(&bob), "SELECT 1").await.unwrap(), 1);
    assert_eq!(guess(2).await, ErrorKind::Unauthenticated);
    for number in 3..6 {
        assert_eq!(guess(number).await, ErrorKind::ResourceExhausted);
    }
    // Nobody is asked any more about what was never good; what was good a moment ago still is.
    assert_eq!(ask(with(&carol), "SELECT 1").await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    for token in [&ann, &bob] {
        assert_eq!(ask(with(token), "SELECT 1").await.unwrap(), 1);
    }
}
