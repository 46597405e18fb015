//! A large image, and whether a registry has all of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::archives::{CONFIG, Layout};
use crate::support::registry::Registry;
use crate::support::room::room;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Layers as they lie in a layout, in a folder that goes when this is dropped.
pub(crate) struct LargeImage {
    dir: TempDir,
    blobs: Vec<Value>,
}

impl LargeImage {
    /// With layers of these sizes.
    pub(crate) fn new(sizes: impl IntoIterator<Item = usize>) -> Self {
        let sizes: Vec<usize> = sizes.into_iter().collect();
        let dir = room(sizes.iter().sum::<usize>() as u64);
        let mut layout = Layout::create(&dir.path().join("image"));
        let layers: Vec<Value> = (sizes.iter().zip(0..))
            .map(|(size, seed)| layout.blob(LAYER, &pages(seed, *size)))
            .collect();
        let config = layout.blob(CONFIG, br#"{"architecture":"amd64","os":"linux"}"#);
        let manifest = layout.manifest(&json!({"config": config, "layers": layers}));
        layout.enter(manifest, Some("app:1"));
        layout.finish();
        let mut blobs = layers;
        blobs.push(config);
        Self { dir, blobs }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Of all blobs together.
    pub(crate) fn size(&self) -> u64 {
        self.blobs.iter().map(size_of).sum()
    }

    /// Every blob is in `team/app`, to the byte.
    pub(crate) fn assert_is_in(&self, registry: &Registry, story: &str) {
        let repository = "team/app";
        assert_eq!(registry.manifest(repository, "1").status, 200, "{story}");
        for blob in &self.blobs {
            let digest = blob["digest"].as_str().unwrap();
            let file = Path::new("blobs").join(digest.replace(':', "/"));
            let expected = fs::read(self.path().join(file)).unwrap();
            let path = format!("/v2/{repository}/blobs/{digest}");
            let found = read(registry.address(), &path, expected.len());
            assert!(found.ends_with(&expected), "{digest} has changed: {story}");
            let head = String::from_utf8_lossy(&found[..found.len() - expected.len()]);
            assert!(head.ends_with("\r\n\r\n"), "{digest} is longer: {story}");
            assert!(head.contains(" 200 OK\r\n"), "{digest}: {head}: {story}");
        }
    }
}

/// The whole answer to a GET. Large ones cost time that counts here.
fn read(address: SocketAddr, path: &str, size: usize) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::with_capacity(size + 4096);
    connection.read_to_end(&mut answer).unwrap();
    answer
}

fn size_of(blob: &Value) -> u64 {
    blob["size"].as_u64().unwrap()
}

/// Bytes of which no page is like another, made with little work.
fn pages(seed: u64, size: usize) -> Vec<u8> {
    const PAGE: usize = 4096;
    let noise: Vec<u8> = (0..PAGE as u64 / 8)
        .flat_map(|word| {
            (word + 1)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
                .to_le_bytes()
        })
        .collect();
    let mut bytes = Vec::with_capacity(size + PAGE);
    for page in 0..size.div_ceil(PAGE) as u64 {
        bytes.extend_from_slice(&seed.to_le_bytes());
        bytes.extend_from_slice(&page.to_le_bytes());
        bytes.extend_from_slice(&noise[16..]);
    }
    bytes.truncate(size);
    bytes
}
