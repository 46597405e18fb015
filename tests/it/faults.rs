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

use crate::support::proxy::Proxy;
use crate::support::registry::{Registry, available};
use crate::support::seeds::asked;

use case::Case;

const SEEDS: u64 = 50;
/// Most of a run is waiting.
const AT_ONCE: usize = 32;

#[test]
fn seeds() {
    let seeds = asked("FAULT", SEEDS);
    let registries: Vec<Registry> = available().into_iter().map(Registry::start).collect();
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
                    let registry = &registries[seed as usize % registries.len()];
                    if let Err(story) = run(seed, registry) {
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

/// One seed; what there is to know about it when it goes wrong.
fn run(seed: u64, registry: &Registry) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let case = Case::new(seed, registry.kind(), dir.path());
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
