//! Folders as people have them: links, doubles, what may not be read, and many images. What is said,
//! and with which code.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::tempdir;

use crate::support::archives::{ImageSpec, Layout, docker_archive, layout, oci_archive};
use crate::support::command::{Output, hoist};
use crate::support::members::Members;
use crate::support::programs::{copy_program, on_path};
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Kind, Registry};

fn app(seed: u64) -> ImageSpec {
    ImageSpec::new(&format!("team/app-{seed}:1")).layer(seed, 2_000)
}

fn list(options: &[&str], path: &Path) -> Output {
    hoist(["list"])
        .args(options.iter().copied())
        .arg(path)
        .run()
}

/// What is in place after a push of `dir`, which must go well, and what the report warns of.
fn pushed(dir: &Path, options: &[&str]) -> (Vec<String>, Vec<String>) {
    let registry = Registry::start(Kind::Serve);
    let report = push(dir, &registry, "t/", options).expect_code(0).json();
    read_back(&registry, &report);
    let warnings = report["warnings"].as_array().unwrap().iter();
    let warnings = warnings.map(|warning| warning.as_str().unwrap().to_owned());
    (arrived(&report).into_keys().collect(), warnings.collect())
}

#[test]
fn an_archive_inside_an_archive_is_not_looked_into_and_said() {
    let dir = tempdir().unwrap();
    let inner = dir.path().join("inner.tar");
    docker_archive(&inner, &[app(1)]);
    let mut members = Members::new();
    members.file("images/inner.tar", &fs::read(&inner).unwrap());
    let outer = dir.path().join("outer");
    members.write(&outer);
    let said =
        "outer: is a tar file with archives in it, which are not looked into: unpack it first";
    list(&[], &outer).expect_code(3).expect_stderr(said);
    let both = hoist(["list"]).arg(&inner).arg(&outer).run();
    let both = both.expect_code(1).expect_stderr(said);
    assert_eq!(both.stdout_lines().len(), 1, "{both}");
}

#[test]
fn one_file_under_several_names_is_pushed_once() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    docker_archive(&at("a.tar"), &[app(1)]);
    fs::hard_link(at("a.tar"), at("b.tar")).unwrap();
    fs::copy(at("a.tar"), at("c.tar")).unwrap();
    symlink("a.tar", at("d.tar")).unwrap();
    oci_archive(&at("e.tar"), &[app(2)]);
    fs::copy(at("e.tar"), at("f.tar")).unwrap();
    let registry = Registry::start(Kind::Serve);
    let output = push(dir.path(), &registry, "t/", &["--follow-links"]).expect_code(0);
    let report = output.json();
    read_back(&registry, &report);
    let names: Vec<String> = arrived(&report).into_keys().collect();
    assert_eq!(names, ["t/team/app-1:1", "t/team/app-2:1"], "{output}");
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 6, "each is in the report: {output}");
    let answered = registry.access();
    // One that is put first may be refused.
    let taken = answered.iter().filter(|a| a.status == 201);
    let puts = taken.filter(|a| a.method == "PUT" && a.target.contains("/manifests/"));
    assert_eq!(puts.count(), 2);
}

#[test]
fn links_that_lead_nowhere_or_in_a_circle_are_warnings() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    layout(&at("deep/layout"), &[app(1)]);
    symlink("circle", at("circle")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("..", at("deep/up")).unwrap();
    symlink("deep", at("again")).unwrap();
    let (names, warnings) = pushed(dir.path(), &["--follow-links"]);
    assert_eq!(names, ["t/team/app-1:1"]);
    let [circle, dangling] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        circle.contains("/circle: Too many levels of symbolic links"),
        "{circle}"
    );
    assert!(
        dangling.contains("/dangling: No such file or directory"),
        "{dangling}"
    );

    let (unfollowed, said) = pushed(dir.path(), &[]);
    assert_eq!(unfollowed, names);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("4 symbolic links were passed over"),
        "{said:?}"
    );

    let typed = at("circle");
    list(&[], &typed)
        .expect_code(3)
        .expect_stderr("circle: Too many levels of symbolic links");
}

