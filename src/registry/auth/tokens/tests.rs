//! The store of tokens with a clock that is moved by hand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::registry::error::ErrorKind;

struct Hands(Mutex<Instant>);

impl Hands {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn pass(&self, seconds: f64) {
        *self.0.lock().unwrap() += Duration::from_secs_f64(seconds);
    }
}

impl Clock for Hands {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn unix(&self) -> u64 {
        0
    }

    fn sleep(&self, _: Duration) -> bool {
        true
    }
}

fn service() -> TokenService {
    TokenService {
        realm: "https://auth/".to_owned(),
        service: None,
    }
}

fn key() -> Key {
    let repository = Repository::parse("team/app").unwrap();
    Key::of(Access::Repository(&repository))
}

fn grant(seconds: u64) -> Grant {
    Grant {
        token: "t".into(),
        life: Duration::from_secs(seconds),
        refresh: None,
    }
}

fn fault(class: Option<Class>) -> Box<Fault> {
    Box::new(Fault {
        error: Error::new(ErrorKind::Auth, "", "no"),
        class,
        began: Instant::now(),
    })
}

/// A token in the store, or the scopes that one is to be fetched for.
fn claim(tokens: &Tokens, clock: &Hands, body: bool, life: u64) -> (u64, Option<String>) {
    match tokens.claim(&key(), &service(), body, clock) {
        Claim::Have(token) => (token.number, None),
        Claim::Fetch(order) => {
            let scopes = order.scopes.to_string();
            (order.came(&grant(life), clock.now()).number, Some(scopes))
        }
        Claim::Failed(fault) => panic!("{fault:?}"),
    }
}

fn refuse(tokens: &Tokens, clock: &Hands, number: u64, lacking: &str, weak: bool) -> Refused {
    let lacking = Scopes::parse(lacking);
    tokens.refused(&key(), number, lacking, weak, clock.now())
}

#[test]
fn are_renewed_ahead_of_bodies() {
    // Life, age, and whether one is renewed for a body, and for anything else.
    for (life, age, body, other) in [
        (300, 0.0, false, false),
        (300, 239.0, false, false),
        (300, 241.0, true, false),
        (300, 297.0, true, false),
        (300, 298.5, true, true),
        (60, 29.0, false, false),
        (60, 31.0, true, false),
        (60, 58.5, true, true),
        (10, 4.9, false, false),
        (10, 5.1, true, false),
        (10, 8.9, true, false),
        (10, 9.1, true, true),
        (1, 0.4, false, false),
        (1, 0.6, true, false),
        (1, 1.1, true, true),
        (300, 100_000.0, true, true),
    ] {
        for (is_body, renewed) in [(true, body), (false, other)] {
            let (tokens, clock) = (Tokens::default(), Hands::new());
            assert_eq!(claim(&tokens, &clock, true, life).0, 1);
            clock.pass(age);
            let (number, _) = claim(&tokens, &clock, is_body, life);
            assert_eq!(number == 2, renewed, "{life} s after {age}, body {is_body}");
        }
    }
}

#[test]
fn are_asked_for_by_what_they_are_for() {
    let (into, from) = (
        Repository::parse("a/b").unwrap(),
        Repository::parse("c").unwrap(),
    );
    for (access, expected) in [
        (Access::Host, ""),
        (Access::Repository(&into), "repository:a/b:pull,push"),
        (
            Access::Mount {
                into: &into,
                from: &from,
            },
            "repository:a/b:pull,push repository:c:pull",
        ),
    ] {
        assert_eq!(Key::of(access).usual().to_string(), expected);
    }
    let (tokens, clock) = (Tokens::default(), Hands::new());
    tokens.want(
        &key(),
        Scopes::parse("repository:team/app:pull repository:host/team/app:pull"),
    );
    let both = "repository:team/app:pull,push repository:host/team/app:pull";
    assert_eq!(claim(&tokens, &clock, false, 60).1.unwrap(), both);
}

#[test]
fn that_are_refused_are_replaced_once() {
    const PULL: &str = "repository:team/app:pull";
    const PUSH: &str = "repository:team/app:pull,push";
    // Age of the refused token, what the challenge names and says, what the next one is asked for, and
    // whether the next one may be replaced as soon as it came, for the same reason and for push.
    for (age, lacking, weak, asked, same, push) in [
        (0.0, PUSH, true, PUSH, Refused::TooWeak, Refused::TooWeak),
        (0.0, PULL, true, PULL, Refused::TooWeak, Refused::Again),
        (0.0, PULL, false, PULL, Refused::TooWeak, Refused::Again),
        (0.0, "", false, PUSH, Refused::TooWeak, Refused::TooWeak),
        (9.0, PULL, false, PUSH, Refused::TooWeak, Refused::TooWeak),
        (9.0, PULL, true, PULL, Refused::TooWeak, Refused::Again),
        (
            9.0,
            "repository:c:pull",
            false,
            "repository:c:pull repository:team/app:pull,push",
            Refused::TooWeak,
            Refused::TooWeak,
        ),
    ] {
        for (second, expected) in [(lacking, same.clone()), (PUSH, push)] {
            let (tokens, clock) = (Tokens::default(), Hands::new());
            assert_eq!(claim(&tokens, &clock, false, 60).0, 1);
            clock.pass(age);
            assert_eq!(refuse(&tokens, &clock, 1, lacking, weak), Refused::Again);
            // Who comes late with the same one has nothing to add.
            assert_eq!(refuse(&tokens, &clock, 1, lacking, weak), Refused::Again);
            let (number, scopes) = claim(&tokens, &clock, false, 60);
            assert_eq!((number, scopes.as_deref()), (2, Some(asked)));
            assert_eq!(refuse(&tokens, &clock, 1, PUSH, true), Refused::Again);
            let outcome = refuse(&tokens, &clock, 2, second, weak);
            assert_eq!(outcome, expected, "{age} {lacking} {weak} {second}");
        }
    }
}

