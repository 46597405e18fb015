//! Whatever a registry says of a tag, the image that comes of it is right.

use hoist::image::digest::Digest;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::archives::{
    CONFIG, Form, INDEX, ImageSpec, LayerSpec, MANIFEST, docker_archive,
};
use crate::support::command::hoist;
use crate::support::pushing::{push, read_back};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Answer, Rule, Scripted, answer, close_after, on, wrong_length};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn spec() -> ImageSpec {
    ImageSpec::new("app:1").layer(1, 1_200_000).layer(2, 50_000)
}

/// What was there before: the first layer is the same.
fn former() -> ImageSpec {
    ImageSpec::new("app:1").layer(1, 1_200_000).layer(3, 50_000)
}

/// A layer as another tool made it.
fn theirs(layer: &LayerSpec) -> Value {
    let bytes = layer.stored(Form::Gzip);
    json!({"mediaType": GZIP, "digest": Digest::of(&bytes).as_str(), "size": bytes.len()})
}

fn manifest(config: &[u8], layers: &[Value]) -> Value {
    let digest = Digest::of(config);
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": {"mediaType": CONFIG, "digest": digest.as_str(), "size": config.len()},
    })
}

fn json_answer(media_type: &str, document: &Value) -> Answer {
    let bytes = serde_json::to_vec(document).unwrap();
    answer(200).header("content-type", media_type).body(bytes)
}

/// The archive, and a registry that has the first layer as another tool made it.
struct Site {
    dir: tempfile::TempDir,
    right: Value,
}

impl Site {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let archive = dir.path().join("app.tar");
        docker_archive(&archive, &[spec()]);
        let registry = Registry::start(Kind::Serve);
        let report = push(&archive, &registry, "app:1", &["--no-cache"]).expect_code(0);
        let right = report.json()["images"][0]["digest"].clone();
        Self { dir, right }
    }

    /// Pushes where a look at the tag, and then at the config, is answered like that; how often it was begun again.
    fn begun_again(&self, what: &str, found: Answer, config: Answer) -> usize {
        let look = on("GET", "/v2/app/manifests/1").then(found);
        self.push(what, [look, on("GET", "/v2/app/blobs/").then(config)])
    }

    fn push(&self, what: &str, rules: impl IntoIterator<Item = Rule>) -> usize {
        let registry = Registry::start(Kind::Serve);
        let bytes = spec().layers[0].stored(Form::Gzip);
        registry.put_blob("app", Digest::of(&bytes).as_str(), &bytes);
        let server = Scripted::before(registry.address(), rules);
        let destination = format!("localhost:{}/app:1", server.address().port());
        let output = hoist(["push", "-o", "json", "--no-cache"])
            .arg(self.dir.path().join("app.tar"))
            .arg(destination)
            .run();
        let report = output.expect_code(0).json();
        assert_eq!(report["images"][0]["digest"], self.right, "{what}");
        assert_eq!(report["retries"], 0, "{what}");
        read_back(&registry, &report);
        let warnings = report["warnings"].as_array().unwrap();
        let begun = |warning: &&Value| warning.to_string().contains("beginning again");
        assert_eq!(
            warnings.iter().filter(begun).count(),
            warnings.len(),
            "{what}"
        );
        warnings.len()
    }
}

