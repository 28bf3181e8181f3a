//! The client of this crate beyond statements: whose session it is, what there is, and stopping.

use futures::TryStreamExt;
use sqe_core::ErrorKind;
use sqe_flight::client::TableFilter;

use crate::harness::server;

#[tokio::test]
async fn a_session_tells_whose_it_is_and_where_names_point() {
    let server = server().await;
    let mut client = server.client("alice").await;
    client.login().await.unwrap();
    let options = client.session_options().await.unwrap();
    assert_eq!(options["subject"], "alice");
    assert!(!options["issuer"].is_empty());
    assert_eq!((options["catalog"].as_str(), options["schema"].as_str()), ("lake", "main"));

    client.set_defaults(None, Some("other")).await.unwrap();
    let options = client.session_options().await.unwrap();
    assert_eq!((options["catalog"].as_str(), options["schema"].as_str()), ("lake", "other"));
    let refused = client.set_defaults(None, Some("")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);

    // Somebody else's session is not changed by it.
    let bob = server.client("bob").await;
    let options = bob.session_options().await.unwrap();
    assert_eq!((options["subject"].as_str(), options["schema"].as_str()), ("bob", "main"));
}

#[tokio::test]
async fn names_are_those_that_the_person_may_see_with_columns_where_asked() {
    let server = server().await;
    let client = server.client("alice").await;
    assert!(client.catalogs().await.unwrap().contains(&"lake".to_owned()));
    let schemas = client.schemas(Some("lake")).await.unwrap();
    assert!(schemas.contains(&("lake".to_owned(), "main".to_owned())), "{schemas:?}");

    let filter = TableFilter::default().in_catalog("lake").in_schemas_like("main").named_like("words");
    let [bare] = client.tables(&filter).await.unwrap().try_into().unwrap();
    assert_eq!((bare.schema.as_str(), bare.name.as_str(), bare.table_type.as_str()), ("main", "words", "TABLE"));
    assert_eq!(bare.columns, None);
    let [whole] = client.tables(&filter.with_columns()).await.unwrap().try_into().unwrap();
    let columns = whole.columns.unwrap();
    assert!(columns.field_with_name("id").is_ok(), "{columns:?}");
}

#[tokio::test]
async fn a_query_is_stopped_by_what_announced_it_and_the_session_goes_on() {
    let server = server().await;
    let client = server.client("alice").await;
    let info = client.announce("SELECT value FROM generate_series(1, 100000000) AS t(value)").await.unwrap();
    let mut rows = client.rows(info.clone()).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    client.cancel(info.clone()).await.unwrap();
    let stopped = loop {
        match rows.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ran to its end"),
            Err(error) => break error,
        }
    };
    assert_eq!(stopped.kind(), ErrorKind::Cancelled);
    assert_eq!(client.cancel(info).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(client.execute("SELECT id FROM words").await.unwrap().collect().await.unwrap()[0].num_rows(), 3);
}
