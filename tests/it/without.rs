//! What the tests had to do without. libtest starts tests in the order of their names, so this one
//! speaks near the end.

use std::io::Write as _;

use crate::clock::library;
use crate::support::mounted::may_mount;
use crate::support::names::may_name;
use crate::support::programs::{PROGRAMS, program};
use crate::support::registry::{Kind, skipped};

/// `HOIST_TEST_REQUIRE=distribution2,zot` turns what it names from skipped into failed.
#[test]
fn skipped_registries_and_programs_are_named() {
    let mut names: Vec<_> = skipped().into_iter().map(Kind::name).collect();
    names.extend(PROGRAMS.iter().filter(|name| program(name).is_none()));
    if !names.is_empty() {
        // Not `eprintln`, which the harness swallows.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped, not on PATH: {}", names.join(", ")).unwrap();
    }
    if library().is_none() {
        let mut stderr = std::io::stderr();
        writeln!(
            stderr,
            "skipped, not installed: faketime, for clocks that jump"
        )
        .unwrap();
    }
    if !may_mount() {
        let mut stderr = std::io::stderr();
        writeln!(
            stderr,
            "skipped, not allowed: mounting a tmpfs, for full disks"
        )
        .unwrap();
    }
    if !may_name() {
        let mut stderr = std::io::stderr();
        writeln!(
            stderr,
            "skipped, not allowed: unshare with a mount of its own, for names that do not resolve"
        )
        .unwrap();
    }
    let required = std::env::var("HOIST_TEST_REQUIRE").unwrap_or_default();
    for name in required.split(',').filter(|name| !name.is_empty()) {
        let known = Kind::ALL.iter().any(|kind| kind.name() == name) || PROGRAMS.contains(&name);
        assert!(known, "HOIST_TEST_REQUIRE names {name}, which is no kind");
        assert!(!names.contains(&name), "{name} is required, not on PATH");
    }
}
