//! One source of each form that a push treats in its own way.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::archives::{ImageSpec, Layout, docker_archive, layout};

/// Each has what goes to `app:1`.
pub(crate) struct Sources {
    /// A layout of one image of two layers.
    pub(crate) simple: PathBuf,
    /// An index within an index: two configs, three layers and four manifests.
    pub(crate) nested: PathBuf,
    /// An archive of one image of two layers with three names in two repositories, one of the layers large
    /// enough to be streamed.
    pub(crate) docker: PathBuf,
}

impl Sources {
    pub(crate) fn new(dir: &Path) -> Self {
        let sources = Self {
            simple: dir.join("simple"),
            nested: dir.join("nested"),
            docker: dir.join("docker.tar"),
        };
        let spec = ImageSpec::new("app:1").layer(1, 300_000);
        layout(&sources.simple, &[spec.clone().layer(2, 5_000)]);
        let mut many = Layout::create(&sources.nested);
        let leaves: Vec<Value> = (0..2)
            .map(|n| many.image(&ImageSpec::new("app:1").layer(7, 9_000).layer(10 + n, 4_000)))
            .collect();
        let inner = many.index(&leaves[..1]);
        let outer = many.index(&[inner, leaves[0].clone(), leaves[1].clone()]);
        many.enter(outer, Some("app:1"));
        many.finish();
        let names = spec.also("app:2").also("other/app:1");
        docker_archive(&sources.docker, &[names.layer(2, 3 << 20)]);
        sources
    }
}
