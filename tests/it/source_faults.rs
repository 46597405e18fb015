//! Sources that are written to while their bytes go out: that image fails with a sentence that names them, or
//! arrives as it was; never does a registry end up with something else under its digest, and others go on.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::archives::{
    Form, ImageSpec, LayerSpec, docker_archive, layout, noise, oci_archive,
};
use crate::support::command::{Output, hoist};
use crate::support::pushing::{read_back, read_layers};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, held, on, pass};

/// What sockets hold is small beside it, so that its end is read only when the gate is open.
const LARGE: usize = 16 << 20;

/// What somebody does to a file, and whether what is still to be read of it is not what it was.
type Deed = (&'static str, fn(&Path), bool);
const DEEDS: [Deed; 4] = [
    ("cut", cut, true),
    ("overwritten", overwrite, true),
    ("grown", grow, false),
    ("replaced", replace, false),
];

fn cut(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - (length / 4)).unwrap();
}

/// The last quarter, to the same size.
fn overwrite(path: &Path) {
    let mut file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length - (length / 4))).unwrap();
    let other = noise(77, usize::try_from(length / 4).unwrap());
    file.write_all(&other).unwrap();
}

fn grow(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(&[7; 1 << 16]).unwrap();
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::write(&other, noise(78, 1 << 20)).unwrap();
    fs::rename(other, path).unwrap();
}

fn large() -> [ImageSpec; 1] {
    let layer = LayerSpec {
        seed: 1,
        size: LARGE,
        form: Some(Form::Plain),
    };
    [ImageSpec::new("app:1").with(layer)]
}

/// One large image, and a small one beside it that nobody touches.
struct Site {
    dir: tempfile::TempDir,
    registry: Registry,
}

impl Site {
    fn new(kind: Kind) -> Self {
        let dir = tempdir().unwrap();
        let small = ImageSpec::new("other:1").layer(2, 5_000);
        layout(&dir.path().join("small"), &[small]);
        Self {
            dir,
            registry: Registry::start(kind),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Pushes `source` and the small image, and acts when the large layer is on its way.
    fn push_while(&self, act: impl FnOnce(), source: &Path, options: &[&str]) -> Output {
        let gate = Gate::new();
        let sends = |method| {
            let first = on(method, "/v2/").containing("app/blobs/uploads/").nth(1);
            first.then(held(&gate, pass()))
        };
        let rules = [sends("PUT"), sends("PATCH")];
        let server = Scripted::before(self.registry.address(), rules);
        let running = hoist(["push", "-o", "json", "-j", "1", "--no-cache", "--no-state"])
            .args(options)
            .arg(source)
            .arg(self.path("small"))
            .arg(format!("{}/t/", server.address()))
            .spawn();
        gate.wait_for(1);
        act();
        gate.open();
        running.wait()
    }
}

fn image_of<'a>(report: &'a Value, path: &Path) -> &'a Value {
    let mut images = report["images"].as_array().unwrap().iter();
    let is_it = |image: &&Value| image["source"] == path.to_str().unwrap();
    images.find(is_it).unwrap()
}

/// Either all is right, or the image failed for a reason that names its file. Whether it was pushed.
#[track_caller]
fn expect_honest(site: &Site, output: &Output, source: &Path, spoilt: bool) -> bool {
    let report = output.json();
    // What is said to be there is there, byte by byte.
    read_back(&site.registry, &report);
    let small = image_of(&report, &site.path("small"));
    assert_eq!(small["status"], "pushed", "{output}");
    let image = image_of(&report, source);
    if image["status"] == "pushed" {
        assert!(!spoilt && output.code() == Some(0), "{output}");
        return true;
    }
    assert_eq!(output.code(), Some(1), "{output}");
    let error = &image["error"];
    assert_eq!(error["kind"], "source", "{output}");
    assert_eq!(error["side"], "source", "{output}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(source.to_str().unwrap()), "{message}");
    false
}

/// The system sends such blobs itself, without hoist seeing their bytes: the registry tells.
#[test]
fn blobs_of_a_layout() {
    let original = tempdir().unwrap();
    layout(original.path(), &large());
    for kind in [Kind::Serve, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        for (name, act, spoilt) in DEEDS {
            let site = Site::new(kind);
            let folder = site.path(name);
            copy(original.path(), &folder);
            let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
            let blobs = fs::read_dir(folder.join("blobs/sha256")).unwrap();
            let blobs = blobs.map(|entry| entry.unwrap().path());
            let blob = blobs.max_by_key(size).unwrap();
            let output = site.push_while(|| act(&blob), &folder, &[]);
            expect_honest(&site, &output, &folder, spoilt);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// Compressed layers are read ahead of what goes out, by as much as there are processors: on a large machine all
/// of one may have been read, and then it is right.
#[test]
fn blobs_and_layers_of_archives() {
    let original = tempdir().unwrap();
    let (oci, docker) = (original.path().join("oci"), original.path().join("docker"));
    oci_archive(&oci, &large());
    docker_archive(&docker, &large());
    let plain = ["--compression", "none"];
    for (name, archive, options, is_sure) in [
        ("oci", &oci, &[][..], true),
        ("plain", &docker, &plain, true),
        ("compressed", &docker, &[], false),
    ] {
        for (deed, act, spoilt) in DEEDS {
            let site = Site::new(Kind::Serve);
            let path = site.path(&format!("{deed}-{name}"));
            fs::copy(archive, &path).unwrap();
            let output = site.push_while(|| act(&path), &path, options);
            let is_pushed = expect_honest(&site, &output, &path, spoilt && is_sure);
            // What was compressed is what the archive held, not what somebody put there.
            if is_pushed && name == "compressed" {
                let manifest = site.registry.manifest("t/app", "1").json();
                read_layers(&site.registry, "t/app", &manifest);
            }
        }
    }
}
