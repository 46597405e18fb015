//! Indexes of which a part is taken away, and what is made of the rest.

use super::*;
use crate::image::filter::platforms::tests::{Builder, tree};
use crate::image::media;
use crate::image::source::{Place, Stored};

/// Three platforms, two of them with an attestation.
fn three() -> Builder {
    let first = Builder::default().image("linux/amd64", 10).attestation();
    first
        .image("linux/arm64", 20)
        .attestation()
        .image("linux/s390x", 30)
}

/// Takes the manifest at `position` out of the source.
fn lose(tree: &mut Tree, position: usize) {
    let lost = tree.nodes.remove(position).manifest.digest().clone();
    let mut named = tree.nodes.iter().flat_map(|node| node.manifest.children());
    let described = named.find(|descriptor| descriptor.digest == lost).cloned();
    tree.elsewhere.extend(described);
}

fn lose_blob(node: &mut Node) {
    let (descriptor, stored) = node.blobs.last_mut().unwrap();
    let source = stored.source().clone();
    *stored = Stored::new(source, Place::Elsewhere, descriptor.size);
}

fn platforms(tree: &Tree) -> Vec<String> {
    let children = tree.root().manifest.children().iter();
    children
        .map(|child| child.platform.as_ref().unwrap().to_string())
        .collect()
}

#[test]
fn what_is_whole_or_no_index_is_left_alone() {
    let whole = three().under(media::OCI_INDEX);
    assert!(complete(tree(&whole)).unwrap().is_none());
    let mut single = tree(&Builder::default().image("linux/amd64", 10).alone()).clone();
    lose_blob(&mut single.nodes[0]);
    assert!(complete(&single).unwrap().is_none());
    let mut nothing = tree(&three().under(media::OCI_INDEX)).clone();
    for position in [0, 2, 4] {
        lose_blob(&mut nothing.nodes[position]);
    }
    assert!(complete(&nothing).unwrap().is_none());
}

#[test]
fn of_one_platform_its_manifest_is_left() {
    let mut partial = tree(&three().under(media::DOCKER_LIST)).clone();
    let kept = partial.nodes[2].manifest.digest().clone();
    lose(&mut partial, 4);
    lose_blob(&mut partial.nodes[0]);
    let (smaller, note) = complete(&partial).unwrap().unwrap();
    assert_eq!(smaller.nodes.len(), 1);
    assert_eq!(*smaller.root().manifest.digest(), kept);
    assert!(smaller.missing().is_empty());
    assert_eq!(
        note,
        "is here only in part: the manifest for linux/arm64 is pushed instead of its index, \
         without linux/amd64, linux/s390x"
    );
}

#[test]
fn several_platforms_keep_their_own_attestations() {
    let mut partial = tree(&three().under(media::OCI_INDEX)).clone();
    lose(&mut partial, 2);
    let (smaller, note) = complete(&partial).unwrap().unwrap();
    let expected = ["linux/amd64", "unknown/unknown", "linux/s390x"];
    assert_eq!(platforms(&smaller), expected);
    assert_eq!(smaller.nodes.len(), 4);
    assert!(smaller.missing().is_empty());
    assert!(
        note.ends_with(
            "an index of linux/amd64, linux/s390x is pushed instead of its index, without linux/arm64"
        ),
        "{note}"
    );
}

#[test]
fn an_attestation_that_is_lost_is_named_nowhere() {
    let mut partial = tree(&three().under(media::OCI_INDEX)).clone();
    lose(&mut partial, 1);
    let (smaller, note) = complete(&partial).unwrap().unwrap();
    let expected = [
        "linux/amd64",
        "linux/arm64",
        "unknown/unknown",
        "linux/s390x",
    ];
    assert_eq!(platforms(&smaller), expected);
    assert!(smaller.missing().is_empty());
    assert!(note.ends_with("without attestations"), "{note}");
}

#[test]
fn what_is_left_of_an_index_in_an_index_moves_up() {
    let nested = Builder::default().index(three()).image("linux/riscv64", 5);
    let mut partial = tree(&nested.under(media::OCI_INDEX)).clone();
    lose(&mut partial, 2);
    let (smaller, _) = complete(&partial).unwrap().unwrap();
    let expected = [
        "linux/amd64",
        "unknown/unknown",
        "linux/s390x",
        "linux/riscv64",
    ];
    assert_eq!(platforms(&smaller), expected);
}

#[test]
fn long_lists_are_cut() {
    let names = (0..25).map(|n| n.to_string()).collect();
    assert!(list(names).ends_with("18, 19 and 5 more"));
}
