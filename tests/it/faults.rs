//! Pushes over a network that fails, by seed: each ends with an image that is there to the byte, or
//! with the right error, in time.
//!
//!     make test                                                50 seeds
//!     make faults                                              500 seeds
//!     HOIST_FAULT_SEED=17 cargo test --test it faults::seeds   this one
//!     HOIST_FAULT_SEEDS=500-999 …                              these; or a number of them from 0

mod case;
mod judge;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::support::proxy::Proxy;
use crate::support::registry::{Kind, Registry, Setup, Tls, available};
use crate::support::seeds::asked;
use crate::support::tls::Authority;

use case::Case;

const SEEDS: u64 = 50;
/// Most of a run is waiting.
const AT_ONCE: usize = 32;

#[test]
fn seeds() {
    let seeds = asked("FAULT", SEEDS);
    let registries = Registries::start();
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Vec<u64>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    if let Err(story) = run(seed, registries.of(seed)) {
                        // At once: the rest of a long run may take its time, or hang.
                        writeln!(std::io::stderr(), "{story}").unwrap();
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

/// One of each kind, and one more over TLS of those that speak it.
struct Registries {
    plain: Vec<Registry>,
    tls: Vec<Registry>,
    _certificates: TempDir,
}

impl Registries {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("tests");
        let identity = authority.issue(&["localhost", "127.0.0.1"]);
        let (certificate, key) = identity.write(dir.path());
        let ca = authority.write(dir.path());
        let setup = Setup {
            tls: Some(Tls {
                certificate,
                key,
                ca,
            }),
            ..Setup::default()
        };
        let speaks = |kind: &Kind| matches!(kind, Kind::Distribution2 | Kind::Distribution3);
        let start = |kind| Registry::start_with(kind, setup.clone());
        let tls = available().into_iter().filter(speaks).map(start);
        Self {
            plain: available().into_iter().map(Registry::start).collect(),
            tls: tls.collect(),
            _certificates: dir,
        }
    }

    /// Every fourth seed of a kind goes over TLS.
    fn of(&self, seed: u64) -> &Registry {
        let kinds = self.plain.len() as u64;
        let plain = &self.plain[(seed % kinds) as usize];
        let tls = self.tls.iter().find(|tls| tls.kind() == plain.kind());
        match tls {
            Some(tls) if seed / kinds % 4 == 3 => tls,
            _ => plain,
        }
    }
}

/// One seed; what there is to know about it when it goes wrong.
fn run(seed: u64, registry: &Registry) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let case = Case::new(seed, registry, dir.path());
    let mut proxy = Proxy::to(registry.address());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        case.run(registry, &mut proxy, dir.path())
    }));
    let Err(panic) = outcome else {
        return Ok(());
    };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    let struck = proxy.struck();
    Err(format!(
        "\nseed {seed} failed: {case}\nstruck:\n  {}\n{}\nagain: HOIST_FAULT_SEED={seed} cargo test \
         --test it faults::seeds",
        struck.join("\n  "),
        text.unwrap_or_default()
    ))
}
