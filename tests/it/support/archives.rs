//! Images to push, made for tests: the same description gives the same bytes, digests included.
//!
//! An [`ImageSpec`] says what an image holds. [`docker_archive`], [`docker25_archive`],
//! [`containerd_archive`], [`layout`] and [`oci_archive`] write any number of them in the form their
//! name says. [`Layout`] and [`Members`] are the layer below, for multi-platform indexes and for
//! sources that are wrong on purpose.
//!
//! ```ignore
//! let spec = ImageSpec::new("team/app:1").layer(1, 4096).layer(2, 100);
//! let roots = layout(&dir.path().join("app"), &[spec]);
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use hoist::image::digest::Digest;
use serde_json::{Value, json};

use super::members::Members;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What an image holds and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct ImageSpec {
    pub(crate) names: Vec<String>,
    pub(crate) architecture: String,
    pub(crate) layers: Vec<LayerSpec>,
}

/// One layer: a tar with one file of `size` bytes, about half of which compresses away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LayerSpec {
    pub(crate) seed: u64,
    pub(crate) size: usize,
    /// `None` is what is usual where it is written: plain in docker archives, gzip in layouts.
    pub(crate) form: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    Plain,
    Gzip,
    Zstd,
}

impl ImageSpec {
    /// An image for linux/amd64 without layers, called `name` (`team/app:1`).
    pub(crate) fn new(name: &str) -> Self {
        Self {
            names: vec![name.into()],
            ..Self::unnamed()
        }
    }

    pub(crate) fn unnamed() -> Self {
        Self {
            names: Vec::new(),
            architecture: "amd64".into(),
            layers: Vec::new(),
        }
    }

    /// Gives it one more name.
    pub(crate) fn also(mut self, name: &str) -> Self {
        self.names.push(name.into());
        self
    }

    pub(crate) fn layer(self, seed: u64, size: usize) -> Self {
        self.with(LayerSpec {
            seed,
            size,
            form: None,
        })
    }

    pub(crate) fn with(mut self, layer: LayerSpec) -> Self {
        self.layers.push(layer);
        self
    }

    pub(crate) fn architecture(mut self, architecture: &str) -> Self {
        self.architecture = architecture.into();
        self
    }

    /// `count` images `PREFIX-0:1` … that share `base` layers and have one of their own each, all of
    /// `size` bytes.
    pub(crate) fn many(prefix: &str, count: usize, base: usize, size: usize) -> Vec<Self> {
        let image = |number: usize| {
            let mut spec = Self::new(&format!("{prefix}-{number}:1"));
            for seed in 0..base {
                spec = spec.layer(seed as u64, size);
            }
            spec.layer(1_000_000 + number as u64, size)
        };
        (0..count).map(image).collect()
    }

    /// The config's bytes, as every form here writes them.
    pub(crate) fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(LayerSpec::diff_id).collect();
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created_by": "test"})).collect::<Vec<_>>(),
        });
        serde_json::to_vec(&config).unwrap()
    }

    pub(crate) fn config_digest(&self) -> Digest {
        Digest::of(&self.config())
    }
}

impl LayerSpec {
    /// The uncompressed tar.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut members = Members::new();
        members.file(&format!("data-{}", self.seed), &noise(self.seed, self.size));
        members.into_bytes()
    }

    /// The digest of the uncompressed tar.
    pub(crate) fn diff_id(&self) -> String {
        Digest::of(&self.tar()).to_string()
    }

    /// The bytes as they lie in an archive or layout, in `usual` form unless another one was asked for.
    pub(crate) fn stored(&self, usual: Form) -> Vec<u8> {
        match self.form.unwrap_or(usual) {
            Form::Plain => self.tar(),
            Form::Gzip => gzip(&self.tar()),
            Form::Zstd => zstd(&self.tar()),
        }
    }

    fn media_type(&self) -> String {
        match self.form {
            Some(Form::Plain) => LAYER.into(),
            Some(Form::Zstd) => format!("{LAYER}+zstd"),
            Some(Form::Gzip) | None => format!("{LAYER}+gzip"),
        }
    }
}

