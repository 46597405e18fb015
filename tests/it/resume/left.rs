//! What was left and cannot be gone on with: the blob goes its ordinary way, and nobody is told but of
//! files that are not as hoist writes them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{SMALL, SMALL_CUT, Site, outcome, small};
use crate::support::archives::{Form, docker_archive};
use crate::support::registry::Kind;
use crate::support::scripted::{Answer, Then, answer, early, on};
use crate::wire::code;
use hoist::image::digest::Digest;

fn layer() -> Digest {
    Digest::of(&small().layers[0].stored(Form::Plain))
}

/// Nothing was gone on with: all of the layer went out, into a session of its own.
#[track_caller]
fn began_again(site: &Site, report: &Value, what: &str) {
    let (uploaded, resumed, at) = outcome(report);
    assert!(uploaded >= SMALL as u64, "{what}: {report}");
    assert_eq!((resumed, at), (0, None), "{what}: {report}");
    assert!(site.uploads().is_empty(), "{what}");
}

#[test]
fn a_session_that_answers_nonsense_is_left() {
    let moved = |to: &str| {
        answer(204)
            .header("Range", "0-99999")
            .header("Location", to)
    };
    let answers: [(&str, Answer); 12] = [
        ("gone", code(404, "BLOB_UPLOAD_UNKNOWN", "gone")),
        ("no page", answer(404)),
        ("no more", answer(410)),
        ("odd", answer(400)),
        ("denied", answer(403)),
        ("no range", answer(204)),
        ("nothing", answer(204).header("Range", "0-0")),
        ("too much", answer(204).header("Range", "0-99999999")),
        ("no number", answer(204).header("Range", "0-banana")),
        ("elsewhere", moved("http://registry.example/u/1")),
        ("nowhere", moved("ftp://registry.example/u/1")),
        ("broken", answer(500)),
    ];
    for (what, status) in answers {
        let site = Site::scripted([on("GET", "/v2/").containing("/uploads/").then(status)]);
        site.killed(SMALL_CUT);
        let (output, _) = site.finished_by(site.push().args(["--retries", "0"]));
        let report = output.json();
        began_again(&site, &report, what);
        assert_eq!(report["warnings"], json!([]), "{what}");
    }
}

#[test]
fn a_session_that_does_not_take_the_rest_is_left() {
    for refused in [
        code(400, "DIGEST_INVALID", "no"),
        code(404, "BLOB_UPLOAD_UNKNOWN", "gone"),
        code(400, "SIZE_INVALID", "no"),
        answer(405),
        answer(500),
    ] {
        let status = format!("{refused:?}");
        let site = Site::scripted([on("PUT", "/v2/")
            .containing(layer().encoded())
            .nth(2)
            .then(refused)]);
        site.killed(SMALL_CUT);
        let (output, _) = site.finished_by(site.push().args(["--retries", "0"]));
        began_again(&site, &output.json(), &status);
    }
}

/// The same of a layer that is compressed on the way.
#[test]
fn a_session_that_does_not_take_the_rest_of_a_stream_is_left() {
    for refused in [
        code(400, "DIGEST_INVALID", "no"),
        code(404, "BLOB_UPLOAD_UNKNOWN", "gone"),
        answer(500),
    ] {
        let status = format!("{refused:?}");
        let dir = tempdir().unwrap();
        let config = docker_archive(&dir.path().join("source"), &[small()]).remove(0);
        let closing = on("PUT", "/v2/team/app/blobs/uploads/").without(config.encoded());
        let site = Site::scripted([closing.nth(1).then(refused)]).of(dir);
        site.killed(SMALL_CUT);
        let (output, _) = site.finished_by(site.push().args(["--retries", "0"]));
        assert!(site.uploads().is_empty(), "{status}: {output}");
    }
}

#[test]
fn what_a_stream_left_is_gone_on_with_where_bodies_without_length_are_refused() {
    for status in [400, 411, 501] {
        let dir = tempdir().unwrap();
        docker_archive(&dir.path().join("source"), &[small()]);
        let refusal = early(0, answer(status), Then::Close);
        let site = Site::scripted([on("PATCH", "/v2/").nth(2).then(refusal)]).of(dir);
        site.killed(SMALL_CUT);
        let (output, _) = site.finished_by(site.push().args(["--retries", "0"]));
        let (_, resumed, at) = outcome(&output.json());
        assert!(resumed > SMALL_CUT / 2, "{status}: {output}");
        assert_eq!(at, Some(resumed), "{status}: {output}");
    }
}

