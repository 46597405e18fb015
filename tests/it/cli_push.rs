//! `hoist push` as a command: which stream says what, the digest file, the exit codes, signals.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, Output, Running, hoist};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, answer, held, on, pass};

/// Two images that share a layer.
fn images() -> TempDir {
    let dir = tempdir().unwrap();
    let app = ImageSpec::new("team/app:1").also("team/app:latest");
    let specs = [
        app.layer(1, 5000).layer(2, 3000),
        ImageSpec::new("team/web:2").layer(1, 5000),
    ];
    layout(&dir.path().join("layout"), &specs);
    dir
}

/// An image that lacks its layer.
fn break_one(dir: &Path) {
    let specs = [ImageSpec::new("team/broken:1").layer(9, 9000)];
    layout(dir, &specs);
    let blobs = fs::read_dir(dir.join("blobs/sha256")).unwrap();
    let layer = blobs.map(|blob| blob.unwrap().path());
    let layer = layer.max_by_key(|path| fs::metadata(path).unwrap().len());
    fs::remove_file(layer.unwrap()).unwrap();
}

fn push(source: &Path, destination: &str, options: &[&str]) -> Command {
    let command = hoist(["push"].iter().chain(options));
    command.arg(source).arg(destination)
}

/// `HOST/REPOSITORY:TAG@DIGEST` of what a report says is in place.
fn in_place(report: &serde_json::Value) -> Vec<String> {
    let mut lines = Vec::new();
    for image in report["images"].as_array().unwrap() {
        for target in image["targets"].as_array().unwrap() {
            if target["status"] == "pushed" || target["status"] == "present" {
                let name = target["name"].as_str().unwrap();
                lines.push(format!("{name}@{}", image["digest"].as_str().unwrap()));
            }
        }
    }
    lines
}

#[test]
fn results_go_to_standard_output_and_the_digest_file_and_all_else_to_standard_error() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    let destination = format!("{}/demo/", registry.host());
    let file = dir.path().join("digests");
    let digests = ["--digest-file", file.to_str().unwrap()];

    let first = push(&dir.path().join("layout"), &destination, &digests)
        .run()
        .expect_code(0);
    let lines = first.stdout_lines();
    assert_eq!(lines.len(), 3, "{first}");
    for line in &lines {
        let (name, digest) = line.split_once('@').unwrap();
        assert!(name.starts_with(&format!("{destination}team/")), "{line}");
        let (repository, tag) = name[registry.host().len() + 1..].split_once(':').unwrap();
        let manifest = registry.manifest(repository, tag);
        assert_eq!(
            manifest.header("Docker-Content-Digest").as_deref(),
            Some(digest)
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), first.stdout);
    for said in [
        "2 images found, 2 pushed, 0 already there, 0 failed",
        "success rate 100 %",
    ] {
        assert!(first.stderr.contains(said), "{first}");
    }

    fs::write(&file, "from before").unwrap();
    let again: Vec<&str> = digests.into_iter().chain(["-q"]).collect();
    let second = push(&dir.path().join("layout"), &destination, &again)
        .run()
        .expect_code(0);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(fs::read_to_string(&file).unwrap(), first.stdout);
    assert!(second.stderr.is_empty(), "{second}");

    let third = push(&dir.path().join("layout"), &destination, &["-o", "json"]).run();
    let third = third.expect_code(0).expect_stderr("2 already there");
    let report = third.json();
    assert_eq!(in_place(&report), lines, "{third}");
    assert_eq!(
        (&report["outcome"], &report["exit_code"]),
        (&json!("ok"), &json!(0))
    );
}

#[test]
fn a_target_is_one_line_however_many_sources_bring_it_about() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    let source = dir.path().join("layout");
    let destination = format!("{}/demo/", registry.host());
    let once = push(&source, &destination, &[]).run().expect_code(0);
    let again = [source.to_str().unwrap(), "-q"];
    let twice = push(&source, &destination, &again).run().expect_code(0);
    twice.expect_stdout(&once.stdout);
}

