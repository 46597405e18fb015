//! A registry that asks for less: all pause, half of them go on, and one after the other comes back.

mod left_alone;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::tempdir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::hoist;
use crate::support::pushing::{arrived, push};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, answer, computed, held, on};

const JOBS: usize = 32;
const IMAGES: usize = 100;

/// How many requests are being answered, and the most there were among the last ones.
#[derive(Default)]
struct Crowd {
    came: AtomicUsize,
    now: AtomicUsize,
    most_at_the_end: AtomicUsize,
}

impl Crowd {
    fn pass(&self) {
        let number = self.came.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        // Whoever had begun when the pause was asked for, and whoever was let begin before that was known.
        if number > 2 * JOBS {
            self.most_at_the_end.fetch_max(now, Ordering::SeqCst);
        }
        // So that they meet, where they may.
        thread::sleep(Duration::from_millis(10));
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn half_of_the_workers_go_on_after_a_pause() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &ImageSpec::many("app", IMAGES, 1, 100));
    let registry = Registry::start(Kind::Serve);
    let there = arrived(&push(dir.path(), &registry, "t/", &[]).expect_code(0).json());
    let crowd = Arc::new(Crowd::default());
    let tell = {
        let crowd = Arc::clone(&crowd);
        computed(move |request| {
            crowd.pass();
            let target = request.target.trim_start_matches("/v2/");
            let (repository, tag) = target.split_once("/manifests/").unwrap();
            let digest = &there[&format!("{repository}:{tag}")];
            answer(200).header("Docker-Content-Digest", digest)
        })
    };
    let gate = Gate::new();
    let busy = answer(429).header("Retry-After", "1");
    let server = Scripted::start([
        on("HEAD", "/v2/").times(JOBS).then(held(&gate, busy)),
        on("HEAD", "/v2/").then(tell),
    ]);
    let jobs = JOBS.to_string();
    let images = IMAGES.to_string();
    let running = hoist([
        "push",
        "-o",
        "json",
        "--plain-http",
        "-j",
        &jobs,
        "--images",
        &images,
    ])
    .arg(dir.path())
    .arg(format!("{}/t/", server.address()))
    .spawn();
    // All of them at once, and each is refused.
    gate.wait_for(JOBS);
    gate.open();
    let output = running.wait().expect_code(0);
    let report = output.json();
    assert_eq!(report["retries"], JOBS, "{output}");
    assert_eq!(report["requests"], IMAGES + JOBS, "{output}");
    // One pause for all of them, of which each moment counts once.
    let paused = report["waited"]["pause_ms"].as_u64().unwrap();
    assert!((1000..10_000).contains(&paused), "{output}");
    assert_eq!(report["waited_ms"], paused, "{output}");
    assert!(
        output.stderr.contains("waited as the registry asked"),
        "{output}"
    );
    // Half of them, and one more for each round that went well.
    let rounds = (IMAGES - JOBS) / (JOBS / 2);
    let most = crowd.most_at_the_end.load(Ordering::SeqCst);
    assert!(most <= JOBS / 2 + rounds, "{most}");
}