/// Writes what `docker save` wrote up to version 24: `manifest.json` last, a folder per layer, and a
/// symbolic link for a layer that is there already. Returns the digests of the configs.
pub(crate) fn docker_archive(path: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    let mut members = Members::new();
    let mut written: HashMap<LayerSpec, String> = HashMap::new();
    let mut items = Vec::new();
    for (number, spec) in specs.iter().enumerate() {
        let mut layers = Vec::new();
        for (position, layer) in spec.layers.iter().enumerate() {
            let id = Digest::of(format!("{number} {position}").as_bytes());
            let folder = id.encoded();
            members.file(&format!("{folder}/VERSION"), b"1.0");
            members.file(&format!("{folder}/json"), b"{}");
            let name = format!("{folder}/layer.tar");
            match written.get(layer) {
                Some(first) => members.symlink(&name, &format!("../{first}")),
                None => {
                    members.file(&name, &layer.stored(Form::Plain));
                    written.insert(*layer, name.clone());
                }
            }
            layers.push(name);
        }
        let config = format!("{}.json", spec.config_digest().encoded());
        members.file(&config, &spec.config());
        items.push(item(&config, spec, &layers));
    }
    members.file("manifest.json", &serde_json::to_vec(&items).unwrap());
    members.write(path);
    specs.iter().map(ImageSpec::config_digest).collect()
}

/// Writes what `docker save` 25 and later writes with graph drivers: an OCI layout over plain layers
/// and a `manifest.json` that points into it. Returns the digests of the configs.
pub(crate) fn docker25_archive(path: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    let plain: Vec<ImageSpec> = specs.iter().map(|spec| formed(spec, Form::Plain)).collect();
    archive_with_both(path, &plain);
    specs.iter().map(ImageSpec::config_digest).collect()
}

/// Writes what `docker save` writes over the containerd store: an OCI layout over the compressed
/// layers, and a `manifest.json`. Returns the digests of the manifests.
pub(crate) fn containerd_archive(path: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    archive_with_both(path, specs)
}

/// Writes an OCI layout folder. Returns the digests of the manifests.
pub(crate) fn layout(dir: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    let mut layout = Layout::create(dir);
    let roots = layout.enter_all(specs);
    layout.finish();
    roots
}

/// Writes an OCI layout as a tar file. Returns the digests of the manifests.
pub(crate) fn oci_archive(path: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    let dir = tempfile::tempdir().unwrap();
    let roots = layout(dir.path(), specs);
    Members::of_folder(dir.path()).write(path);
    roots
}

fn archive_with_both(path: &Path, specs: &[ImageSpec]) -> Vec<Digest> {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let roots = layout.enter_all(specs);
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let items: Vec<Value> = specs
        .iter()
        .map(|spec| {
            let stored = |l: &LayerSpec| Digest::of(&l.stored(Form::Gzip)).to_string();
            let layers: Vec<String> = spec.layers.iter().map(|l| blob(&stored(l))).collect();
            item(&blob(spec.config_digest().as_str()), spec, &layers)
        })
        .collect();
    layout.finish();
    let manifest = serde_json::to_vec(&items).unwrap();
    fs::write(dir.path().join("manifest.json"), manifest).unwrap();
    Members::of_folder(dir.path()).write(path);
    roots
}

fn formed(spec: &ImageSpec, form: Form) -> ImageSpec {
    let mut spec = spec.clone();
    for layer in &mut spec.layers {
        layer.form = layer.form.or(Some(form));
    }
    spec
}

/// One item of `manifest.json`.
fn item(config: &str, spec: &ImageSpec, layers: &[String]) -> Value {
    let names = (!spec.names.is_empty()).then_some(&spec.names);
    json!({"Config": config, "RepoTags": names, "Layers": layers})
}

