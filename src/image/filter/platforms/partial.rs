//! An index of which only a part is in the source, cut down to that part.

use std::collections::HashSet;

use crate::image::digest::Digest;
use crate::image::filter::platforms::{ATTESTED, alone, entries, untouched, with_new_root};
use crate::image::found::list;
use crate::image::manifest::Descriptor;
use crate::image::platform::Platform;
use crate::image::source::{Node, Tree};

/// Of the index `tree` what the source holds all of: of one image its manifest, of several an index
/// of them with their attestations; and a sentence about it that begins with the image. `None` when
/// it is whole, when it is no index, and when no image in it is whole.
///
/// # Errors
/// A sentence, when the index cannot be written anew.
pub(crate) fn complete(tree: &Tree) -> Result<Option<(Tree, String)>, String> {
    let root = &tree.root().manifest;
    let partial = partial(tree);
    if !root.media_type().is_index() || !partial.contains(root.digest()) {
        return Ok(None);
    }
    let about_others = about_others(tree);
    let kept = tree.nodes.iter().filter(|node| {
        let digest = node.manifest.digest();
        let is_index = node.manifest.media_type().is_index();
        !is_index && !partial.contains(digest) && !about_others.contains(digest)
    });
    let kept: Vec<&Node> = kept.collect();
    if !kept.iter().any(|node| node.manifest.is_image()) {
        return Ok(None);
    }
    let digests = kept.iter().map(|node| node.manifest.digest()).collect();
    let whole = untouched(tree, digests, &partial);
    let (smaller, pushed) = match kept[..] {
        [one] => (alone(one), format!("the manifest for {}", label(one))),
        _ => {
            let smaller = with_new_root(tree, entries(tree, &whole)?)?;
            let all = list(kept.iter().map(|node| label(node)).collect());
            (smaller, format!("an index of {all}"))
        }
    };
    let without = list(left_out(tree, &whole, &about_others));
    let note =
        format!("is here only in part: {pushed} is pushed instead of its index, without {without}");
    Ok(Some((smaller, note)))
}

/// The manifests that are not in the source, or not with all that they name.
fn partial(tree: &Tree) -> HashSet<&Digest> {
    let mut partial: HashSet<&Digest> = tree.elsewhere.iter().map(|d| &d.digest).collect();
    // Children come before parents.
    for node in &tree.nodes {
        let children = node.manifest.children().iter();
        let mut below = children.map(|child| &child.digest);
        if !node.has_its_blobs() || below.any(|child| partial.contains(child)) {
            partial.insert(node.manifest.digest());
        }
    }
    partial
}

/// Attestations and referrers: no images of their own.
fn about_others(tree: &Tree) -> HashSet<&Digest> {
    let described = tree.nodes.iter().flat_map(|node| node.manifest.children());
    let described = described.filter(|descriptor| descriptor.annotation(ATTESTED).is_some());
    let referring = tree.nodes.iter().filter(|n| n.manifest.subject().is_some());
    let described = described.map(|descriptor| &descriptor.digest);
    described
        .chain(referring.map(|node| node.manifest.digest()))
        .collect()
}

/// The images that are not in `whole`; where these are all, it is about attestations.
fn left_out(tree: &Tree, whole: &HashSet<&Digest>, about_others: &HashSet<&Digest>) -> Vec<String> {
    let mut seen = HashSet::new();
    let held: HashSet<&Digest> = tree.nodes.iter().map(|n| n.manifest.digest()).collect();
    let named = tree.nodes.iter().flat_map(|node| node.manifest.children());
    let left = named.filter(|descriptor| {
        let digest = &descriptor.digest;
        // An index that is here is named by what is in it.
        let is_leaf = descriptor.media_type.is_manifest() || !held.contains(digest);
        is_leaf && !whole.contains(digest) && !about_others.contains(digest) && seen.insert(digest)
    });
    let left: Vec<String> = left.map(described).collect();
    match left.is_empty() {
        true => vec!["attestations".into()],
        false => left,
    }
}

fn label(node: &Node) -> String {
    let platform = node.platform.as_ref();
    platform.map_or_else(|| node.manifest.digest().to_string(), Platform::shown)
}

fn described(descriptor: &Descriptor) -> String {
    let platform = descriptor.platform.as_ref();
    platform.map_or_else(|| descriptor.digest.to_string(), Platform::shown)
}

#[cfg(test)]
mod tests;
