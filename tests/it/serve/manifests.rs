//! Manifests, tags, referrers, and the layout they leave in the folder.

use std::fs;

use hoist::image::digest::Digest;
use hoist::image::media::{DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use serde_json::{Value, json};

use super::{descriptor, small_image};
use crate::support::registry::{Kind, Registry, available};

const SIGNATURE: &str = "application/vnd.example.signature+json";

fn index_of(children: &[&[u8]]) -> Vec<u8> {
    let children: Vec<_> = children
        .iter()
        .map(|c| descriptor(OCI_MANIFEST, c))
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
    index.to_string().into_bytes()
}

/// An artifact about `subject`, with its only blob put there.
fn signature(registry: &Registry, repository: &str, subject: &[u8], note: &str) -> Vec<u8> {
    registry.put_blob(repository, Digest::of(b"{}").as_str(), b"{}");
    let empty = descriptor("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": SIGNATURE,
        "config": empty,
        "layers": [empty],
        "subject": descriptor(OCI_MANIFEST, subject),
        "annotations": {"note": note},
    });
    manifest.to_string().into_bytes()
}

fn layout_index(registry: &Registry, repository: &str) -> Vec<Value> {
    let path = registry.storage().join(repository).join("_/index.json");
    let index: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

#[test]
fn everything_missing_is_named_at_once() {
    for kind in available() {
        let registry = Registry::start(kind);
        let image = small_image(&registry, "a", b"layer");
        let blobs = [b"one".as_slice(), b"two", b"three"];
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, blobs[0]),
            "layers": [
                descriptor(OCI_LAYER_GZIP, b"layer"),
                descriptor(OCI_LAYER_GZIP, blobs[1]),
                descriptor(OCI_LAYER_GZIP, blobs[2]),
            ],
        });
        let refused =
            registry.put_manifest("a", "x", OCI_MANIFEST, manifest.to_string().as_bytes());
        assert_eq!(
            (refused.status, refused.code()),
            (400, "MANIFEST_BLOB_UNKNOWN".into()),
            "{kind:?}"
        );
        assert_eq!(registry.manifest("a", "x").status, 404, "{kind:?}");
        if kind != Kind::Zot {
            let text = refused.text();
            let named = |blob: &[u8]| text.contains(Digest::of(blob).as_str());
            assert!(blobs.iter().all(|blob| named(blob)), "{kind:?}: {text}");
            assert!(!named(b"layer"), "{kind:?}: {text}");
        }
        let index = registry.put_manifest("a", "x", OCI_INDEX, &index_of(&[&image]));
        assert_eq!(
            index.status, 400,
            "{kind:?}: a child that is no manifest yet"
        );
    }
}