/// An OCI layout folder that is being written. Descriptors are JSON, so that a test can make them lie.
pub(crate) struct Layout {
    dir: PathBuf,
    entries: Vec<Value>,
    layers: RefCell<HashMap<LayerSpec, Value>>,
}

impl Layout {
    pub(crate) fn create(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(dir.join("oci-layout"), marker).unwrap();
        Self {
            dir: dir.into(),
            entries: Vec::new(),
            layers: RefCell::default(),
        }
    }

    /// Where the blob of that digest lies.
    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    /// Writes a blob and describes it.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(digest.as_str()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()})
    }

    /// Writes the blobs and the manifest of `spec`; the descriptor names its platform.
    pub(crate) fn image(&self, spec: &ImageSpec) -> Value {
        let config = self.blob(CONFIG, &spec.config());
        let layers: Vec<Value> = spec.layers.iter().map(|l| self.layer(l)).collect();
        let mut descriptor = self.manifest(&json!({"config": config, "layers": layers}));
        descriptor["platform"] = json!({"os": "linux", "architecture": spec.architecture});
        descriptor
    }

    pub(crate) fn layer(&self, layer: &LayerSpec) -> Value {
        let known = self.layers.borrow().get(layer).cloned();
        known.unwrap_or_else(|| {
            let descriptor = self.blob(&layer.media_type(), &layer.stored(Form::Gzip));
            self.layers.borrow_mut().insert(*layer, descriptor.clone());
            descriptor
        })
    }

    /// Writes a manifest with these fields, `schemaVersion` and `mediaType` filled in.
    pub(crate) fn manifest(&self, fields: &Value) -> Value {
        self.document(MANIFEST, fields)
    }

    /// Writes an index of `children`.
    pub(crate) fn index(&self, children: &[Value]) -> Value {
        self.document(INDEX, &json!({"manifests": children}))
    }

    fn document(&self, media_type: &str, fields: &Value) -> Value {
        let mut document = json!({"schemaVersion": 2, "mediaType": media_type});
        for (key, value) in fields.as_object().unwrap() {
            document[key] = value.clone();
        }
        self.blob(media_type, &serde_json::to_vec(&document).unwrap())
    }

    /// Lists `descriptor` in `index.json`; `name` (`team/app:1`) is written as containerd does.
    pub(crate) fn enter(&mut self, mut descriptor: Value, name: Option<&str>) {
        if let Some(name) = name {
            let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
            descriptor["annotations"] = json!({
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            });
        }
        self.entries.push(descriptor);
    }

    /// Writes each image and lists it under each of its names.
    pub(crate) fn enter_all(&mut self, specs: &[ImageSpec]) -> Vec<Digest> {
        let mut roots = Vec::new();
        for spec in specs {
            let descriptor = self.image(spec);
            roots.push(Digest::parse(descriptor["digest"].as_str().unwrap()).unwrap());
            for name in &spec.names {
                self.enter(descriptor.clone(), Some(name));
            }
            if spec.names.is_empty() {
                self.enter(descriptor, None);
            }
        }
        roots
    }

    /// Writes `index.json`.
    pub(crate) fn finish(self) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries});
        let mut file = File::create(self.dir.join("index.json")).unwrap();
        serde_json::to_writer(&mut file, &index).unwrap();
    }
}

/// `size` bytes, each second kibibyte of which is random and the others zero.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    // xorshift64*, which must not start at zero.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = vec![0; size];
    for block in bytes.chunks_mut(1024).step_by(2) {
        for word in block.chunks_mut(8) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let random = state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            word.copy_from_slice(&random[..word.len()]);
        }
    }
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zstd frame of raw blocks (RFC 8878, 3.1.1): valid, and not smaller.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let single_segment_with_four_byte_size = 0xA0;
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, single_segment_with_four_byte_size];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    let blocks = bytes.chunks(128 << 10);
    let last = blocks.len().saturating_sub(1);
    for (number, block) in blocks.enumerate() {
        let header = (block.len() << 3) | usize::from(number == last);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}
