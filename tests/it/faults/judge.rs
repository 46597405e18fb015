//! Whether what hoist said of a push is what the registry has.

use std::collections::BTreeMap;
use std::io::Read as _;

use hoist::image::digest::Digest;
use serde_json::Value;

use crate::support::archives::ImageSpec;
use crate::support::command::Output;
use crate::support::pushing::{arrived, read_manifest};
use crate::support::registry::Registry;

/// What a tag has to stand for.
pub(super) enum Wanted {
    Manifest(Digest),
    /// A manifest that hoist makes, with this config and these layers.
    Made(ImageSpec),
}

/// Reads from the registry itself, not over the network that fails.
pub(super) struct Judge<'a> {
    pub(super) registry: &'a Registry,
    pub(super) wanted: &'a [(String, Wanted)],
    pub(super) json: bool,
}

impl Judge<'_> {
    /// Whatever became of the push: all that was said of it holds.
    #[track_caller]
    pub(super) fn is_true(&self, out: &Output) {
        assert!(!out.stderr.contains("panicked"), "{out}");
        assert!(matches!(out.code(), Some(0..=6)), "{out}");
        let pushed = self.pushed(out);
        for (name, digest) in &pushed {
            let wanted = self.wanted.iter().find(|(wanted, _)| wanted == name);
            let (_, wanted) = wanted.unwrap_or_else(|| panic!("{name} was not asked for: {out}"));
            self.is_there(name, digest, wanted);
        }
        if out.code() != Some(0) {
            assert!(out.stderr.contains("error: "), "{out}");
            assert!(pushed.len() < self.wanted.len(), "{out}");
        }
        if self.json {
            self.report_agrees(out, &pushed);
        }
    }

    #[track_caller]
    pub(super) fn all_is_there(&self, out: &Output) {
        assert_eq!(out.code(), Some(0), "{out}");
        assert_eq!(self.pushed(out).len(), self.wanted.len(), "{out}");
    }

    /// Nothing arrived, for that one reason.
    #[track_caller]
    pub(super) fn failed(&self, out: &Output, code: i32, kind: &str) {
        if self.pushed(out).is_empty() {
            assert_eq!(out.code(), Some(code), "{out}");
        } else {
            assert_eq!(out.code(), Some(1), "{out}");
        }
        if !self.json {
            return;
        }
        for image in out.json()["images"].as_array().unwrap() {
            if image["status"] == "failed" {
                assert_eq!(image["error"]["kind"], kind, "{out}");
                assert_eq!(image["error"]["side"], "registry", "{out}");
            }
        }
    }

    /// By name without the host, what standard output says is there.
    fn pushed(&self, out: &Output) -> BTreeMap<String, String> {
        if self.json {
            return arrived(&out.json());
        }
        let lines = out.stdout_lines().into_iter().map(|line| {
            let (name, digest) = line.split_once('@').unwrap();
            let (_, name) = name.split_once('/').unwrap();
            (name.to_owned(), digest.to_owned())
        });
        lines.collect()
    }

    fn is_there(&self, name: &str, digest: &str, wanted: &Wanted) {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let reply = self.registry.manifest(repository, tag);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(Digest::of(&reply.body).as_str(), digest, "{name}");
        let manifest = reply.json();
        read_manifest(self.registry, repository, &manifest);
        match wanted {
            Wanted::Manifest(wanted) => assert_eq!(wanted.as_str(), digest, "{name}"),
            Wanted::Made(spec) => self.is_made_of(repository, &manifest, spec),
        }
    }

    fn is_made_of(&self, repository: &str, manifest: &Value, spec: &ImageSpec) {
        let config = manifest["config"]["digest"].as_str().unwrap();
        assert_eq!(config, spec.config_digest().as_str(), "{repository}");
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), spec.layers.len(), "{repository}");
        for (layer, wanted) in layers.iter().zip(&spec.layers) {
            let blob = self
                .registry
                .blob(repository, layer["digest"].as_str().unwrap());
            let mut tar = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&*blob.body);
            decoder.read_to_end(&mut tar).unwrap();
            assert!(tar == wanted.tar(), "{repository}: {layer}");
        }
    }

    #[track_caller]
    fn report_agrees(&self, out: &Output, pushed: &BTreeMap<String, String>) {
        let report = out.json();
        assert_eq!(
            report["exit_code"].as_i64(),
            out.code().map(i64::from),
            "{out}"
        );
        let outcome = match (out.code(), pushed.len()) {
            (Some(0), _) => "ok",
            (_, 0) => "failed",
            _ => "partial",
        };
        assert_eq!(report["outcome"], outcome, "{out}");
        let images = report["images"].as_array().unwrap();
        assert_eq!(images.len(), self.wanted.len(), "{out}");
        let mut sent = BTreeMap::new();
        for image in images {
            let fails = matches!(image["status"].as_str(), Some("failed"));
            assert_eq!(fails, !image["error"].is_null(), "{out}");
            for blob in image["blobs"].as_array().unwrap() {
                self.blob_agrees(out, blob);
                let home = (blob["repository"].to_string(), blob["digest"].to_string());
                sent.insert(home, blob["sent"].as_u64().unwrap());
            }
        }
        let uploaded = report["bytes"]["uploaded"].as_u64().unwrap();
        if out.code() == Some(0) {
            assert_eq!(uploaded, sent.values().sum::<u64>(), "{out}");
        }
    }

    #[track_caller]
    fn blob_agrees(&self, out: &Output, blob: &Value) {
        let status = blob["status"].as_str().unwrap();
        if !matches!(status, "uploaded" | "mounted" | "present") {
            return;
        }
        let repository = blob["repository"].as_str().unwrap();
        let digest = blob["digest"].as_str().unwrap();
        let stored = self.registry.blob(repository, digest);
        assert_eq!(stored.status, 200, "{digest} is not there: {out}");
        let size = blob["size"].as_u64().unwrap();
        assert_eq!(stored.body.len() as u64, size, "{digest}: {out}");
        if status == "uploaded" {
            let kept = blob["resumed_at"].as_u64().unwrap_or(0);
            let sent = blob["sent"].as_u64().unwrap();
            assert!(sent + kept >= size, "{digest}: {out}");
        }
    }
}