#[test]
fn foreign_layers_stay_where_they_are() {
    let registry = Registry::start(Kind::Serve);
    let mut manifest: Value =
        serde_json::from_slice(&small_image(&registry, "a", b"layer")).unwrap();
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    manifest["layers"][0] = descriptor(foreign, b"elsewhere");
    let put = registry.put_manifest("a", "x", OCI_MANIFEST, manifest.to_string().as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
}

#[test]
fn manifests_that_are_none_are_refused() {
    let registry = Registry::start(Kind::Serve);
    let image = small_image(&registry, "a", b"layer");
    let other = Digest::of(b"other");
    let bare = json!({"schemaVersion": 2, "config": {}, "layers": []}).to_string();
    let deep = "[".repeat(10_000);
    for (reference, media_type, body, code) in [
        ("x", OCI_MANIFEST, b"".as_slice(), "MANIFEST_INVALID"),
        ("x", OCI_MANIFEST, b"blablabla", "MANIFEST_INVALID"),
        ("x", OCI_MANIFEST, deep.as_bytes(), "MANIFEST_INVALID"),
        ("x", OCI_MANIFEST, bare.as_bytes(), "MANIFEST_INVALID"),
        ("x", DOCKER_MANIFEST, &image, "MANIFEST_INVALID"),
        ("x", "text/plain", &image, "MANIFEST_INVALID"),
        (".x", OCI_MANIFEST, &image, "MANIFEST_INVALID"),
        (other.as_str(), OCI_MANIFEST, &image, "DIGEST_INVALID"),
        (
            "sha256:totallywrong",
            OCI_MANIFEST,
            &image,
            "DIGEST_INVALID",
        ),
    ] {
        let refused = registry.put_manifest("a", reference, media_type, body);
        assert_eq!(
            (refused.status, refused.code()),
            (400, code.into()),
            "{}",
            refused.text()
        );
    }
    let charset = format!("{OCI_MANIFEST}; charset=utf-8");
    assert_eq!(
        registry.put_manifest("a", "x", &charset, &image).status,
        201
    );
}

#[test]
fn a_manifest_has_four_mebibytes_at_most() {
    let registry = Registry::start(Kind::Serve);
    let image = small_image(&registry, "a", b"layer");
    let mut padded = image;
    padded.resize(4 << 20, b' ');
    assert_eq!(
        registry
            .put_manifest("a", "x", OCI_MANIFEST, &padded)
            .status,
        201
    );
    padded.push(b' ');
    let head = format!(
        "PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI_MANIFEST}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        padded.len()
    );
    let mut sent = head.into_bytes();
    sent.extend_from_slice(&padded);
    sent.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = super::answers(super::raw(registry.address(), &sent));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("SIZE_INVALID"), "{answer}");
}

#[test]
fn tags_come_and_go_without_their_manifests() {
    for kind in [Kind::Serve, Kind::Zot] {
        if !kind.is_available() {
            continue;
        }
        let registry = Registry::start(kind);
        let (old, new) = (
            small_image(&registry, "a", b"old"),
            small_image(&registry, "a", b"new"),
        );
        let digest = Digest::of(&old);
        for (tag, image) in [("x", &old), ("y", &old), ("x", &new)] {
            assert_eq!(
                registry.put_manifest("a", tag, OCI_MANIFEST, image).status,
                201
            );
        }
        assert_eq!(registry.manifest("a", "x").body, new, "{kind:?}");
        let path = "/v2/a/manifests/y";
        assert_eq!(
            registry.request("DELETE", path, &[], b"").status,
            202,
            "{kind:?}"
        );
        assert_eq!(
            registry.request("DELETE", path, &[], b"").status,
            404,
            "{kind:?}"
        );
        if kind == Kind::Serve {
            assert_eq!(registry.manifest("a", digest.as_str()).body, old);
            assert_eq!(registry.manifest("a", "y").code(), "MANIFEST_UNKNOWN");
            assert_eq!(registry.manifest("absent", "y").code(), "NAME_UNKNOWN");
        }
        let by_digest = format!("/v2/a/manifests/{}", Digest::of(&new));
        assert_eq!(
            registry.request("DELETE", &by_digest, &[], b"").status,
            202,
            "{kind:?}"
        );
        assert_eq!(registry.manifest("a", "x").status, 404, "{kind:?}");
        assert_eq!(
            registry.get("/v2/a/tags/list").json()["tags"],
            json!([]),
            "{kind:?}"
        );
    }
}

#[test]
fn a_blob_is_no_manifest_until_it_is_put_as_one() {
    for kind in available() {
        let registry = Registry::start(kind);
        let image = small_image(&registry, "a", b"layer");
        let digest = Digest::of(&image);
        registry.put_blob("a", digest.as_str(), &image);
        // distribution does not tell them apart.
        if kind == Kind::Serve {
            assert_eq!(registry.manifest("a", digest.as_str()).status, 404);
        }
        let put = registry.put_manifest("a", digest.as_str(), OCI_MANIFEST, &image);
        assert_eq!(put.status, 201, "{kind:?}: {}", put.text());
        let found = registry.manifest("a", digest.as_str());
        assert_eq!(found.body, image, "{kind:?}");
        assert_eq!(
            found.header("content-type").as_deref(),
            Some(OCI_MANIFEST),
            "{kind:?}"
        );
        assert_eq!(
            found.header("docker-content-digest"),
            Some(digest.to_string()),
            "{kind:?}"
        );
    }
}

