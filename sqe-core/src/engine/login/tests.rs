use rstest::rstest;

use super::*;
use crate::{CertificateChain, Principal};

fn rate(at_once: u32) -> Option<FailureRate> {
    Some(FailureRate { at_once, one_more_after: Duration::from_secs(10) })
}

fn logins() -> Logins {
    Logins::new(LoginLimits { per_address: rate(3), per_name: rate(5), per_credential: rate(2), remembered: 100 })
}

fn token(text: &str) -> Credentials {
    Credentials::Bearer(Secret::new(text))
}

fn password(name: &str, text: &str) -> Credentials {
    Credentials::Basic { username: name.to_owned(), password: Secret::new(text) }
}

fn from(address: &str) -> ClientInfo {
    ClientInfo::new("test").with_address(address)
}

const A: &str = "192.0.2.1:50000";
const B: &str = "192.0.2.2:50000";

struct World {
    logins: Logins,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { logins: logins(), now: Instant::now() }
    }

    /// Whether an attempt is let through.
    fn may(&self, credentials: &Credentials, address: &str) -> bool {
        let charged = self.logins.charged(credentials, &from(address));
        match self.logins.check(&charged, self.now) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
                false
            }
        }
    }

    fn fails(&self, credentials: &Credentials, address: &str) {
        self.logins.failed(&self.logins.charged(credentials, &from(address)), self.now);
    }

    fn succeeds(&self, credentials: &Credentials, address: &str) {
        self.logins.succeeded(&self.logins.charged(credentials, &from(address)), self.now);
    }

    /// Tries so many wrong tokens, as fast as they are let through. Gives how many were.
    fn flood(&self, address: &str, count: usize) -> usize {
        let tokens = (0..count).map(|number| token(&format!("wrong {number}")));
        tokens.filter(|token| self.may(token, address)).inspect(|token| self.fails(token, address)).count()
    }
}

#[test]
fn an_address_that_fails_too_often_waits_and_nobody_else_does() {
    let mut world = World::new();
    assert_eq!(world.flood(A, 100), 3);
    assert!(!world.may(&token("good"), A));
    assert!(!world.may(&token("good"), "192.0.2.1:60000"), "the port makes no difference");
    assert!(world.may(&token("good"), B));
    assert!(world.may(&password("alice", "x"), B));
    // One more every ten seconds, and never more than three at once.
    world.now += Duration::from_secs(9);
    assert!(!world.may(&token("good"), A));
    world.now += Duration::from_secs(1);
    assert!(world.may(&token("good"), A));
    world.fails(&token("another"), A);
    assert!(!world.may(&token("good"), A));
    world.now += Duration::from_secs(3600);
    assert!((0..3).all(|number| {
        let token = token(&format!("later {number}"));
        let may = world.may(&token, A);
        world.fails(&token, A);
        may
    }));
    assert!(!world.may(&token("good"), A));
}

#[test]
fn what_was_good_before_is_no_guess() {
    let mut world = World::new();
    world.succeeds(&token("alice's"), A);
    world.flood(A, 100);
    assert!(world.may(&token("alice's"), A) && world.may(&token("alice's"), B));
    assert!(!world.may(&token("bob's"), A));
    // Once it is rejected it is like any other.
    world.fails(&token("alice's"), B);
    world.now += Duration::from_secs(11);
    world.fails(&token("one more"), A);
    world.fails(&token("and one more"), A);
    assert!(world.may(&token("alice's"), A), "charged to itself");
    world.fails(&token("alice's"), A);
    world.fails(&token("alice's"), A);
    assert!(!world.may(&token("alice's"), A) && !world.may(&token("alice's"), B));

    let mut world = World::new();
    world.succeeds(&token("alice's"), A);
    world.now += GOOD_FOR;
    world.flood(A, 100);
    assert!(!world.may(&token("alice's"), A), "that was long ago");
}

#[test]
fn the_same_credentials_are_charged_to_themselves_and_not_to_their_neighbours() {
    let world = World::new();
    let old = token("an old token");
    for _ in 0..50 {
        world.fails(&old, A);
    }
    assert!(!world.may(&old, A) && !world.may(&old, B));
    // Only the first of them counts for the address.
    assert!(world.may(&token("good"), A));
    assert_eq!(world.flood(A, 100), 2);
}

#[test]
fn passwords_are_charged_to_their_user_names_and_one_address_does_not_lock_a_name() {
    let world = World::new();
    let guess = |number: usize| password("alice", &format!("guess {number}"));
    (0..100).filter(|number| world.may(&guess(*number), A)).for_each(|number| world.fails(&guess(number), A));
    assert!(world.may(&password("alice", "right"), B), "one address alone uses up its own limit first");
    // From many addresses at once it does, whatever they are.
    (100..110).for_each(|number| world.fails(&guess(number), &format!("198.51.100.{number}")));
    assert!(!world.may(&password("alice", "right"), B));
    assert!(world.may(&password("bob", "right"), B));
    assert!(world.may(&token("alice's token"), B), "a token is no guess at a password");
    world.succeeds(&password("carol", "right"), B);
    (200..300).for_each(|number| {
        world.fails(&password("carol", &format!("{number}")), &format!("203.0.113.{}", number - 100))
    });
    assert!(world.may(&password("carol", "right"), B), "she was here before");
}