/// It arrived, and the process died before it heard of it.
#[test]
fn a_blob_that_is_there_is_not_sent_again() {
    let site = Site::small(Kind::Serve);
    site.killed(SMALL_CUT);
    let bytes = small().layers[0].stored(Form::Plain);
    let digest = layer();
    site.registry.put_blob("team/app", digest.as_str(), &bytes);
    let session = fs::read_to_string(&site.uploads()[0]).unwrap();
    let session: Value = serde_json::from_str(&session).unwrap();
    let location = session["location"].as_str().unwrap();
    site.registry.request("DELETE", location, &[], b"");
    let (output, sent) = site.finished();
    let report = output.json();
    assert!(sent < 100_000, "{sent}: {output}");
    assert!(
        report["bytes"]["present"].as_u64().unwrap() >= SMALL as u64,
        "{output}"
    );
    assert!(site.uploads().is_empty());
}

#[test]
fn a_location_that_leads_elsewhere_is_not_followed() {
    let long = format!("/v2/{}", "x".repeat(9000));
    for location in [
        "http://127.0.0.1:9/v2/u/1",
        "https://registry.example/v2/u/1",
        "//registry.example/v2/u/1",
        "http://me:secret@registry.example/u/1",
        "/v2/a b",
        "",
        long.as_str(),
    ] {
        let site = Site::small(Kind::Serve);
        site.killed(SMALL_CUT);
        change(&site.uploads()[0], |file| {
            file["location"] = location.into()
        });
        let (output, _) = site.finished_by(site.push().arg("-vv"));
        began_again(&site, &output.json(), location);
        assert!(!output.stderr.contains("registry.example"), "{output}");
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut file);
    fs::write(path, file.to_string()).unwrap();
}

/// What somebody does to a file.
type Spoil = &'static dyn Fn(&Path);

#[test]
fn a_file_that_is_not_to_be_trusted_is_told_of_and_does_not_count() {
    let spoiled: [(&str, Spoil, bool); 7] = [
        (
            "it is damaged",
            &|path| fs::write(path, "{\"version\": 1").unwrap(),
            false,
        ),
        (
            "it is damaged",
            &|path| fs::write(path, [0; 300]).unwrap(),
            false,
        ),
        (
            "it is damaged",
            &|path| change(path, |file| file["held"] = json!(-1)),
            false,
        ),
        (
            "it is of another upload",
            &|path| change(path, |file| file["repository"] = "x".into()),
            false,
        ),
        (
            "it is of another upload",
            &|path| change(path, |file| file["size"] = json!(7)),
            false,
        ),
        (
            "others can write to it",
            &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o622)).unwrap(),
            false,
        ),
        (
            "a later version of hoist has written it",
            &|path| change(path, |file| file["version"] = json!(2)),
            true,
        ),
    ];
    for (why, spoil, stays) in spoiled {
        let site = Site::small(Kind::Serve);
        site.killed(SMALL_CUT);
        spoil(&site.uploads()[0]);
        let (output, _) = site.finished();
        let report = output.json();
        let (_, resumed, at) = outcome(&report);
        assert_eq!((resumed, at), (0, None), "{why}: {output}");
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{why}: {output}");
        let warning = warnings[0].as_str().unwrap();
        assert!(warning.ends_with(&format!("is ignored: {why}")), "{output}");
        assert_eq!(site.uploads().len(), usize::from(stays), "{why}");
        // What is damaged is gone with that.
        if !stays {
            assert_eq!(site.finished().0.json()["warnings"], json!([]), "{why}");
        }
    }
}

#[test]
fn what_is_written_down_is_for_nobody_else() {
    let site = Site::small(Kind::Serve);
    site.killed(SMALL_CUT);
    let written = &site.uploads()[0];
    let text = fs::read_to_string(written).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let location = file["location"].as_str().unwrap();
    let (path_there, query) = location.split_once('?').unwrap();
    assert!(
        path_there.starts_with("/v2/team/app/blobs/uploads/"),
        "{text}"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(written), mode(written.parent().unwrap())),
        (0o600, 0o700)
    );
    let (output, _) = site.finished_by(site.push().arg("-vv"));
    assert!(output.stderr.contains(path_there), "{output}");
    assert!(!output.stderr.contains(query), "{output}");
}
