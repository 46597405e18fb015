//! `index.json` of a layout that is served.

use crate::image::manifest::Manifest;
use crate::image::reference::{Repository, Tag};
use crate::serve::store::index::Index;
use crate::soak::{Outcome, Target, fixture};

pub(in crate::serve) fn target() -> Target {
    let examples = ["umoci", "oras", "buildx", "crane-multi"];
    let examples = examples.map(|folder| fixture(&format!("{folder}/index.json")));
    let words = "\"schemaVersion\":2 \"manifests\": \"annotations\": \"org.opencontainers.image.ref.name\": \
        \"digest\": \"size\": \"mediaType\": \"artifactType\": sha256:";
    Target::new("served index.json", examples, served).words(words.split(' '))
}

const MANIFEST: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// A tag is set, moved and taken away; all others stay.
fn served(input: &[u8]) -> Outcome {
    let mut index = match Index::parse(input) {
        Ok(index) => index,
        Err(error) => return Outcome::refused(error),
    };
    let names = |of: &Index| {
        let mut names: Vec<String> = of.tags().map(|tag| tag.to_string()).collect();
        names.sort();
        names
    };
    let mine = Tag::parse("soak").unwrap();
    let mut before = names(&index);
    before.retain(|name| *name != "soak");
    let manifest = Manifest::parse(MANIFEST, None, None).unwrap();
    index.set(&Repository::parse("a/b").unwrap(), &mine, &manifest);
    assert_eq!(index.tag(&mine), Some(manifest.digest()));
    assert!(index.names(manifest.digest()));
    let written = index.to_bytes().unwrap();
    let mut again = Index::parse(&written).unwrap();
    assert_eq!(again.tag(&mine), Some(manifest.digest()));
    assert_eq!(names(&again), names(&index));
    again.untag(&mine);
    assert!(again.tag(&mine).is_none());
    assert_eq!(names(&again), before);
    again.remove(manifest.digest());
    assert!(!again.names(manifest.digest()));
    Outcome::accepted().with(before.len().min(9))
}
