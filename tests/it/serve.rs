//! The embedded registry, and next to it every other one found here: what is asserted of all of them
//! is what hoist may rely on.

use hoist::image::digest::Digest;
use hoist::image::media::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};

use crate::support::registry::{Kind, Registry, Setup, available};

/// A small image of one layer: its manifest, after its blobs were put into `repository`.
fn small_image(registry: &Registry, repository: &str) -> Vec<u8> {
    let (config, layer) = (b"{}".as_slice(), b"layer".as_slice());
    for blob in [config, layer] {
        registry.put_blob(repository, Digest::of(blob).as_str(), blob);
    }
    let descriptor = |media_type: &str, blob: &[u8]| serde_json::json!({"mediaType": media_type, "digest": Digest::of(blob), "size": blob.len()});
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER_GZIP, layer)],
    });
    manifest.to_string().into_bytes()
}

#[test]
fn every_registry_takes_an_image_and_still_has_it_after_a_restart() {
    for kind in available() {
        let mut registry = Registry::start(kind);
        let manifest = small_image(&registry, "team/app");
        let put = registry.put_manifest("team/app", "1.2", OCI_MANIFEST, &manifest);
        assert_eq!(put.status, 201, "{kind:?}: {}", put.text());
        registry.kill();
        registry.start_again();
        assert_eq!(
            registry.manifest("team/app", "1.2").body,
            manifest,
            "{kind:?}"
        );
        let digest = Digest::of(b"layer");
        assert_eq!(
            registry.blob("team/app", digest.as_str()).body,
            b"layer",
            "{kind:?}"
        );
        let tags = registry.get("/v2/team/app/tags/list").json();
        assert_eq!(tags["tags"], serde_json::json!(["1.2"]), "{kind:?}");
        let log = registry.access();
        let puts = log
            .iter()
            .filter(|access| access.method == "PUT" && access.status == 201);
        assert_eq!(puts.count(), 3, "{kind:?}: {log:?}");
    }
}

#[test]
fn a_registry_with_basic_authentication_asks_for_it() {
    let setup = Setup {
        basic: Some(("user".into(), "pa:ss".into())),
        tls: None,
    };
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let registry = Registry::start_with(kind, setup.clone());
        assert_eq!(registry.get("/v2/").status, 200, "{kind:?}");
        let wrong = ("authorization", "Basic dXNlcjp3cm9uZw==");
        assert_eq!(
            registry.request("GET", "/v2/", &[wrong], b"").status,
            401,
            "{kind:?}"
        );
    }
}
