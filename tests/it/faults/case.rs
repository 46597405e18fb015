//! What one seed means: an image or several, how they are pushed, and what goes wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use hoist::image::digest::Digest;

use super::judge::{Judge, Wanted};
use crate::support::archives::{
    ImageSpec, Layout, containerd_archive, docker_archive, docker25_archive, layout, oci_archive,
};
use crate::support::command::{Command, hoist};
use crate::support::fault::{Ending, Plan, Random, STALL};
use crate::support::proxy::Proxy;
use crate::support::registry::{Kind, Registry};

pub(super) struct Case {
    seed: u64,
    kind: Kind,
    /// Over TLS, for who trusts this.
    ca: Option<PathBuf>,
    form: Form,
    source: PathBuf,
    /// By name without the host: what the tag has to stand for.
    wanted: Vec<(String, Wanted)>,
    options: Vec<String>,
    json: bool,
    /// Whether hoist may remember things.
    remembers: bool,
    pub(super) plan: Plan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Layout,
    Index,
    OciArchive,
    Docker,
    Docker25,
    Containerd,
}

impl Case {
    pub(super) fn new(seed: u64, registry: &Registry, dir: &Path) -> Self {
        let mut random = Random::new(seed);
        let ca = registry.ca().map(Path::to_path_buf);
        let plan = Plan::new(&mut random, ca.is_none());
        let form = random.one_of(&[
            Form::Layout,
            Form::Layout,
            Form::Index,
            Form::OciArchive,
            Form::Docker,
            Form::Docker,
            Form::Docker25,
            Form::Containerd,
        ]);
        let specs = specs(seed, &mut random);
        let source = dir.join("source");
        let names = specs
            .iter()
            .map(|spec| format!("s{seed}/{}", spec.names[0]));
        let wanted = names.zip(write(form, &source, &specs)).collect();
        Self {
            seed,
            kind: registry.kind(),
            form,
            source,
            wanted,
            options: options(&mut random, &plan, ca.is_some()),
            ca,
            json: !random.once_in(3),
            remembers: random.once_in(2),
            plan,
        }
    }

    fn retries(&self) -> usize {
        match self.plan.has_end() {
            // More than are needed, for the machine may be busy.
            true => self.plan.strikes() + 5,
            // Half a minute of trying to connect would be free.
            false => usize::from(self.plan.ending != Ending::Fails(5, "unreachable")),
        }
    }

    fn command(&self, proxy: &Proxy, dir: &Path) -> Command {
        let command = hoist(["push", "--progress", "none"])
            .args(&self.options)
            .arg("--stall-timeout")
            .arg(format!("{}ms", STALL.as_millis()))
            .arg(&self.source)
            .arg(format!("{}/s{}/", proxy.address(), self.seed));
        let command = match &self.ca {
            Some(ca) => command.arg("--ca-cert").arg(ca),
            None => command,
        };
        let command = match self.json {
            true => command.args(["-o", "json"]),
            false => command,
        };
        match self.remembers {
            true => command
                .env("XDG_STATE_HOME", dir.join("state"))
                .env("XDG_CACHE_HOME", dir.join("cache")),
            false => command,
        }
    }

