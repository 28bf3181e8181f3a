//! Policies that differ from person to person: whoever asks with an API token, or in the name of somebody else, is shown
//! what that person is shown, and nothing of what the others are.

use std::fs;

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use futures::future::join_all;
use sqe_auth::DevIssuer;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use sqe_testkit::process::Sqe;

use crate::{
    rights::{add, operator},
    site::Site,
    tokens::signed,
};

const APPS: &str = "urn:example:apps";
/// Whom alice, bob and carol log in with.
const IDP: &str = "https://idp.example";

/// Everybody sees their own rows of `people`. Of telephone numbers alice sees four digits and bob none; alice knows of no
/// pay, and bob of no plans. The policy about alice's pay is not for her to know of.
const POLICIES: &str = r#"
@id("makers")
permit (principal in Group::"makers", action, resource in Catalog::"lake");

@id("auditors")
permit (
  principal in Group::"auditors",
  action in [Action::"discover", Action::"describe", Action::"select"],
  resource in Catalog::"system"
);

@id("readers-see-the-catalog")
permit (
  principal in Group::"readers",
  action in [Action::"discover", Action::"describe"],
  resource == Catalog::"lake"
);

@explainable
@id("readers-read")
permit (
  principal in Group::"readers",
  action in [Action::"discover", Action::"describe", Action::"select"],
  resource in Schema::"lake.s"
);

@explainable
@id("to-each-their-own")
forbid (
  principal in Group::"readers",
  action == Action::"select",
  resource is Row in Table::"lake.s.people"
)
unless { resource.who == principal.subject };

@explainable
@id("four-digits-for-alice")
@keep("4")
permit (
  principal == User::"https://idp.example#alice",
  action == Action::"mask_keep_last",
  resource == Column::"lake.s.people.phone"
);

@explainable
@id("no-digits-for-bob")
@value("hidden")
permit (
  principal == User::"https://idp.example#bob",
  action == Action::"mask_constant",
  resource == Column::"lake.s.people.phone"
);

@id("no-pay-for-alice")
forbid (
  principal == User::"https://idp.example#alice",
  action == Action::"select",
  resource == Column::"lake.s.people.pay"
);

@id("no-plans-for-bob")
forbid (principal == User::"https://idp.example#bob", action, resource in Table::"lake.s.plans");
"#;

const PEOPLE: &str = "SELECT * FROM lake.s.people ORDER BY who, phone";
const PLANS: &str = "SELECT * FROM lake.s.plans";

const ALICES: [&str; 3] = ["who|phone", "alice|1111", "alice|2222"];
const BOBS: [&str; 2] = ["who|phone|pay", "bob|hidden|30"];
const DASHBOARDS: [&str; 2] = ["who|phone|pay", "dashboard|+49-30-4444|40"];
const ALL: [&str; 6] = [
    "who|phone|pay",
    "alice|+31-20-1111|10",
    "alice|+31-20-2222|20",
    "bob|+44-20-3333|30",
    "dashboard|+49-30-4444|40",
    "maker|+1-212-5555|50",
];

/// A server with its tables, on which `dashboard` may act as alice and as bob.
struct World {
    site: Site,
    uri: String,
    /// An API token of the dashboard itself.
    dashboard: String,
    /// An API token that stands for alice.
    alices: String,
    _server: Sqe,
}

impl World {
    fn new() -> Self {
        let site = Site::governed([("differing.cedar", POLICIES)]);
        let api_token = |issuer: &str, subject: &str| {
            let words = ["api-token", "create", "--file", "tokens", "--days", "1", "--group", "readers", "--issuer"];
            operator(&site, &[&words[..], &[issuer, "--subject", subject]].concat()).trim().to_owned()
        };
        let (dashboard, alices) = (api_token(APPS, "dashboard"), api_token(IDP, "alice"));
        let person = |name: &str| format!("{{ issuer = \"{IDP}\", subject = \"{name}\", groups = [\"readers\"] }},");
        let people = ["alice", "bob", "carol"].map(person).concat();
        fs::write(site.path().join("people.toml"), format!("people = [{people}]")).unwrap();
        fs::write(site.path().join("idp.json"), DevIssuer::open(site.path()).unwrap().jwks()).unwrap();
        let rules = format!(
            "administrators = []\n[[rules]]\nactor = {{ issuer = \"{APPS}\", subject = \"dashboard\" }}\n\
             people = [\"alice\", \"bob\"]\n"
        );
        fs::write(site.path().join("may-act.toml"), rules).unwrap();
        add(
            &site,
            "[[identity]]\nkind = \"api-tokens\"\npath = \"tokens\"\n\
             [[identity]]\nkind = \"jwt\"\nissuer = \"https://idp.example\"\naudience = \"sqe\"\n\
             jwks_file = \"idp.json\"\nkeys = \"ec\"\n\
             [impersonation]\npeople_file = \"people.toml\"\nrules_file = \"may-act.toml\"\n",
        );
        let (server, uri) = site.serve(&[]);
        let make = "CREATE SCHEMA lake.s; CREATE TABLE lake.s.people (who VARCHAR, phone VARCHAR, pay BIGINT); \
                    INSERT INTO lake.s.people VALUES ('alice', '+31-20-1111', 10), ('alice', '+31-20-2222', 20), \
                    ('bob', '+44-20-3333', 30), ('dashboard', '+49-30-4444', 40), ('maker', '+1-212-5555', 50); \
                    CREATE TABLE lake.s.plans AS SELECT 'grow' AS plan";
        site.run_as(&uri, &site.token_in("maker", "makers"), make);
        Self { site, uri, dashboard, alices, _server: server }
    }

