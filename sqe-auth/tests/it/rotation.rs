//! Keys of the real provider, which rotate, or cannot be fetched.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqe_core::{ErrorKind, IdentityProvider as _};
use sqe_testkit::idp::Fault;

use crate::{
    forge::bearer,
    idp::{self, accepted, rejected, unavailable, verifier, verifier_of},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_turned_away_while_keys_rotate_under_load() {
    let Some(idp) = idp::own() else { return };
    // An ordinary interval between fetches; each rotation below falls into one of its own.
    let verifier = Arc::new(verifier_of(idp.issuer(), |settings| settings.min_interval = Duration::from_millis(50)));
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let old = bearer(idp.login("alice").unwrap().access_token);
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), old.clone());
            let (done, count) = (Arc::clone(&done), Arc::clone(&count));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    accepted(&*verifier, &token).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    // A known key needs no wait, so this would be a loop that lets nobody else in.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    for keep in [true, true, false] {
        idp.rotate(keep).unwrap();
        let new = bearer(idp.login("bob").unwrap().access_token);
        assert_eq!(accepted(&*verifier, &new).await.principal.subject, "bob");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    done.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    assert!(count.load(Ordering::SeqCst) > 8);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_ends() {
    let Some(idp) = idp::own() else { return };
    let verifier = verifier_of(idp.issuer(), |settings| settings.retire_after = Duration::ZERO);
    let old = bearer(idp.login("alice").unwrap().access_token);
    accepted(&verifier, &old).await;
    idp.rotate(false).unwrap();
    let new = bearer(idp.login("alice").unwrap().access_token);
    accepted(&verifier, &new).await;
    assert!(rejected(&verifier, &old).await.contains("does not publish"));
}

#[tokio::test]
async fn an_outage_does_not_lock_out_known_keys_and_says_nothing_about_unknown_ones() {
    let Some(idp) = idp::own() else { return };
    for (fault, reason) in [
        (Fault::Hang, "within"),
        (Fault::Answer(503, String::new()), "503"),
        (Fault::Close, "no connection"),
        (Fault::Answer(200, "<html>".into()), "not a key set"),
        (Fault::Answer(200, r#"{"keys": []}"#.into()), "no usable"),
    ] {
        let verifier = verifier_of(idp.issuer(), |settings| {
            settings.refresh_after = Duration::ZERO;
            settings.timeout = Duration::from_secs(1);
        });
        let known = bearer(idp.login("alice").unwrap().access_token);
        accepted(&verifier, &known).await;
        idp.rotate(true).unwrap();
        let unknown = bearer(idp.login("bob").unwrap().access_token);
        idp.fault("/jwks", &fault).unwrap();
        for _ in 0..3 {
            accepted(&verifier, &known).await;
        }
        let said = unavailable(&verifier, &unknown).await;
        assert!(said.contains(reason), "{said}");
        idp.fault("/jwks", &Fault::None).unwrap();
        accepted(&verifier, &unknown).await;
    }
}

#[tokio::test]
async fn a_slow_provider_makes_only_those_wait_who_need_it() {
    let Some(idp) = idp::own() else { return };
    let verifier = verifier_of(idp.issuer(), |settings| settings.refresh_after = Duration::ZERO);
    let known = bearer(idp.login("alice").unwrap().access_token);
    accepted(&verifier, &known).await;
    idp.rotate(true).unwrap();
    let unknown = bearer(idp.login("bob").unwrap().access_token);
    idp.fault("/jwks", &Fault::Delay(Duration::from_secs(1))).unwrap();
    let waits = accepted(&verifier, &unknown);
    tokio::pin!(waits);
    // Those with a known key are through while the other still waits, however often they come.
    for _ in 0..20 {
        tokio::select! {
            biased;
            _ = accepted(&verifier, &known) => {}
            _ = &mut waits => panic!("the provider was not slow"),
        }
    }
    assert_eq!(waits.await.principal.subject, "bob");
}

#[tokio::test]
async fn a_provider_that_is_down_is_an_outage_until_it_is_up() {
    let Some(idp) = idp::own() else { return };
    let (stranger, friend) = (verifier(&idp), verifier(&idp));
    let token = bearer(idp.login("alice").unwrap().access_token);
    accepted(&friend, &token).await;
    idp.down().unwrap();
    accepted(&friend, &token).await;
    assert_eq!(stranger.authenticate(&token).await.unwrap_err().kind(), ErrorKind::Unavailable);
    idp.up().unwrap();
    accepted(&stranger, &token).await;
}