#[test]
fn lists_come_in_pages() {
    // The 2.8 line gives all tags whatever is asked.
    let paging = |kind: &Kind| *kind != Kind::Distribution2;
    for kind in available().into_iter().filter(paging) {
        let registry = Registry::start(kind);
        let image = small_image(&registry, "a", b"layer");
        for tag in ["c", "a", "B", "d"] {
            assert_eq!(
                registry.put_manifest("a", tag, OCI_MANIFEST, &image).status,
                201
            );
        }
        let mut found = Vec::new();
        let mut path = Some("/v2/a/tags/list?n=3".to_string());
        while let Some(next) = path {
            let page = registry.get(&next);
            let tags = page.json()["tags"].as_array().unwrap().clone();
            assert!(tags.len() <= 3, "{kind:?}: {tags:?}");
            found.extend(tags.iter().map(|tag| tag.as_str().unwrap().to_string()));
            let link = page.header("link");
            path = link.map(|link| link[1..link.find('>').unwrap()].to_string());
        }
        found.sort();
        assert_eq!(found, ["B", "a", "c", "d"], "{kind:?}");
        assert_eq!(
            registry.get("/v2/absent/tags/list").code(),
            "NAME_UNKNOWN",
            "{kind:?}"
        );
    }
    let registry = Registry::start(Kind::Serve);
    let image = small_image(&registry, "a", b"layer");
    for repository in ["a", "b/c", "b"] {
        small_image(&registry, repository, b"layer");
    }
    for tag in ["c", "a", "B", "d"] {
        registry.put_manifest("a", tag, OCI_MANIFEST, &image);
    }
    for (path, key, expected, has_more) in [
        (
            "/v2/a/tags/list",
            "tags",
            json!(["a", "B", "c", "d"]),
            false,
        ),
        ("/v2/a/tags/list?n=0", "tags", json!([]), false),
        (
            "/v2/a/tags/list?n=4",
            "tags",
            json!(["a", "B", "c", "d"]),
            false,
        ),
        ("/v2/a/tags/list?last=bb", "tags", json!(["c", "d"]), false),
        ("/v2/a/tags/list?n=1&last=A", "tags", json!(["a"]), true),
        ("/v2/_catalog?n=2", "repositories", json!(["a", "b"]), true),
        (
            "/v2/_catalog?n=2&last=b",
            "repositories",
            json!(["b/c"]),
            false,
        ),
    ] {
        let page = registry.get(path);
        assert_eq!(page.json()[key], expected, "{path}");
        assert_eq!(page.header("link").is_some(), has_more, "{path}");
    }
    assert_eq!(registry.get("/v2/a/tags/list?n=x").status, 400);
}

#[test]
fn referrers_are_found_by_their_subject() {
    for kind in [Kind::Serve, Kind::Zot] {
        if !kind.is_available() {
            continue;
        }
        let registry = Registry::start(kind);
        let image = small_image(&registry, "a", b"layer");
        let path = format!("/v2/a/referrers/{}", Digest::of(&image));
        // Before the image itself is there.
        let signed = signature(&registry, "a", &image, "first");
        let by_digest = Digest::of(&signed);
        let put = registry.put_manifest("a", by_digest.as_str(), OCI_MANIFEST, &signed);
        assert_eq!(
            put.header("oci-subject"),
            Some(Digest::of(&image).to_string()),
            "{kind:?}"
        );
        assert_eq!(
            registry.put_manifest("a", "x", OCI_MANIFEST, &image).status,
            201
        );
        let found = registry.get(&path);
        assert_eq!(
            found.header("content-type").as_deref(),
            Some(OCI_INDEX),
            "{kind:?}"
        );
        let entry = &found.json()["manifests"][0];
        assert_eq!(entry["digest"], by_digest.as_str(), "{kind:?}");
        assert_eq!(entry["artifactType"], SIGNATURE, "{kind:?}");
        assert_eq!(entry["annotations"]["note"], "first", "{kind:?}");
        let filtered = |of: &str| registry.get(&format!("{path}?artifactType={of}"));
        assert_eq!(filtered("other").json()["manifests"], json!([]), "{kind:?}");
        let wanted = filtered(&SIGNATURE.replace('+', "%2B"));
        assert_eq!(
            wanted.json()["manifests"].as_array().unwrap().len(),
            1,
            "{kind:?}"
        );
        assert_eq!(
            wanted.header("oci-filters-applied").as_deref(),
            Some("artifactType")
        );
        let gone = format!("/v2/a/manifests/{by_digest}");
        assert_eq!(
            registry.request("DELETE", &gone, &[], b"").status,
            202,
            "{kind:?}"
        );
        assert_eq!(
            registry.get(&path).json()["manifests"],
            json!([]),
            "{kind:?}"
        );
    }
}