    fn with(&self, token: &str) -> ConnectOptions {
        ConnectOptions::new(&self.uri).with_token(Secret::new(token))
    }

    /// A person with a log-in of their own.
    fn themselves(&self, name: &str) -> ConnectOptions {
        self.with(&signed(&self.site, |claims| {
            claims["iss"] = IDP.into();
            claims["sub"] = name.into();
            claims["groups"] = ["readers"].as_slice().into();
        }))
    }

    fn acting_as(&self, name: &str) -> ConnectOptions {
        self.with(&self.dashboard).acting_as(name)
    }

    /// Who asked a statement with this mark, who acted for them, what was decided, and what was masked.
    async fn on_record(&self, mark: &str) -> Vec<String> {
        let sql = format!(
            "SELECT DISTINCT issuer, subject, array_to_string(actors, ' ') AS actors, decision, \
             array_to_string(columns, ' ') AS columns, array_to_string(masked_columns, ' ') AS masked \
             FROM system.audit.access WHERE statement LIKE '%AS {mark}' ORDER BY subject, actors"
        );
        shown(&self.with(&self.site.token_in("auditor", "auditors")), &sql).await.unwrap().split_off(1)
    }
}

/// What somebody is shown: the names of the columns, and then each row.
async fn shown(options: &ConnectOptions, sql: &str) -> sqe_core::Result<Vec<String>> {
    let rows = Client::connect(options).await?.execute(sql).await?;
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let batches = rows.collect().await?;
    Ok(std::iter::once(names.join("|")).chain(batches.iter().flat_map(lines)).collect())
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

async fn failure(options: &ConnectOptions, sql: &str) -> (ErrorKind, String) {
    let error = shown(options, sql).await.unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_is_shown_what_its_person_is_and_nothing_of_its_makers_or_of_others() {
    let world = World::new();
    let (alices, dashboard) = (world.with(&world.alices), world.with(&world.dashboard));
    let maker = world.with(&world.site.token_in("maker", "makers"));
    assert_eq!(shown(&maker, PEOPLE).await.unwrap(), ALL);
    for alice in [&alices, &world.themselves("alice")] {
        assert_eq!(shown(alice, PEOPLE).await.unwrap(), ALICES);
        assert_eq!(shown(alice, PLANS).await.unwrap(), ["plan", "grow"]);
    }
    assert_eq!(shown(&world.themselves("bob"), PEOPLE).await.unwrap(), BOBS);
    assert_eq!(shown(&dashboard, PEOPLE).await.unwrap(), DASHBOARDS);

    // Nor does a question show more than an answer would.
    for (sql, alice, own) in [
        ("SELECT count(*) AS n FROM lake.s.people", ["n", "2"], ["n", "1"]),
        ("SELECT count(*) AS n FROM lake.s.people WHERE phone LIKE '%-%'", ["n", "0"], ["n", "1"]),
        ("SELECT count(*) AS n FROM lake.s.people WHERE who <> 'alice'", ["n", "0"], ["n", "1"]),
    ] {
        assert_eq!(shown(&alices, sql).await.unwrap(), alice, "{sql}");
        assert_eq!(shown(&dashboard, sql).await.unwrap(), own, "{sql}");
    }
    let pay = "SELECT pay FROM lake.s.people";
    assert_eq!(failure(&alices, pay).await, failure(&world.themselves("alice"), pay).await);
    assert_eq!(failure(&alices, pay).await.0, ErrorKind::InvalidInput);
    assert_eq!(shown(&dashboard, pay).await.unwrap(), ["pay", "40"]);

    // The trail names the token's person.
    shown(&alices, "SELECT who, phone FROM lake.s.people AS marked").await.unwrap();
    assert_eq!(world.on_record("marked").await, ["https://idp.example|alice||restricted|who phone|phone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_as_somebody_is_shown_exactly_what_that_person_is_and_the_trail_names_both() {
    let world = World::new();
    let themselves = world.with(&world.dashboard);
    // At once and again, with one token: nobody is shown what was decided for somebody else.
    for _ in 0..3 {
        let (alice, bob) = (world.acting_as("alice"), world.acting_as("bob"));
        let answers = join_all([&alice, &bob, &themselves, &bob, &alice].map(|options| shown(options, PEOPLE))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [&ALICES[..], &BOBS, &DASHBOARDS, &BOBS, &ALICES]);
    }
    for person in ["alice", "bob"] {
        for sql in [
            PEOPLE,
            "SELECT table_name, column_name FROM information_schema.columns ORDER BY 1, 2",
            "SELECT who, count(*) AS n, min(phone) AS phone FROM lake.s.people GROUP BY who",
        ] {
            let (own, acted) = (world.themselves(person), world.acting_as(person));
            assert_eq!(shown(&acted, sql).await.unwrap(), shown(&own, sql).await.unwrap(), "{person}: {sql}");
        }
    }
    // What one of them may not, the dashboard may not in their name, and may in its own or in another's.
    let pay = "SELECT pay FROM lake.s.people";
    for (person, other, sql) in [("alice", "bob", pay), ("bob", "alice", PLANS)] {
        let (own, acted) = (world.themselves(person), world.acting_as(person));
        assert_eq!(failure(&acted, sql).await, failure(&own, sql).await, "{person}: {sql}");
        for permitted in [&world.acting_as(other), &themselves] {
            assert_eq!(shown(permitted, sql).await.unwrap().len(), 2, "{sql}");
        }
    }
    // carol is nobody whom the dashboard may act as, and the maker is nobody whom anybody may act as.
    for person in ["carol", "maker"] {
        assert_eq!(failure(&world.acting_as(person), PEOPLE).await.0, ErrorKind::PermissionDenied);
    }
    assert_eq!(shown(&world.themselves("carol"), PEOPLE).await.unwrap(), ["who|phone|pay"]);

    let marked = "SELECT who, phone FROM lake.s.people AS acted";
    for options in [world.acting_as("alice"), world.acting_as("bob"), world.themselves("bob"), themselves] {
        shown(&options, marked).await.unwrap();
    }
    let expected = [
        "https://idp.example|alice|urn:example:apps#dashboard|restricted|who phone|phone",
        "https://idp.example|bob||restricted|who phone|phone",
        "https://idp.example|bob|urn:example:apps#dashboard|restricted|who phone|phone",
        "urn:example:apps|dashboard||restricted|who phone|",
    ];
    assert_eq!(world.on_record("acted").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_which_policies_decided_where_every_one_of_them_is_explainable() {
    let world = World::new();
    let told = async |options: &ConnectOptions, table: &str| {
        let rows = Client::connect(options).await.unwrap();
        let rows = rows.execute(&format!("EXPLAIN POLICY SELECT 1 FROM lake.s.{table}")).await.unwrap();
        rows.collect().await.unwrap().iter().flat_map(lines).collect::<Vec<_>>()
    };
    // Of bob and of the dashboard every policy may be known; of alice there is one that hides a column.
    let bobs = "lake.s.people|select|restricted|true|[phone]|[no-digits-for-bob, readers-read, to-each-their-own]";
    for bob in [world.themselves("bob"), world.acting_as("bob")] {
        assert_eq!(told(&bob, "people").await, [bobs]);
        // Of what he may not know, nothing is told.
        assert_eq!(failure(&bob, "EXPLAIN POLICY SELECT 1 FROM lake.s.plans").await.0, ErrorKind::NotFound);
    }
    let dashboards = "lake.s.people|select|restricted|true|[]|[readers-read, to-each-their-own]";
    assert_eq!(told(&world.with(&world.dashboard), "people").await, [dashboards]);
    for alice in [world.with(&world.alices), world.acting_as("alice")] {
        assert_eq!(told(&alice, "people").await, ["lake.s.people|select|restricted|true|[phone]|NULL"]);
        assert_eq!(told(&alice, "plans").await, ["lake.s.plans|select|permitted|false|[]|[readers-read]"]);
    }
    // The makers' policy says nothing of the kind.
    let maker = world.with(&world.site.token_in("maker", "makers"));
    assert_eq!(told(&maker, "people").await, ["lake.s.people|select|permitted|false|[]|NULL"]);
}
