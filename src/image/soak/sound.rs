//! What must hold of images that were found in whatever there was.

use std::io::Read as _;

use crate::image::error::ImageError;
use crate::image::filter::{Filter, Selection, complete};
use crate::image::found::Found;
use crate::image::name::FoundName;
use crate::image::source::{Body as _, Content, Image, Place, Stored};
use crate::soak::Outcome;

/// Most of each blob that is read.
const MOST: u64 = 1 << 20;

/// `length`: of the file or what it decompresses to, where that is known.
pub(super) fn judge(found: Result<Found, ImageError>, length: Option<u64>) -> Outcome {
    let found = match found {
        Ok(found) => found,
        Err(error) => return Outcome::refused(error),
    };
    let counts = (found.images.len().min(9), found.broken.len().min(9));
    let mut outcome = match counts {
        (0, 0) => Outcome::refused("nothing was found"),
        _ => Outcome::accepted(),
    };
    outcome = outcome.with(counts);
    for image in found.images.iter().take(20) {
        sound(image, length);
        outcome = choose(image, outcome);
    }
    for broken in &found.broken {
        assert!(!broken.problems.is_empty());
        outcome = broken.problems.iter().fold(outcome, Outcome::saying);
    }
    found.warnings.iter().fold(outcome, Outcome::saying)
}

fn sound(image: &Image, length: Option<u64>) {
    for name in &image.names {
        assert!(name.repository.is_none() || FoundName::from_reference(&name.to_string()).is_ok());
    }
    match &image.content {
        Content::Found(tree) => {
            let mut seen: Vec<_> = tree.elsewhere.iter().map(|d| &d.digest).collect();
            for node in &tree.nodes {
                let (manifest, blobs) = (&node.manifest, node.blobs.iter().chain(&node.foreign));
                assert!(manifest.digest().matches(manifest.bytes()));
                let children = manifest.children().iter().map(|child| &child.digest);
                children.for_each(|child| assert!(seen.contains(&child), "{child} comes later"));
                for (descriptor, stored) in blobs {
                    assert_eq!(descriptor.size, stored.size());
                    lies_inside(stored, length);
                }
                seen.push(manifest.digest());
            }
        }
        Content::Made(parts) => {
            assert!(parts.config_digest.matches(&parts.config));
            let layers = parts.layers.iter();
            layers.for_each(|layer| lies_inside(&layer.stored, length));
        }
    }
    image.stored_size();
}

/// Within its file, and read as exactly the bytes that there are to be, or not to the end.
fn lies_inside(stored: &Stored, length: Option<u64>) {
    if let (Place::Extent { offset }, Some(length)) = (stored.place(), length) {
        let end = offset.checked_add(stored.size());
        assert!(
            end.is_some_and(|end| end <= length),
            "{stored:?} of {length}"
        );
    }
    let size = stored.size();
    assert!(stored.open(size.saturating_add(1)).is_err());
    for offset in [0, size / 2, size] {
        let Ok(reader) = stored.open(offset) else {
            continue;
        };
        let mut bytes = Vec::new();
        let read = reader.take(MOST).read_to_end(&mut bytes);
        let expected = (size - offset).min(MOST);
        assert!(
            read.is_err() || bytes.len() as u64 == expected,
            "{stored:?} from {offset}"
        );
    }
}

/// Some of the platforms, and what is here of an index.
fn choose(image: &Image, mut outcome: Outcome) -> Outcome {
    let one = vec!["linux/amd64".parse().unwrap()];
    let two = vec![
        "linux/arm64".parse().unwrap(),
        "linux/amd64".parse().unwrap(),
    ];
    for platforms in [vec![], one, two] {
        let filter = Filter {
            platforms,
            partial_index: true,
            ..Filter::default()
        };
        outcome = match filter.apply(image.clone()) {
            Ok(Selection::Taken { image, note }) => {
                sound(&image, None);
                note.into_iter().fold(outcome, Outcome::saying)
            }
            Ok(Selection::LeftOut(why)) => outcome.saying(why),
            Err(error) => outcome.saying(error),
        };
    }
    if let Content::Found(tree) = &image.content
        && let Err(problem) = complete(tree)
    {
        outcome = outcome.saying(problem);
    }
    outcome
}