#[rstest]
#[case::v6_network("[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::2]:2", true)]
#[case::v6_of_another_network("[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false)]
#[case::v4_in_v6("[::ffff:192.0.2.1]:1", "192.0.2.1:2", true)]
#[case::without_a_port("192.0.2.1", "192.0.2.1:2", true)]
#[case::others_in_v6_clothes("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false)]
#[case::no_address("unix:/a", "unix:/a", true)]
#[case::another_that_is_none("unix:/a", "unix:/b", false)]
fn who_is_at_one_address(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
    let world = World::new();
    world.flood(one, 100);
    assert_eq!(world.may(&token("good"), other), !same);
}

#[test]
fn without_an_address_only_credentials_and_names_count() {
    let logins = logins();
    let nowhere = ClientInfo::default();
    for number in 0..50 {
        let credentials = token(&format!("wrong {number}"));
        logins.begin(&credentials, &nowhere).unwrap().ended(&Ok(None));
    }
    let again = token("wrong 0");
    logins.begin(&again, &nowhere).unwrap().ended(&Ok(None));
    assert!(logins.begin(&again, &nowhere).is_err());
}

#[test]
fn what_is_not_limited_is_not() {
    let limits = LoginLimits { per_address: None, per_name: None, per_credential: None, remembered: 10 };
    let logins = Logins::new(limits);
    for _ in 0..1000 {
        logins.begin(&password("alice", "wrong"), &from(A)).unwrap().ended(&Ok(None));
    }
}

#[rstest]
#[case::somebody(Ok(Some(Identity::new(Principal::new("test", "alice")))), false)]
#[case::nobody(Ok(None), true)]
#[case::rejected(Err(Error::unauthenticated("no")), true)]
#[case::an_outage(Err(Error::unavailable("later")), false)]
#[case::denied(Err(Error::denied("not as them")), false)]
#[case::busy(Err(Error::exhausted("later")), false)]
fn only_what_is_rejected_is_held_against_anybody(#[case] answer: Result<Option<Identity>>, #[case] counts: bool) {
    let logins = logins();
    for number in 0..50 {
        let credentials = token(&format!("{number}"));
        let Ok(attempt) = logins.begin(&credentials, &from(A)) else {
            assert!(counts && number >= 3);
            return;
        };
        attempt.ended(&answer);
    }
    assert!(!counts);
}

#[test]
fn whoever_goes_away_in_time_does_not_try_for_free() {
    let logins = logins();
    for number in 0..3 {
        drop(logins.begin(&token(&format!("{number}")), &from(A)).unwrap());
    }
    assert!(logins.begin(&token("one more"), &from(A)).is_err());
}

#[test]
fn acting_as_somebody_is_an_attempt_with_ones_own_credentials() {
    let world = World::new();
    let acting = |subject: &str| Credentials::ActingAs { actor: Box::new(token("old")), subject: subject.to_owned() };
    for number in 0..3 {
        world.fails(&acting(&format!("person {number}")), A);
    }
    assert!(!world.may(&acting("another"), A) && !world.may(&token("old"), B));
    let certificate = |byte| Credentials::ClientCertificate(CertificateChain::new([vec![byte], vec![0]]));
    for _ in 0..3 {
        world.fails(&certificate(1), B);
    }
    assert!(!world.may(&certificate(1), B) && world.may(&certificate(2), B));
}

#[test]
fn nobody_is_refused_for_longer_than_ten_minutes() {
    let mut world = World::new();
    for number in 0..1000 {
        world.fails(&token(&format!("at once {number}")), A);
    }
    world.now += LONGEST - Duration::from_secs(1);
    assert!(!world.may(&token("good"), A));
    world.now += Duration::from_secs(1);
    assert!(world.may(&token("good"), A));
}

#[test]
fn what_is_remembered_is_bounded_and_the_last_is_not_forgotten() {
    let world = World::new();
    for number in 0..10_000_u32 {
        let address = IpAddr::from(number.to_be_bytes()).to_string();
        world.fails(&token(&format!("{number}")), &address);
    }
    let state = world.logins.state.lock();
    for length in
        [state.addresses.young.len() + state.addresses.old.len(), state.failed.young.len() + state.failed.old.len()]
    {
        assert!((50..=100).contains(&length), "{length}");
    }
    drop(state);
    world.flood(A, 100);
    assert!(!world.may(&token("good"), A));
}

#[test]
fn nothing_prints() {
    let logins = logins();
    logins.begin(&password("alice", "hunter2"), &from(A)).unwrap().ended(&Ok(None));
    let shown = format!("{logins:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("alice"), "{shown}");
}
