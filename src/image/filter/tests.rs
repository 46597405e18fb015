//! Images made up in memory, and what a filter takes of them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::image::digest::Digest;
use crate::image::source::{Layer, LayerForm, Parts, Place, Source, Stored};

/// A source with a path and no bytes: filters read none.
struct Unread(PathBuf);

impl Source for Unread {
    fn path(&self) -> &Path {
        &self.0
    }

    fn open(&self, _: &Place, _: u64) -> io::Result<Box<dyn Read + Send>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(super) fn source() -> Arc<dyn Source> {
    Arc::new(Unread("dir/my-app.tar".into()))
}

pub(super) fn names(texts: &[&str]) -> Vec<FoundName> {
    let name = |text: &&str| match text.strip_prefix(':') {
        Some(tag) => FoundName::from_annotations(None, Some(tag))
            .unwrap()
            .unwrap(),
        None => FoundName::from_reference(text).unwrap(),
    };
    texts.iter().map(name).collect()
}

/// As of `docker save`: 10 bytes of config and 100 of one layer.
fn docker_archive(found: &[&str], platform: Option<&str>) -> Image {
    let config: Arc<[u8]> = Arc::from(&b"0123456789"[..]);
    let layer = Layer {
        stored: Stored::new(source(), Place::Extent { offset: 512 }, 100),
        diff_id: Digest::of(b"layer"),
        form: LayerForm::Plain,
    };
    let parts = Parts {
        config_digest: Digest::of(&config),
        config,
        platform: platform.map(|text| text.parse().unwrap()),
        layers: vec![layer],
    };
    Image {
        source: source(),
        names: names(found),
        content: Content::Made(parts),
    }
}

pub(super) fn taken(filter: &Filter, image: Image) -> Image {
    match filter.apply(image).unwrap() {
        Selection::Taken { image, .. } => image,
        Selection::LeftOut(why) => panic!("left out: {why}"),
    }
}

pub(super) fn left_out(filter: &Filter, image: Image) -> String {
    match filter.apply(image).unwrap() {
        Selection::Taken { .. } => panic!("taken"),
        Selection::LeftOut(why) => why,
    }
}

fn globs(include: &[&str], exclude: &[&str]) -> Filter {
    let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
    Filter {
        include: owned(include),
        exclude: owned(exclude),
        ..Filter::default()
    }
}

pub(super) fn platforms(texts: &[&str]) -> Filter {
    let platforms = texts.iter().map(|text| text.parse().unwrap()).collect();
    Filter {
        platforms,
        ..Filter::default()
    }
}

#[test]
fn takes_everything_by_default() {
    let found = ["nginx:1", ":x", "nginx"];
    let image = taken(&Filter::default(), docker_archive(&found, None));
    assert_eq!(image.names, names(&found));
}

#[test]
fn keeps_the_names_that_match() {
    let app = &["q.example/team/app:1", "q.example/team/app:2"][..];
    for (include, exclude, found, kept) in [
        (
            &["nginx:*"][..],
            &[][..],
            &["nginx:1", "redis:7"][..],
            &["nginx:1"][..],
        ),
        (
            &["library/nginx:*"],
            &[],
            &["nginx:1", "redis:7"],
            &["nginx:1"],
        ),
        (&["nginx"], &[], &["nginx:1", "redis:7"], &["nginx:1"]),
        (&["team/*"], &[], app, app),
        (&["**:2"], &[], app, &app[1..]),
        (&[], &["**:2"], app, &app[..1]),
        (&["team/*"], &["*/*:1"], app, &app[1..]),
        (
            &["nginx:1", "redis:*"],
            &[],
            &["nginx:1", "redis:7", "x:1"],
            &["nginx:1", "redis:7"],
        ),
        (&["nginx:latest"], &[], &["nginx"], &["nginx"]),
        (&["nginx:1"], &[], &["nginx", "nginx:1"], &["nginx:1"]),
        (
            &["team/app:3"],
            &[],
            &["q.example/team/app:1", ":3"],
            &["q.example/team/app:3"],
        ),
        (&["my-app:latest"], &[], &[], &[]),
        (&["my-app:9"], &[], &[":9"], &[":9"]),
        (&["my-app"], &["*:latest"], &[":9"], &[":9"]),
    ] {
        let image = taken(&globs(include, exclude), docker_archive(found, None));
        assert_eq!(
            image.names,
            names(kept),
            "{include:?} {exclude:?} {found:?}"
        );
    }
}

#[test]
fn an_image_without_a_tag_can_be_asked_for_by_its_digest() {
    let image = docker_archive(&[], None);
    let short = image.identity().short().to_owned();
    taken(&globs(&[&format!("my-app:{short}")], &[]), image);
}

#[test]
fn says_why_no_name_is_left() {
    for (include, exclude, found, why) in [
        (
            &["redis:*"][..],
            &[][..],
            &["nginx:1", "x:2"][..],
            "no name of it matches --include (it has nginx:1, x:2)",
        ),
        (&["docker.io/**"], &[], &["nginx:1"], "matches --include"),
        (
            &["q.example/**"],
            &[],
            &["q.example/team/app:1"],
            "matches --include (it has team/app:1)",
        ),
        (
            &["nginx"],
            &["**"],
            &["nginx:1"],
            "no name of it is left after --exclude",
        ),
        (&[], &["nginx:1"], &["nginx:1"], "is left after --exclude"),
        (
            &[],
            &["my-app:*"],
            &[],
            "is left after --exclude (it has my-app:latest)",
        ),
        (
            &["other"],
            &[],
            &[],
            "matches --include (it has my-app:latest)",
        ),
    ] {
        let told = left_out(&globs(include, exclude), docker_archive(found, None));
        assert!(told.contains(why), "{include:?} {exclude:?}: {told}");
    }
}

#[test]
fn bounds_on_the_size_are_included() {
    for (min_size, max_size, why) in [
        (Some(110), Some(110), None),
        (
            Some(111),
            None,
            Some("its 110 bytes are fewer than --min-size"),
        ),
        (
            None,
            Some(109),
            Some("its 110 bytes are more than --max-size"),
        ),
    ] {
        let filter = Filter {
            min_size,
            max_size,
            ..Filter::default()
        };
        let image = docker_archive(&["a:1"], None);
        match why {
            None => drop(taken(&filter, image)),
            Some(why) => assert_eq!(left_out(&filter, image), why),
        }
    }
}

#[test]
fn a_single_image_is_taken_or_not() {
    let arm = || docker_archive(&["a:1"], Some("linux/arm64/v8"));
    taken(&platforms(&["linux/arm64"]), arm());
    taken(&platforms(&["linux/amd64", "linux/arm64"]), arm());
    let told = left_out(&platforms(&["linux/amd64", "linux/s390x"]), arm());
    assert_eq!(
        told,
        "it is for linux/arm64/v8, not for linux/amd64, linux/s390x"
    );
    let silent = left_out(&platforms(&["linux/amd64"]), docker_archive(&["a:1"], None));
    assert_eq!(silent, "it does not say that it is for linux/amd64");
}