    /// Once with what goes wrong; when it fails once more without.
    pub(super) fn run(&self, registry: &Registry, proxy: &mut Proxy, dir: &Path) {
        let judge = Judge {
            registry,
            wanted: &self.wanted,
            json: self.json,
        };
        self.plan.begin(proxy);
        let retries = self.retries();
        let command = self.command(proxy, dir);
        let out = command.arg("--retries").arg(retries.to_string()).run();
        judge.is_true(&out);
        let bound = self.plan.bound(retries + 1);
        assert!(out.elapsed < bound, "not within {bound:?}: {out}");
        match self.plan.ending {
            Ending::Arrives => judge.all_is_there(&out),
            Ending::ArrivesOrRefused if out.code() == Some(0) => judge.all_is_there(&out),
            Ending::ArrivesOrRefused => {
                let flipped = |line: &String| line.contains("Flip") && line.contains("/manifests/");
                assert!(
                    proxy.struck().iter().any(flipped),
                    "no reason to fail: {out}"
                );
                judge.failed(&out, 1, "refused");
            }
            Ending::Fails(code, kind) => judge.failed(&out, code, kind),
        }
        if out.code() != Some(0) {
            Plan::end(proxy);
            let again = self.command(proxy, dir).run();
            judge.is_true(&again);
            judge.all_is_there(&again);
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.wanted.iter().map(|(name, _)| name.as_str()).collect();
        write!(
            f,
            "{:?} with {} to {}{}, {}\nplan: {}",
            self.form,
            names.join(", "),
            self.kind.name(),
            self.ca.as_ref().map_or("", |_| " over TLS"),
            self.options.join(" "),
            self.plan
        )
    }
}

fn options(random: &mut Random, plan: &Plan, is_tls: bool) -> Vec<String> {
    let mut options = vec![format!("-j{}", random.one_of(&[1, 2, 4, 8, 16]))];
    if random.once_in(4) {
        let size = random.one_of(&["64KiB", "100KB", "512KiB", "1MiB"]);
        options.extend(["--chunk-size".into(), size.into()]);
    }
    if random.once_in(4) {
        options.extend(["--images".into(), random.one_of(&["1", "2"]).into()]);
    }
    // Without it both ways of speaking are tried, and both fail.
    if (random.once_in(2) || !plan.has_end()) && !is_tls {
        options.push("--plain-http".into());
    }
    options
}

/// One image or several that share layers; each has one that does not go through at once.
fn specs(seed: u64, random: &mut Random) -> Vec<ImageSpec> {
    let count = random.one_of(&[1, 1, 2, 4]);
    let layer_of = |number: u64| (seed + 1) * 1000 + number;
    let shared: Vec<usize> = (0..random.below(3)).map(|_| size(random)).collect();
    (0..count)
        .map(|number| {
            let mut spec = ImageSpec::new(&format!("app-{number}:1"));
            for (place, size) in shared.iter().enumerate() {
                spec = spec.layer(layer_of(place as u64), *size);
            }
            let large = random.magnitude(150_000, 3_000_000) as usize;
            spec = spec.layer(layer_of(100 + number), large);
            match random.once_in(2) {
                true => spec.layer(layer_of(200 + number), size(random)),
                false => spec,
            }
        })
        .collect()
}

fn size(random: &mut Random) -> usize {
    random.magnitude(100, 1_500_000) as usize
}

/// Writes the images in that form, and says what each becomes.
fn write(form: Form, path: &Path, specs: &[ImageSpec]) -> Vec<Wanted> {
    let digests = |digests: Vec<Digest>| digests.into_iter().map(Wanted::Manifest).collect();
    match form {
        Form::Layout => digests(layout(path, specs)),
        Form::OciArchive => digests(oci_archive(path, specs)),
        Form::Containerd => digests(containerd_archive(path, specs)),
        Form::Index => digests(indexes(path, specs)),
        Form::Docker | Form::Docker25 => {
            match form {
                Form::Docker => docker_archive(path, specs),
                _ => docker25_archive(path, specs),
            };
            specs.iter().cloned().map(Wanted::Made).collect()
        }
    }
}

/// Each image for two platforms.
fn indexes(path: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    let mut layout = Layout::create(path);
    let mut digests = Vec::new();
    for spec in specs {
        let other = spec.clone().architecture("arm64").layer(77, 5_000);
        let index = layout.index(&[layout.image(spec), layout.image(&other)]);
        let digest = Digest::parse(index["digest"].as_str().unwrap()).unwrap();
        digests.push(digest);
        layout.enter(index, Some(&spec.names[0]));
    }
    layout.finish();
    digests
}