#[test]
fn referrers_come_in_pages_no_larger_than_a_manifest() {
    let registry = Registry::start(Kind::Serve);
    let image = small_image(&registry, "a", b"layer");
    let long = "n".repeat(1 << 20);
    for number in 0..5 {
        let signed = signature(&registry, "a", &image, &format!("{number}{long}"));
        let digest = Digest::of(&signed);
        let put = registry.put_manifest("a", digest.as_str(), OCI_MANIFEST, &signed);
        assert_eq!(put.status, 201, "{}", put.text());
    }
    let first = registry.get(&format!(
        "/v2/a/referrers/{}?artifactType={SIGNATURE}",
        Digest::of(&image)
    ));
    assert!(first.body.len() <= 4 << 20, "{}", first.body.len());
    let link = first.header("link").unwrap();
    let second = registry.get(&link[1..link.find('>').unwrap()]);
    assert_eq!(second.header("link"), None);
    let count = |page: &Value| page["manifests"].as_array().unwrap().len();
    assert_eq!(count(&first.json()) + count(&second.json()), 5);
}

#[test]
fn the_folder_holds_layouts_that_others_can_read() {
    let registry = Registry::start(Kind::Serve);
    let child = small_image(&registry, "team/app", b"layer");
    let index = index_of(&[&child]);
    let put = |reference: &str, media_type: &str, body: &[u8]| {
        let stored = registry.put_manifest("team/app", reference, media_type, body);
        assert_eq!(stored.status, 201, "{}", stored.text());
    };
    put(Digest::of(&child).as_str(), OCI_MANIFEST, &child);
    put("1.2", OCI_INDEX, &index);
    let signed = signature(&registry, "team/app", &index, "");
    put(Digest::of(&signed).as_str(), OCI_MANIFEST, &signed);
    let entries = layout_index(&registry, "team/app");
    let named = &entries[0];
    assert_eq!(named["digest"], Digest::of(&index).as_str());
    assert_eq!(
        named["annotations"]["org.opencontainers.image.ref.name"],
        "1.2"
    );
    assert_eq!(
        named["annotations"]["io.containerd.image.name"],
        "localhost/team/app:1.2"
    );
    assert_eq!(entries[1]["digest"], Digest::of(&signed).as_str());
    assert_eq!(entries[1].get("annotations"), None);
    assert_eq!(
        entries.len(),
        2,
        "children have no entry of their own: {entries:?}"
    );
    // A signature with a tag has one entry, and keeps one when it loses the tag.
    put("sig", OCI_MANIFEST, &signed);
    assert_eq!(layout_index(&registry, "team/app").len(), 2);
    registry.request("DELETE", "/v2/team/app/manifests/sig", &[], b"");
    assert_eq!(layout_index(&registry, "team/app").len(), 2);
    let layout = registry.storage().join("team/app/_/oci-layout");
    assert_eq!(
        fs::read(layout).unwrap(),
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );
}
