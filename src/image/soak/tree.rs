//! Manifests below manifests, whose digests are right whatever was mutated in them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::found::Found;
use crate::image::manifest::Descriptor;
use crate::image::media::OCI_INDEX;
use crate::image::oci::{Blobs, read_index, read_one};
use crate::image::soak::JSON;
use crate::image::soak::sound::judge;
use crate::image::source::{Place, Source, Stored};
use crate::soak::{Outcome, Target};

/// Between two documents.
const LINE: &str = "\n---\n";

/// Documents, each of which may name those before it: `@N` is the digest of the Nth, `#N` its size.
const EXAMPLE: &str = r##"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:@"]}}
---
layer
---
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@0","size":#0},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@1","size":#1},{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"@1","size":#1,"urls":["https://a/b"]}]}
---
{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@0","size":#0},"layers":[{"mediaType":"application/vnd.in-toto+json","digest":"@1","size":#1,"data":"bGF5ZXI="}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@2","size":#2}}
---
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@2","size":#2,"platform":{"os":"linux","architecture":"amd64"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@3","size":#3,"platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.digest":"@2","vnd.docker.reference.type":"attestation-manifest"}}]}
---
{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@4","size":#4,"annotations":{"org.opencontainers.image.ref.name":"1.2","io.containerd.image.name":"docker.io/a/b:c"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@2","size":#2}]}"##;

pub(super) fn target() -> Target {
    let numbers = (0..8).flat_map(|n| [format!("\"@{n}\""), format!("#{n}"), LINE.into()]);
    Target::text("tree of manifests", [EXAMPLE], read)
        .words(JSON.split_whitespace())
        .words(numbers.map(String::into_bytes))
}

fn read(text: &str) -> Outcome {
    let mut blobs = Held::default();
    let mut last = String::new();
    for document in text.split(LINE).take(40) {
        last = blobs.fill_in(document);
        blobs.add(last.as_bytes());
    }
    let mut found = Found::default();
    let listing = match read_index(last.as_bytes(), &blobs) {
        Ok(listing) => listing,
        Err(why) => return Outcome::refused(why),
    };
    let outer = Descriptor::new(OCI_INDEX, Digest::of(last.as_bytes()), last.len() as u64);
    let roots = listing.roots.into_iter();
    let outer = read_one(outer, &blobs).roots.into_iter();
    for mut root in roots.chain(outer) {
        let note = root.keep_whole();
        found.warnings.extend(
            note.map(|note| crate::image::error::ImageError::broken(Path::new("tree"), note)),
        );
        root.settle(&blobs.source(), &mut found);
    }
    judge(Ok(found), None)
}

#[derive(Default)]
struct Held {
    documents: Vec<(Digest, usize)>,
    blobs: HashMap<Digest, Arc<[u8]>>,
}

impl Held {
    fn add(&mut self, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        self.documents.push((digest.clone(), bytes.len()));
        self.blobs.insert(digest, bytes.into());
    }

    fn fill_in(&self, document: &str) -> String {
        let mut text = document.to_owned();
        for (number, (digest, size)) in self.documents.iter().enumerate().take(10) {
            text = text.replace(&format!("\"@{number}\""), &format!("\"{digest}\""));
            text = text.replace(&format!("#{number}"), &size.to_string());
        }
        text
    }
}

impl Blobs for Held {
    fn find(&self, digest: &Digest) -> Result<Option<Stored>, String> {
        let bytes = self.blobs.get(digest);
        Ok(bytes.map(|bytes| {
            let place = Place::Inline(Arc::clone(bytes));
            Stored::new(self.source(), place, bytes.len() as u64)
        }))
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Nowhere)
    }
}

/// All bytes are in their places.
struct Nowhere;

impl Source for Nowhere {
    fn path(&self) -> &Path {
        Path::new("tree")
    }

    fn open(&self, _: &Place, _: u64) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::other("there is nothing else"))
    }
}
