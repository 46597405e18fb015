//! An index cut down to some of its platforms: one manifest, or a new index of the ones asked for.
//!
//! Attestations follow the manifest they belong to: buildkit `docs/attestations/attestation-storage.md`.

mod partial;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::vec;

use serde_json::Value;

use crate::image::digest::Digest;
use crate::image::error::json_error;
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::platform::Platform;
use crate::image::source::{Node, Tree};

pub(crate) use crate::image::filter::platforms::partial::complete;

/// Names the manifest that an attestation is about.
const ATTESTED: &str = "vnd.docker.reference.digest";

/// Of the index `tree` what is for `asked`: for one platform the manifest, for several an index of
/// them with their attestations. `None` when nothing is.
///
/// # Errors
/// A sentence, when the index cannot be written anew.
pub(super) fn choose(tree: &Tree, asked: &[Platform]) -> Result<Option<Tree>, String> {
    let accepted = accepted(tree, asked);
    if let [_] = asked {
        let rank = |node: &&Node| accepted.get(node.manifest.digest());
        let images = tree.nodes.iter().filter(|node| rank(node).is_some());
        // Of equals `max_by_key` gives the last, and the first is wanted.
        let best = images.rev().max_by_key(rank);
        return Ok(best.map(alone));
    }
    if accepted.is_empty() {
        return Ok(None);
    }
    let whole = untouched(tree, accepted.into_keys().collect(), &HashSet::new());
    if whole.contains(tree.root().manifest.digest()) {
        return Ok(Some(tree.clone()));
    }
    let entries = entries(tree, &whole)?;
    with_new_root(tree, entries).map(Some)
}

fn alone(node: &Node) -> Tree {
    Tree {
        nodes: vec![node.clone()],
        elsewhere: Vec::new(),
    }
}

/// The manifests of `tree` that are for one of `asked`, those that it names and does not hold among
/// them, and whether that is by the variant which is meant where none is given.
fn accepted<'a>(tree: &'a Tree, asked: &[Platform]) -> HashMap<&'a Digest, bool> {
    let own = tree.nodes.iter().map(|node| {
        let manifest = &node.manifest;
        (
            manifest.digest(),
            manifest.media_type(),
            node.platform.as_ref(),
        )
    });
    let descriptors = tree.nodes.iter().flat_map(|node| node.manifest.children());
    let named = descriptors.map(|d| (&d.digest, &d.media_type, d.platform.as_ref()));
    let mut accepted: HashMap<&Digest, bool> = HashMap::new();
    for (digest, media_type, platform) in own.chain(named) {
        let Some(platform) = platform.filter(|found| !found.is_unknown()) else {
            continue;
        };
        if media_type.is_manifest() && asked.iter().any(|one| one.accepts(platform)) {
            *accepted.entry(digest).or_default() |= platform.is_default_variant();
        }
    }
    accepted
}

/// The images `kept`, what is about them but for `without`, and the indexes of which nothing is taken
/// away.
fn untouched<'a>(
    tree: &'a Tree,
    kept: HashSet<&'a Digest>,
    without: &HashSet<&Digest>,
) -> HashSet<&'a Digest> {
    let mut whole = kept;
    let about = attestations(tree, &whole);
    whole.extend(about.into_iter().filter(|digest| !without.contains(digest)));
    // Children come before parents, so what an index names is decided before it.
    for manifest in tree.nodes.iter().map(|node| &node.manifest) {
        let all = digests(manifest).all(|child| whole.contains(child));
        if manifest.media_type().is_index() && all {
            whole.insert(manifest.digest());
        }
    }
    whole
}

/// The entries of the root that are `whole`, in order; an index of which only a part is left gives
/// its own entries instead.
fn entries(tree: &Tree, whole: &HashSet<&Digest>) -> Result<Vec<Value>, String> {
    let indexes = tree.nodes.iter().map(|node| &*node.manifest);
    let indexes = indexes.filter(|manifest| manifest.media_type().is_index());
    let mut unread: HashMap<&Digest, &Manifest> = indexes
        .map(|manifest| (manifest.digest(), manifest))
        .collect();
    let mut kept = Vec::new();
    let mut open = vec![raw_entries(&tree.root().manifest)?];
    while let Some(index) = open.last_mut() {
        match index.next() {
            None => drop(open.pop()),
            Some((digest, entry)) if whole.contains(&digest) => kept.push(entry),
            // Each is read once, however many name it: documents can be made to nest without bound.
            Some((digest, _)) => {
                if let Some(nested) = unread.remove(&digest) {
                    open.push(raw_entries(nested)?);
                }
            }
        }
    }
    Ok(kept)
}

/// What an index names, with the entries as they stand in its bytes.
fn raw_entries(index: &Manifest) -> Result<vec::IntoIter<(Digest, Value)>, String> {
    let mut document = parse(index)?;
    let Value::Array(raw) = document["manifests"].take() else {
        return Err("an index has no manifests".into());
    };
    let named: Vec<(Digest, Value)> = digests(index).cloned().zip(raw).collect();
    Ok(named.into_iter())
}

fn parse(manifest: &Manifest) -> Result<Value, String> {
    serde_json::from_slice(manifest.bytes()).map_err(|error| json_error(&error))
}

/// The entries of `tree` that are about one of `images`: by annotation, or by `subject`.
fn attestations<'a>(tree: &'a Tree, images: &HashSet<&Digest>) -> Vec<&'a Digest> {
    let about = |descriptor: &&Descriptor| {
        let annotated = descriptor.annotation(ATTESTED);
        annotated
            .is_some_and(|text| Digest::parse(text).is_ok_and(|digest| images.contains(&digest)))
    };
    let described = tree.nodes.iter().flat_map(|node| node.manifest.children());
    let described = described.filter(about).map(|descriptor| &descriptor.digest);
    let refers = |node: &&Node| {
        let subject = node.manifest.subject();
        subject.is_some_and(|subject| images.contains(&subject.digest))
    };
    let referring = tree
        .nodes
        .iter()
        .filter(refers)
        .map(|node| node.manifest.digest());
    described.chain(referring).collect()
}

/// `tree` with `entries` in its root, and without the nodes that nothing names any more.
fn with_new_root(tree: &Tree, entries: Vec<Value>) -> Result<Tree, String> {
    let old = tree.root();
    let mut document = parse(&old.manifest)?;
    document["manifests"] = entries.into();
    let bytes = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
    let manifest = Manifest::parse(bytes, Some(old.manifest.media_type()), None)
        .map_err(|error| format!("the index of the platforms asked for {error}"))?;
    let root = Node {
        manifest: Arc::new(manifest),
        blobs: Vec::new(),
        foreign: Vec::new(),
        platform: None,
    };
    let mut needed: HashSet<Digest> = digests(&root.manifest).cloned().collect();
    let mut nodes = vec![root];
    let (_, below) = tree.nodes.split_last().ok_or("the index is empty")?;
    for node in below.iter().rev() {
        if needed.contains(node.manifest.digest()) {
            needed.extend(digests(&node.manifest).cloned());
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    let elsewhere = tree.elsewhere.iter();
    let elsewhere = elsewhere.filter(|descriptor| needed.contains(&descriptor.digest));
    Ok(Tree {
        elsewhere: elsewhere.cloned().collect(),
        nodes,
    })
}

fn digests(manifest: &Manifest) -> impl Iterator<Item = &Digest> {
    manifest.children().iter().map(|child| &child.digest)
}

#[cfg(test)]
mod tests;
