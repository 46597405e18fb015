//! Folders: OCI layouts and skopeo's own, some of whose blobs are links that lead out.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::image::digest::Digest;
use crate::image::layout::{Form, read};
use crate::image::soak::JSON;
use crate::image::soak::sound::judge;
use crate::image::source::{Content, Image, Place};
use crate::soak::{Outcome, Target, fixture};

pub(super) fn targets() -> Vec<Target> {
    let outside = Digest::of(OUTSIDE.as_bytes()).to_string();
    let index = |folder: &str| fixture(&format!("{folder}/index.json"));
    let folders = ["crane-multi", "umoci", "buildx", "oras"];
    let mut indexes: Vec<Vec<u8>> = folders.into_iter().map(index).collect();
    indexes.push(
        format!(
            "{{\"schemaVersion\":2,\"manifests\":[{}]}}",
            descriptor(&outside)
        )
        .into(),
    );
    let manifests = [fixture("skopeo-dir/manifest.json"), OUTSIDE.into()];
    vec![
        target("index.json", indexes, Form::Oci, outside.clone()),
        target(
            "manifest.json of skopeo",
            manifests.into(),
            Form::Directory,
            outside,
        ),
    ]
}

/// A manifest beside the folders, which links in them lead to.
const OUTSIDE: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

fn descriptor(digest: &str) -> String {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let size = OUTSIDE.len();
    format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{digest}\",\"size\":{size}}}")
}

fn target(name: &'static str, examples: Vec<Vec<u8>>, form: Form, outside: String) -> Target {
    let folder = OnceCell::new();
    let words = [descriptor(&outside), outside];
    Target::new(name, examples, move |input| {
        let folder = folder.get_or_init(|| Folder::new(form));
        folder.look_into(input)
    })
    .words(JSON.split_whitespace())
    .words(words.map(String::into_bytes))
}

struct Folder {
    form: Form,
    _all: TempDir,
    layout: PathBuf,
}

impl Folder {
    fn new(form: Form) -> Self {
        let all = tempfile::tempdir().unwrap();
        let layout = all.path().join("layout");
        let blobs = match form {
            Form::Oci => layout.join("blobs/sha256"),
            Form::Directory => layout.clone(),
        };
        fs::create_dir_all(&blobs).unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        for folder in ["crane-multi", "umoci", "buildx"] {
            for entry in fs::read_dir(fixtures.join(folder).join("blobs/sha256")).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), blobs.join(entry.file_name())).unwrap();
            }
        }
        fs::write(all.path().join("manifest"), OUTSIDE).unwrap();
        fs::write(all.path().join("config"), "{}").unwrap();
        let link = |content: &[u8], name: &str| {
            let digest = Digest::of(content);
            symlink(all.path().join(name), blobs.join(digest.encoded())).unwrap();
        };
        link(OUTSIDE.as_bytes(), "manifest");
        link(b"{}", "config");
        Self {
            form,
            _all: all,
            layout,
        }
    }

    fn look_into(&self, input: &[u8]) -> Outcome {
        let list = match self.form {
            Form::Oci => "index.json",
            Form::Directory => "manifest.json",
        };
        fs::write(self.layout.join(list), input).unwrap();
        let found = read(&self.layout, self.form, false, &|| false);
        let images = found.iter().flat_map(|found| &found.images);
        images.for_each(|image| self.stays_inside(image));
        judge(found, None)
    }

    fn stays_inside(&self, image: &Image) {
        let Content::Found(tree) = &image.content else {
            return;
        };
        for node in &tree.nodes {
            let root = node.manifest.digest();
            assert!(self.form == Form::Directory || !root.matches(OUTSIDE.as_bytes()));
            for (_, stored) in node.blobs.iter().chain(&node.foreign) {
                let Place::Blob(digest) = stored.place() else {
                    continue;
                };
                assert!(!digest.matches(b"{}"), "{digest} lies outside");
            }
        }
    }
}
