//! The embedded registry, and next to it every other one found here: what is asserted of all of them
//! is what hoist may rely on.

mod connections;
mod manifests;
mod tags;
mod tools;
mod uploads;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::image::media::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::support::registry::{Kind, Registry, Setup, Tls, available};
use crate::support::tls::Authority;

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}

/// An image of this layer: its manifest, after its blobs were put into `repository`.
fn small_image(registry: &Registry, repository: &str, layer: &[u8]) -> Vec<u8> {
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    for blob in [config, layer] {
        registry.put_blob(repository, Digest::of(blob).as_str(), blob);
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER_GZIP, layer)],
    });
    manifest.to_string().into_bytes()
}

/// What a client speaks that ureq would not say. Reading gives up after half a minute.
fn raw(address: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(sent).unwrap();
    stream
}

/// All that is answered until the registry closes the connection.
fn answers(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// As [`answers`], after saying that nothing more will come.
fn last_answers(stream: TcpStream) -> String {
    stream.shutdown(Shutdown::Write).unwrap();
    answers(stream)
}

#[test]
fn every_registry_takes_an_image_and_still_has_it_after_a_restart() {
    for kind in available() {
        let mut registry = Registry::start(kind);
        assert_eq!(registry.kind(), kind);
        let manifest = small_image(&registry, "team/app", b"layer");
        let put = registry.put_manifest("team/app", "1.2", OCI_MANIFEST, &manifest);
        assert_eq!(put.status, 201, "{kind:?}: {}", put.text());
        registry.kill();
        registry.start_again();
        let found = registry.manifest("team/app", "1.2");
        assert_eq!(found.body, manifest, "{kind:?}");
        assert_eq!(found.header("content-type").as_deref(), Some(OCI_MANIFEST));
        let layer = registry.blob("team/app", Digest::of(b"layer").as_str());
        assert_eq!(layer.body, b"layer", "{kind:?}");
        let tags = registry.get("/v2/team/app/tags/list").json();
        assert_eq!(tags["tags"], json!(["1.2"]), "{kind:?}");
        let log = registry.access();
        let puts = log
            .iter()
            .filter(|access| access.method == "PUT" && access.status == 201);
        assert_eq!(puts.count(), 3, "{kind:?}: {log:?}");
    }
}

#[test]
fn distributions_have_basic_authentication_and_tls_when_a_test_asks() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("test");
    let (certificate, key) = authority.issue(&["localhost"]).write(dir.path());
    let encrypted = Tls {
        certificate,
        key,
        ca: authority.write(dir.path()),
    };
    for tls in [None, Some(encrypted)] {
        let setup = Setup {
            basic: Some(("user".into(), "pa:ss".into())),
            tls,
            ..Setup::default()
        };
        for kind in [Kind::Distribution2, Kind::Distribution3] {
            if !kind.is_available() {
                continue;
            }
            let registry = Registry::start_with(kind, setup.clone());
            assert_eq!(registry.get("/v2/").status, 200, "{kind:?}");
            let wrong = ("authorization", "Basic dXNlcjp3cm9uZw==");
            let refused = registry.request("GET", "/v2/", &[wrong], b"");
            assert_eq!(refused.status, 401, "{kind:?}");
            assert_eq!(registry.access().len(), 2, "{kind:?}");
        }
    }
}