#[test]
fn a_broken_image_is_one_error_and_the_rest_is_pushed() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    break_one(&dir.path().join("broken"));
    let destination = format!("{}/demo/", registry.host());
    let output = push(dir.path(), &destination, &["-q"]).run().expect_code(1);
    assert_eq!(output.stdout_lines().len(), 3, "{output}");
    let errors: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(errors.len(), 1, "{output}");
    assert!(errors[0].starts_with("error: push of "), "{output}");
    assert!(errors[0].contains("broken"), "{output}");

    let told = push(dir.path(), &destination, &["-o", "json"])
        .run()
        .expect_code(1);
    let report = told.json();
    assert_eq!(report["outcome"], "partial", "{told}");
    let told = told.expect_stderr("3 images found, 0 pushed, 2 already there, 1 failed");
    told.expect_stderr("success rate 66.6 %");

    let alone = push(&dir.path().join("broken"), &destination, &[])
        .run()
        .expect_code(1);
    assert!(alone.stdout.is_empty(), "{alone}");
}

#[test]
fn nothing_to_push_is_exit_3_and_several_images_for_one_target_exit_2() {
    let dir = images();
    let empty = tempdir().unwrap();
    for (source, destination, options, code, outcome) in [
        (empty.path(), "localhost:1/", &[][..], 3, "nothing"),
        (Path::new("/nonexistent"), "localhost:1/", &[], 3, "nothing"),
        (
            dir.path(),
            "localhost:1/",
            &["--include", "no/such"],
            3,
            "nothing",
        ),
        (dir.path(), "localhost:1/app", &[], 2, "usage"),
    ] {
        let output = push(source, destination, options).run().expect_code(code);
        assert!(output.stdout.is_empty(), "{output}");
        output.expect_stderr("error: ");
        let options: Vec<&str> = options.iter().copied().chain(["-o", "json"]).collect();
        let told = push(source, destination, &options).run().expect_code(code);
        let report = told.json();
        assert_eq!(report["outcome"], outcome, "{told}");
        assert_eq!(report["exit_code"], code, "{told}");
        assert!(!report["errors"].as_array().unwrap().is_empty(), "{told}");
    }
}

#[test]
fn a_refused_login_is_exit_4_and_an_unreachable_registry_exit_5() {
    let dir = images();
    let basic = answer(401).header("WWW-Authenticate", "Basic realm=\"test\"");
    let server = Scripted::start([on("*", "/").then(basic)]);
    let destination = format!("{}/demo/", server.address());
    let refused = push(dir.path(), &destination, &["--retries", "0"])
        .run()
        .expect_code(4);
    assert!(refused.stdout.is_empty(), "{refused}");
    let refused = refused.expect_stderr("error: push of ");

    let login = ["-u", "robot", "--password-stdin", "-o", "json"];
    let typed = push(dir.path(), &destination, &login)
        .stdin("s3cret\n")
        .run()
        .expect_code(4);
    let report = typed.json();
    assert_eq!(report["images"][0]["error"]["kind"], "auth", "{typed}");
    assert!(!typed.to_string().contains("s3cret"), "{typed}");
    // `robot:s3cret`, RFC 7617 section 2.
    let sent = "Basic cm9ib3Q6czNjcmV0";
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .any(|seen| seen.header("authorization") == Some(sent)),
        "{refused}"
    );
    drop(server);

    let gone = push(dir.path(), &destination, &["--retries", "0"])
        .run()
        .expect_code(5);
    assert!(gone.stdout.is_empty(), "{gone}");
    gone.expect_stderr("error: push of ");
}

#[test]
fn a_digest_file_that_cannot_be_written_is_exit_1_after_everything_was_pushed() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    let destination = format!("{}/demo/", registry.host());
    for (file, why) in [
        ("/nonexistent/digests", "its folder is not there"),
        ("/", "is a folder"),
    ] {
        let early = push(dir.path(), &destination, &["--digest-file", file]);
        let told = format!("error: --digest-file {file}: {why}\n");
        early.run().expect_code(2).expect_stderr(&told);
    }
    assert_eq!(registry.access(), []);
    let options = ["--digest-file", "/dev/full", "-o", "json"];
    let output = push(dir.path(), &destination, &options)
        .run()
        .expect_code(1);
    let output = output.expect_stderr("error: writing the digest file /dev/full failed: ");
    let report = output.json();
    assert_eq!(report["exit_code"], 1, "{output}");
    assert_eq!(in_place(&report).len(), 3, "{output}");
}