#[test]
fn a_folder_with_only_links_says_what_would_follow_them() {
    let (dir, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    layout(elsewhere.path(), &[app(1)]);
    symlink(elsewhere.path(), dir.path().join("link")).unwrap();
    let said = "1 symbolic link was passed over (--follow-links follows it)";
    list(&[], dir.path()).expect_code(3).expect_stderr(said);
    // A link that is typed is followed anyway.
    list(&[], &dir.path().join("link")).expect_code(0);
}

/// `hoist list DIR` as somebody who is not root, whom no permission stops; `None` where that cannot be.
fn list_unprivileged(dir: &Path) -> Option<(i32, String, String)> {
    let root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let place;
    let mut command = if !root {
        Command::new(env!("CARGO_BIN_EXE_hoist"))
    } else if let Some(setpriv) = on_path("setpriv") {
        // Where the tests are built may be closed to others.
        place = tempdir().unwrap();
        let place = place.path();
        fs::set_permissions(place, Permissions::from_mode(0o755)).unwrap();
        let binary = place.join("hoist");
        copy_program(Path::new(env!("CARGO_BIN_EXE_hoist")), &binary);
        let mut command = Command::new(setpriv);
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(binary);
        command
    } else {
        // Not `eprintln`, which the harness swallows.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped, not on PATH: setpriv").unwrap();
        return None;
    };
    let output = command.arg("list").arg(dir).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Some((code, text(output.stdout), text(output.stderr)))
}

#[test]
fn what_may_not_be_read_is_told_and_the_rest_is_taken() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| dir.path().join(name);
    layout(&at("good"), &[app(1)]);
    layout(&at("closed/layout"), &[app(2)]);
    docker_archive(&at("secret.tar"), &[app(3)]);
    let mode = |name: &str, mode| {
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    };
    mode("closed", 0o000);
    mode("secret.tar", 0o000);
    let walked = list_unprivileged(dir.path());
    let typed = list_unprivileged(&at("closed"));
    mode("closed", 0o755);
    let (Some((code, out, err)), Some(typed)) = (walked, typed) else {
        return;
    };
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("team/app-1:1"), "{out}");
    for name in ["closed", "secret.tar"] {
        let said = format!("{name}: Permission denied");
        assert!(err.contains(&said), "{err}");
    }
    assert_eq!(err.lines().count(), 2, "{err}");
    assert_eq!(typed.0, 3);
    assert!(typed.2.contains("error: ") && typed.2.contains("closed: Permission denied"));
}

#[test]
fn a_layout_needs_no_oci_layout_file() {
    let dir = tempdir().unwrap();
    layout(&dir.path().join("layout"), &[app(1)]);
    fs::remove_file(dir.path().join("layout/oci-layout")).unwrap();
    let archive = dir.path().join("archive");
    layout(&archive, &[app(2)]);
    fs::remove_file(archive.join("oci-layout")).unwrap();
    Members::of_folder(&archive).write(&dir.path().join("archive.tar"));
    fs::remove_dir_all(&archive).unwrap();
    let (names, warnings) = pushed(dir.path(), &[]);
    assert_eq!(names, ["t/team/app-1:1", "t/team/app-2:1"]);
    assert!(warnings.is_empty(), "{warnings:?}");

    // Blobs that nothing lists are no image.
    fs::remove_file(dir.path().join("layout/index.json")).unwrap();
    let bare = list(&[], &dir.path().join("layout"));
    bare.expect_code(3).expect_stderr("holds no image");
}

#[test]
fn an_index_json_with_a_thousand_entries_is_read_whole() {
    let dir = tempdir().unwrap();
    let mut many = Layout::create(dir.path());
    let config = many.blob("application/vnd.oci.image.config.v1+json", b"{}");
    for number in 0..1000 {
        let mut fields = json!({"config": config, "layers": []});
        fields["annotations"] = json!({"number": number.to_string()});
        let image = many.manifest(&fields);
        many.enter(image, Some(&format!("team/app-{number}:1")));
    }
    let mut missing = many.manifest(&json!({"config": config, "layers": [], "n": 1}));
    missing["size"] = json!(7);
    many.enter(missing, Some("team/lies:1"));
    many.finish();
    let output = list(&[], dir.path()).expect_code(1);
    assert_eq!(output.stdout_lines().len(), 1000);
    assert!(
        output.stdout_lines()[999].contains("team/app-999:1"),
        "{output}"
    );
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    let said = "error: team/lies:1 is broken: ";
    let output = output
        .expect_stderr(said)
        .expect_stderr("its descriptor says 7");
    assert_eq!(output.code(), Some(1));
}