#[test]
fn what_is_not_so_is_noticed() {
    let site = Site::new();
    let its_config = || answer(200).body(former().config());
    let heavier = |more: u64| {
        let mut layer = theirs(&spec().layers[0]);
        layer["size"] = json!(layer["size"].as_u64().unwrap() + more);
        layer
    };
    let over = |layer: Value| {
        let layers = [layer, theirs(&former().layers[1])];
        json_answer(MANIFEST, &manifest(&former().config(), &layers))
    };
    let nowhere = theirs(&spec().layers[1]);
    for (what, layer, begun) in [
        ("a size that its blob has not", heavier(1), 1),
        ("a blob that is not there", nowhere, 1),
        ("a size that nothing becomes", heavier(10 << 20), 0),
        ("a size beyond all sums", heavier(u64::MAX >> 1), 0),
    ] {
        assert_eq!(
            site.begun_again(what, over(layer), its_config()),
            begun,
            "{what}"
        );
    }
    let many = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers",
        "diff_ids": vec![spec().layers[0].diff_id(); 3]}});
    let many = serde_json::to_vec(&many).unwrap();
    let honest = || over(theirs(&spec().layers[0]));
    let layers = [0, 1].map(|at| theirs(&former().layers[at]));
    let of = |config: &[u8]| json_answer(MANIFEST, &manifest(config, &layers));
    let other = former().config().iter().rev().copied().collect::<Vec<u8>>();
    for (what, found, config) in [
        ("a config of other bytes", honest(), answer(200).body(other)),
        ("a config that is gone", honest(), answer(404)),
        ("a config that fails", honest(), answer(500)),
        (
            "a config of three layers",
            of(&many),
            answer(200).body(many.clone()),
        ),
        ("a config that is none", of(b"{}"), answer(200).body("{}")),
        (
            "a config that is no JSON",
            of(b"[[["),
            answer(200).body("[[["),
        ),
    ] {
        assert_eq!(site.begun_again(what, found, config), 0, "{what}");
    }
}

#[test]
fn what_is_no_image_of_that_form_is_no_help() {
    let site = Site::new();
    let ours = spec().config();
    let layers = [0, 1].map(|at| theirs(&spec().layers[at]));
    let same = manifest(&ours, &layers);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": Digest::of(b"x").as_str(), "size": 1}]});
    let with = |key: &str, value: Value| {
        let mut document = same.clone();
        document[key] = value;
        json_answer(MANIFEST, &document)
    };
    let mut zstd = layers;
    zstd.iter_mut()
        .for_each(|layer| layer["mediaType"] = json!(GZIP.replace("gzip", "zstd")));
    let page = answer(200)
        .header("content-type", "text/html")
        .body("<html>");
    let digest = Digest::of(b"another").to_string();
    let named = with("annotations", json!({})).header("docker-content-digest", digest);
    let padding = "x".repeat(600 << 10);
    for (what, found) in [
        ("an index", json_answer(INDEX, &index)),
        ("a manifest called an index", json_answer(INDEX, &same)),
        ("an artifact", with("artifactType", json!("application/x"))),
        ("zstd", with("layers", json!(zstd))),
        ("the digest of something else", named),
        (
            "too large to be kept",
            with("annotations", json!({"a": padding})),
        ),
        ("a page", page),
        (
            "no JSON",
            answer(200).header("content-type", MANIFEST).body("[[[["),
        ),
        ("nothing", answer(200)),
    ] {
        assert_eq!(site.begun_again(what, found, answer(404)), 0, "{what}");
    }
    for status in [204, 302, 400, 401, 403, 404, 405, 429, 500, 503] {
        let what = status.to_string();
        assert_eq!(site.begun_again(&what, answer(status), answer(404)), 0);
    }
    let look = || on("GET", "/v2/app/manifests/1");
    site.push("cut off", [look().then(close_after(0))]);
    let short = json_answer(MANIFEST, &same);
    site.push("not whole", [look().then(wrong_length(short, 100_000))]);
}

/// Of the same config, but not as many layers: what there is of it counts for nothing or is looked at.
#[test]
fn as_many_layers_make_an_image() {
    let site = Site::new();
    let ours = spec().config();
    let layer = theirs(&spec().layers[0]);
    // A manifest that has a subject is one thing more than an image, but its layers may be used.
    let index = json!({"mediaType": INDEX, "digest": Digest::of(b"x").as_str(), "size": 1});
    let mut signed = manifest(&ours, &[layer.clone(), theirs(&spec().layers[1])]);
    signed["subject"] = index;
    let found = json_answer(MANIFEST, &signed);
    let begun = site.begun_again("of a subject", found, answer(404));
    assert_eq!(begun, 1, "its second layer is not there");
    for count in [0, 1, 3] {
        let layers = vec![layer.clone(); count];
        let several = json_answer(MANIFEST, &manifest(&ours, &layers));
        let what = format!("{count} layers");
        assert_eq!(site.begun_again(&what, several, answer(404)), 0, "{what}");
    }
}
