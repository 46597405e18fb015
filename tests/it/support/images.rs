//! What tests ask of the images that were found.

use std::io::Read as _;
use std::path::Path;

use hoist::image::discover::{Found, Options, discover};
use hoist::image::error::{ErrorKind, ImageError};
use hoist::image::name::FoundName;
use hoist::image::source::{Body, Content, Image, Parts, Tree};

/// All of `path`, which must hold nothing broken and nothing to warn of.
pub(crate) fn whole(path: &Path) -> Vec<Image> {
    let found = discover(path, Options::default()).unwrap();
    assert_silent(&found);
    found.images
}

pub(crate) fn assert_silent(found: &Found) {
    assert!(found.broken.is_empty(), "{:?}", found.broken);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

/// `host/repository:tag`, or `:tag` for a tag alone.
pub(crate) fn names(image: &Image) -> Vec<String> {
    let name = |name: &FoundName| {
        let repository = name.repository.as_ref();
        let repository = repository.map(|(host, path)| format!("{host}/{path}"));
        let tag = name.tag.as_ref().map_or("", |tag| tag.as_str());
        format!("{}:{tag}", repository.unwrap_or_default())
    };
    image.names.iter().map(name).collect()
}

pub(crate) fn tree(image: &Image) -> &Tree {
    match &image.content {
        Content::Found(tree) => tree,
        Content::Made(_) => panic!("a manifest is to be made"),
    }
}

pub(crate) fn parts(image: &Image) -> &Parts {
    match &image.content {
        Content::Found(_) => panic!("a manifest was found"),
        Content::Made(parts) => parts,
    }
}

pub(crate) fn bytes(body: &impl Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.open(0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, body.size());
    bytes
}

pub(crate) fn refusal(path: &Path) -> ImageError {
    match discover(path, Options::default()) {
        Err(error) => error,
        Ok(found) => panic!("{} images, {:?}", found.images.len(), found.broken),
    }
}

pub(crate) fn looked(path: &Path) -> Found {
    discover(path, Options::default()).unwrap()
}

/// The problems of the only image in `path`, which must be broken.
pub(crate) fn problems(path: &Path) -> Vec<String> {
    let found = looked(path);
    assert!(found.images.is_empty(), "an image was found");
    assert_eq!(found.broken.len(), 1, "{:?}", found.broken);
    let broken = &found.broken[0];
    assert_eq!(broken.path, path);
    assert!(
        broken
            .problems
            .iter()
            .all(|p| p.kind() == ErrorKind::Broken)
    );
    broken.problems.iter().map(|p| p.message().into()).collect()
}