#[cfg(target_os = "linux")]
#[test]
fn few_open_files_make_few_jobs() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    let limited = "ulimit -n 32; exec \"$0\" \"$@\"";
    let output = std::process::Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_hoist")])
        .args(["push", "--retries", "0", "-j", "48"])
        .arg(dir.path())
        .arg(format!("{}/demo/", registry.host()))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let warning = "warning: --jobs 6 instead of 48: no more than 32 files may be open at once";
    assert!(said.starts_with(warning), "{said}");
}

/// A registry that holds every request from its `nth` on, and a push that waits for it.
fn stuck(dir: &Path, options: &[&str]) -> (Running, Gate, Scripted) {
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(503)))]);
    let destination = format!("{}/demo/", server.address());
    let running = push(dir, &destination, options).spawn();
    gate.wait_for(1);
    (running, gate, server)
}

/// One second is promised; the rest is for a loaded machine.
const AT_ONCE: Duration = Duration::from_millis(2500);

fn end_by(signal: &str, running: Running) -> Output {
    let begun = Instant::now();
    running.signal(signal);
    let output = running.wait();
    assert!(begun.elapsed() < AT_ONCE, "{:?}: {output}", begun.elapsed());
    output
}

#[test]
fn signals_end_a_push_that_waits_for_a_registry() {
    let dir = images();
    // Two at once are one: `timeout` sends them so.
    for (signal, code) in [("INT", 130), ("TERM", 143), ("TERM TERM", 143)] {
        let (running, _gate, _server) = stuck(dir.path(), &["-o", "json"]);
        let output = end_by(signal, running).expect_code(code);
        let report = output.json();
        assert_eq!(report["outcome"], "interrupted", "{output}");
        assert_eq!(report["exit_code"], code, "{output}");
        assert_eq!(report["images"].as_array().unwrap().len(), 2, "{output}");
        let output = output.expect_stderr("error: interrupted\n");
        let output = output.expect_stderr("once more ends at once");
        output.expect_stderr("2 images found, 0 pushed, 0 already there, 0 failed, 2 not finished");
    }
}

#[test]
fn an_interrupted_push_says_what_was_done() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    let gate = Gate::new();
    let hold = on("*", "/v2/demo/team/web/").then(held(&gate, answer(503)));
    let server = Scripted::before(registry.address(), [hold]);
    let destination = format!("{}/demo/", server.address());
    let file = dir.path().join("digests");
    let options = ["--images", "1", "--digest-file", file.to_str().unwrap()];
    let mut running = push(&dir.path().join("layout"), &destination, &options).spawn();
    gate.wait_for(1);
    running.wait_for_stderr("pushed ");
    let output = end_by("INT", running).expect_code(130);
    assert_eq!(output.stdout_lines().len(), 2, "{output}");
    assert!(
        output
            .stdout
            .lines()
            .all(|line| line.contains("/team/app:")),
        "{output}"
    );
    assert_eq!(fs::read_to_string(file).unwrap(), output.stdout);
    output.expect_stderr("2 images found, 1 pushed");
}

/// `COLUMNS` is the only thing that tells how wide the display may be.
#[test]
fn the_live_display_keeps_to_its_width_and_leaves_the_terminal_as_it_was() {
    let (dir, registry) = (images(), Registry::start(Kind::Serve));
    let gate = Gate::new();
    let hold = on("PUT", "/v2/").then(held(&gate, pass()));
    let server = Scripted::before(registry.address(), [hold]);
    let destination = format!("{}/demo/", server.address());
    let shown = push(
        &dir.path().join("layout"),
        &destination,
        &["--progress", "bar"],
    );
    let mut running = shown.env("COLUMNS", "40").spawn();
    running.wait_for_stderr(" of 2 images");
    gate.open();
    let output = running.wait().expect_code(0);
    let (live, after) = output.stderr.rsplit_once("\u{1b}").unwrap();
    assert!(
        after.starts_with("[J"),
        "the display is taken away: {output}"
    );
    assert!(after.contains("2 images found"), "{output}");
    let (off, on) = (live.matches("[?7l").count(), live.matches("[?7h").count());
    assert!(
        off > 0 && off == on,
        "{off} times without wrap, {on} times with: {output}"
    );
    for line in live.lines().filter(|line| line.ends_with("\u{1b}[K")) {
        let text = line.rsplit('\u{1b}').nth(1).unwrap();
        let text = text.trim_start_matches("[?7l");
        assert!(text.chars().count() < 40, "{line:?}");
    }
}