#[test]
fn that_live_for_moments_may_die_one_after_the_other() {
    let (tokens, clock) = (Tokens::default(), Hands::new());
    let scope = "repository:team/app:pull,push";
    for number in 1..5 {
        assert_eq!(claim(&tokens, &clock, false, 2).0, number);
        clock.pass(2.5);
        let refused = refuse(&tokens, &clock, number, scope, false);
        assert_eq!(refused, Refused::Again, "{number}");
    }
}

/// A proxy rewrites paths: to the registry the repository is another one.
#[test]
fn are_renewed_with_what_challenges_have_named() {
    const OTHER: &str = "repository:proxied/team/app:pull,push";
    let (tokens, clock) = (Tokens::default(), Hands::new());
    let asked = |body| claim(&tokens, &clock, body, 60).1.unwrap_or_default();
    tokens.want(&key(), Scopes::parse("repository:proxied/team/app:pull"));
    let first = "repository:team/app:pull,push repository:proxied/team/app:pull";
    assert_eq!(asked(false), first);
    assert_eq!(refuse(&tokens, &clock, 1, OTHER, true), Refused::Again);
    assert_eq!(asked(false), OTHER);
    let whole = format!("{OTHER} repository:team/app:pull,push");
    for _ in 0..2 {
        clock.pass(40.0);
        assert_eq!(asked(true), whole);
    }
    // Who wants something else does not take it away from the others.
    let third = "repository:base:pull";
    assert_eq!(refuse(&tokens, &clock, 4, third, true), Refused::Again);
    assert_eq!(asked(false), format!("{third} {OTHER}"));
    // There is an end to it.
    for number in 5..99 {
        let more = format!("repository:more{number}:pull");
        let refused = refuse(&tokens, &clock, number, &more, true);
        assert_eq!(refused, Refused::Again);
        assert!(asked(false).len() < 4096);
    }
}

#[test]
fn that_die_before_their_time_are_replaced_each_time() {
    let (tokens, clock) = (Tokens::default(), Hands::new());
    for number in 1..10 {
        assert_eq!(claim(&tokens, &clock, true, 3600).0, number);
        clock.pass(30.0);
        let refused = refuse(
            &tokens,
            &clock,
            number,
            "repository:team/app:pull,push",
            false,
        );
        assert_eq!(refused, Refused::Again);
    }
}

#[test]
fn are_fetched_once_for_all_who_wait() {
    let (tokens, clock) = (Tokens::default(), Hands::new());
    let fetches = AtomicUsize::new(0);
    let Claim::Fetch(order) = tokens.claim(&key(), &service(), false, &clock) else {
        panic!("nobody has fetched one")
    };
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let (number, fetched) = claim(&tokens, &clock, true, 60);
                assert_eq!(number, 1);
                fetches.fetch_add(usize::from(fetched.is_some()), Ordering::SeqCst);
            });
        }
        order.came(&grant(60), clock.now());
    });
    assert_eq!(fetches.into_inner(), 0);
}

#[test]
fn that_do_not_come_fail_all_who_waited() {
    for (class, later) in [(Some(Class::Passing), true), (None, false)] {
        let (tokens, clock) = (Tokens::default(), Hands::new());
        let Claim::Fetch(order) = tokens.claim(&key(), &service(), false, &clock) else {
            panic!("nobody has fetched one")
        };
        assert!(
            order
                .failed(&service(), fault(class), clock.now())
                .is_none()
        );
        let next = tokens.claim(&key(), &service(), false, &clock);
        assert_eq!(matches!(next, Claim::Fetch(_)), later, "{class:?}");
        drop(next);
        // Another service may think otherwise.
        let other = TokenService {
            realm: "https://other/".to_owned(),
            service: None,
        };
        let elsewhere = tokens.claim(&key(), &other, false, &clock);
        assert!(matches!(elsewhere, Claim::Fetch(_)));
    }
}

#[test]
fn that_cannot_be_renewed_serve_to_their_end() {
    let (tokens, clock) = (Tokens::default(), Hands::new());
    assert_eq!(claim(&tokens, &clock, true, 60).0, 1);
    clock.pass(40.0);
    for _ in 0..3 {
        let Claim::Fetch(order) = tokens.claim(&key(), &service(), true, &clock) else {
            panic!("half of its life is over")
        };
        let old = order.failed(&service(), fault(Some(Class::Passing)), clock.now());
        assert_eq!(old.unwrap().number, 1);
        // Nobody tries again for a while.
        assert_eq!(claim(&tokens, &clock, true, 60), (1, None));
        clock.pass(6.0);
    }
    clock.pass(6.0);
    assert!(matches!(
        tokens.claim(&key(), &service(), false, &clock),
        Claim::Fetch(_)
    ));
}

#[test]
fn an_order_that_is_forgotten_goes_to_the_next() {
    let (tokens, clock) = (Tokens::default(), Hands::new());
    drop(tokens.claim(&key(), &service(), false, &clock));
    assert_eq!(claim(&tokens, &clock, false, 60).0, 2);
}
