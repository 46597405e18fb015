//! Two pushes of the same image at once, with the same folders for what is remembered; and a push that
//! finds these folders in whatever state.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::{TempDir, tempdir};

use crate::kill::{LargeImage, push, registry_with_room, total};
use crate::support::command::{Command, Output};
use crate::support::counting::Counter;
use crate::support::fault::Random;
use crate::support::registry::{Kind, Registry, available};
use crate::support::waiting::wait_until;

const KIB: usize = 1 << 10;

/// An image, a registry behind a counter, and a folder for state and cache.
struct Site {
    image: LargeImage,
    registry: Registry,
    counter: Counter,
    remembered: TempDir,
}

impl Site {
    fn new(kind: Kind, sizes: impl IntoIterator<Item = usize>) -> Self {
        let image = LargeImage::new(sizes);
        let registry = registry_with_room(kind, image.size());
        Self {
            counter: Counter::before(&registry),
            remembered: tempdir().unwrap(),
            registry,
            image,
        }
    }

    fn push(&self) -> Command {
        push(&self.image.path(), &self.counter, self.remembered.path())
    }

    fn requests(&self, method: &str) -> usize {
        let access = self.registry.access();
        access.iter().filter(|one| one.method == method).count()
    }

    /// Returns when the registry has answered so many.
    fn wait_for_requests(&self, method: &str, count: usize) {
        wait_until(|| self.requests(method) >= count);
    }

    /// Returns when so many are written down.
    fn wait_for_uploads(&self, count: usize) {
        let folder = self.remembered.path().join("state/uploads");
        let written = || fs::read_dir(&folder).map_or(0, Iterator::count);
        wait_until(|| written() >= count);
    }

    /// The registry is as it was at first.
    fn forget_all(&mut self) {
        self.registry.kill();
        fs::remove_dir_all(self.registry.storage()).unwrap();
        self.registry.start_again();
    }

    /// Little more than the image was sent since the counter was asked the last time.
    fn judge(&self, outputs: &[&Output]) {
        let said: Vec<String> = outputs.iter().map(|output| output.to_string()).collect();
        let (sent, size) = (total(&self.counter.take()), self.image.size());
        let story = format!(
            "{:?}: {sent} bytes for {size}: {}",
            self.registry.kind(),
            said.join("\n")
        );
        assert!(sent <= size + size / 20, "{story}");
        self.image.assert_is_in(&self.registry, &story);
    }
}

fn some_mebibytes() -> impl Iterator<Item = usize> {
    [20, 8, 4, 2]
        .map(|size| size << 20)
        .into_iter()
        .chain((1..30).map(|size| size * KIB))
}

#[test]
fn two_pushes_at_once_send_what_one_would() {
    for kind in available() {
        // Neither of the large ones is through before the other push is there.
        let small = (1..30).map(|size| size * KIB);
        let site = Site::new(kind, [20 << 20, 16 << 20].into_iter().chain(small));
        let part = 8 << 20;
        site.counter.hold_at(part);
        let first = site.push().spawn();
        site.counter.wait_for(part);
        site.wait_for_uploads(2);
        let asked = site.requests("HEAD");
        let second = site.push().spawn();
        site.wait_for_requests("HEAD", asked + 1);
        site.counter.release();
        let both = [first, second].map(|running| running.wait().expect_code(0));
        site.judge(&[&both[0], &both[1]]);
    }
}

#[test]
fn who_waited_goes_on_where_another_push_was_killed() {
    for kind in available() {
        let site = Site::new(kind, some_mebibytes());
        let part = site.image.size() / 10 * 6;
        site.counter.hold_at(part);
        let first = site.push().spawn();
        site.counter.wait_for(part);
        let asked = site.requests("HEAD");
        let second = site.push().spawn();
        site.wait_for_requests("HEAD", asked + 1);
        first.signal("KILL");
        let first = first.wait();
        assert_eq!(first.code(), None, "{first}");
        site.counter.release();
        let second = second.wait().expect_code(0);
        if matches!(kind, Kind::Serve | Kind::Distribution3) {
            site.judge(&[&first, &second]);
        } else {
            site.image.assert_is_in(&site.registry, &second.to_string());
        }
    }
}

/// What becomes of a file, by its number.
type Damage = dyn Fn(usize, &[u8]) -> Vec<u8>;

/// What a push leaves that is killed while so many uploads are open: names and contents of files.
fn left_open(site: &Site, uploads: usize) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = site.remembered.path().join("state/uploads");
    // Nearby, small blobs have no file.
    site.counter.lag(Duration::from_millis(50));
    site.counter.hold_at(1);
    let running = site.push().args(["-j", "64"]).spawn();
    let files = || {
        let entries = fs::read_dir(&folder).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        // There is nothing in it for a moment.
        let is_written = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > 0);
        paths
            .filter(|path| path.file_name().unwrap().len() == 64 && is_written(path))
            .collect()
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    wait_until(|| {
        paths = files();
        paths.len() == uploads
    });
    running.signal("KILL");
    running.wait();
    site.counter.release();
    site.counter.lag(Duration::ZERO);
    let with_content = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    paths.into_iter().map(with_content).collect()
}

#[test]
fn a_push_goes_on_whatever_is_in_the_files_of_the_last_one() {
    const UPLOADS: usize = 40;
    let mut site = Site::new(Kind::Serve, vec![257 * KIB; UPLOADS]);
    let left = left_open(&site, UPLOADS);
    let longest = left.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    let cut = |round: usize| {
        move |number: usize, bytes: &[u8]| {
            bytes[..(round * UPLOADS + number) % bytes.len()].to_vec()
        }
    };
    let noise = |number: usize, bytes: &[u8]| {
        let mut random = Random::new(number as u64);
        bytes.iter().map(|_| random.below(256) as u8).collect()
    };
    let version = |version: &'static str| {
        move |_: usize, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let other = text.replace("\"version\":1,", &format!("\"version\":{version},"));
            assert_ne!(other, text);
            other.into_bytes()
        }
    };
    let mut damages: Vec<Box<Damage>> = vec![
        Box::new(noise),
        Box::new(version("2")),
        Box::new(version("0")),
        Box::new(|_, _| Vec::new()),
        Box::new(|_, bytes| bytes.to_vec()),
    ];
    for round in 0..longest.div_ceil(UPLOADS) {
        damages.push(Box::new(cut(round)));
    }
    for (round, damage) in damages.iter().enumerate() {
        site.forget_all();
        for (number, (path, bytes)) in left.iter().enumerate() {
            fs::write(path, damage(number, bytes)).unwrap();
        }
        let output = site.push().run().expect_code(0);
        let warnings = output.stderr.matches("warning").count();
        assert!(warnings <= 1, "round {round}: {output}");
        site.image
            .assert_is_in(&site.registry, &format!("round {round}: {output}"));
    }
}
