//! The configuration file, `HOIST_*` variables, and who of them wins.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, Output, hoist};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Scripted, answer, on};

/// An image in `layout`, and room for a configuration.
fn image() -> TempDir {
    let dir = tempdir().unwrap();
    let spec = ImageSpec::new("team/app:1").layer(1, 5000);
    layout(&dir.path().join("layout"), &[spec]);
    dir
}

fn push(dir: &Path, destination: &str) -> Command {
    hoist(["push"]).arg(dir.join("layout")).arg(destination)
}

/// A push with this file as its configuration.
fn configured(file: &[u8]) -> Output {
    let dir = image();
    let path = dir.path().join("config.json");
    fs::write(&path, file).unwrap();
    push(dir.path(), "localhost:1/")
        .current_dir(dir.path())
        .args(["--retries", "0", "--config", "config.json"])
        .run()
}

#[test]
fn a_file_that_cannot_be_understood_is_exit_2_and_says_where_and_what() {
    let nested = "[".repeat(100_000);
    let long = format!("{{\"jobs\": {}}}", " ".repeat(1 << 20));
    for (file, message) in [
        (
            "",
            "config.json is no configuration file: EOF while parsing a value at line 1 column 0",
        ),
        (
            "[]",
            "config.json is no configuration file: invalid type: sequence, expected an object of long options",
        ),
        (
            "{\"jobs\": 3",
            "config.json is no configuration file: EOF while parsing an object",
        ),
        (
            "{\"jobs\": 3} x",
            "config.json is no configuration file: trailing characters at line 1",
        ),
        (
            "{\n \"jobs\": 3,\n \"jbs\": 3}",
            "config.json, line 3: unknown key \"jbs\"\ntry: \"jobs\"\n",
        ),
        (
            "{\"--jobs\": 3}",
            "line 1: unknown key \"--jobs\"\ntry: \"jobs\"\n",
        ),
        (
            "{\"ca_cert\": \"x\"}",
            "line 1: unknown key \"ca_cert\"\ntry: \"ca-cert\"\n",
        ),
        (
            "{\"regestries\": {}}",
            "line 1: unknown key \"regestries\"\ntry: \"registries\"\n",
        ),
        (
            "{\"anything\": {\"deep\": []}}",
            "line 1: unknown key \"anything\"\ntry: hoist help config\n",
        ),
        (
            "{\"jobs\": 3, \"jobs\": 3}",
            "line 1: \"jobs\" is there twice\n",
        ),
        (
            "{\"registries\": {}, \"registries\": {}}",
            "line 1: \"registries\" is there twice\n",
        ),
        (
            "{\"jobs\": \"3\"}",
            "line 1: \"jobs\" is a string: write a number\n",
        ),
        (
            "{\"jobs\": [3]}",
            "line 1: \"jobs\" is an array: write a number\n",
        ),
        (
            "{\"jobs\": null}",
            "line 1: \"jobs\" is null: write a number\n",
        ),
        (
            "{\"jobs\": 3.5}",
            "line 1: \"3.5\" is not legal for \"jobs\": write a whole number from 1 to 256\n",
        ),
        (
            "{\"jobs\": 300}",
            "line 1: \"300\" is not legal for \"jobs\": write a whole number from 1 to 256\n",
        ),
        (
            "{\"chunk-size\": true}",
            "line 1: \"chunk-size\" is true or false: write a number, or a string with a unit\n",
        ),
        (
            "{\"insecure\": \"yes\"}",
            "line 1: \"insecure\" is a string: write true or false\n",
        ),
        (
            "{\"insecure\": 1}",
            "line 1: \"insecure\" is a number: write true or false\n",
        ),
        (
            "{\"verbose\": 1000}",
            "line 1: \"verbose\" is a number: write true, false or a small number\n",
        ),
        (
            "{\"tag\": [\"a\", 1]}",
            "line 1: \"tag\" is a number: write a string or an array of strings\n",
        ),
        (
            "{\"tag\": [\"a\", [\"b\"]]}",
            "line 1: \"tag\" is an array with something else in it: write a string or an array of strings\n",
        ),
        (
            "{\"format\": [\"oci\"]}",
            "line 1: \"format\" is an array: write a string\n",
        ),
        (
            "{\"format\": \"oci \"}",
            "line 1: \"oci \" is not legal for \"format\": write oci or docker\n",
        ),
        ("{\"include\": [\"a\", \"{b\"]}", "line 1: \"include\": "),
        (
            "{\"ca-cert\": \"\"}",
            "line 1: \"\" is not legal for \"ca-cert\": write the path of a file\n",
        ),
        (
            "{\"state-dir\": \"\"}",
            "line 1: \"\" is not legal for \"state-dir\": write the path of a folder\n",
        ),
        (
            "{\"password-stdin\": true}",
            "line 1: \"password-stdin\" has no place in a file: it is an option of the command line\n",
        ),
        (
            "{\"config\": \"x\"}",
            "line 1: \"config\" has no place in a file",
        ),
        (
            "{\"username\": \"x\"}",
            "line 1: \"username\" is for one registry only\ntry: {\"registries\": {\"HOST\": {\"username\": …}}}\n",
        ),
        (
            "{\"registries\": []}",
            "config.json is no configuration file: invalid type: sequence, expected an object with one object for each registry",
        ),
        (
            "{\"registries\": {\"r.io\": 3}}",
            "config.json is no configuration file: invalid type: integer `3`, expected an object of options of one registry",
        ),
        (
            "{\"registries\": {\"r.io\": \"http://me:pw, expected @proxy\"}}",
            "config.json is no configuration file: invalid type: string, expected an object of options of one registry",
        ),
        (
            "{\"registries\": {\"https://r.io\": {}}}",
            "line 1: \"https://r.io\" is not a host",
        ),
        (
            "{\"registries\": {\"r.io\": {},\n\"R.io\": {}}}",
            "line 2: \"R.io\" is there twice\n",
        ),
        (
            "{\"registries\": {\"docker.io\": {}, \"index.docker.io\": {}}}",
            "\"index.docker.io\" is there twice\n",
        ),
        (
            "{\"registries\": {\"r.io\": {\"images\": 3}}}",
            "line 1: \"images\" is for all registries, not for one of \"registries\"\ntry: write it beside \"registries\"\n",
        ),
        (
            "{\"registries\": {\"r.io\": {\"registries\": {}}}}",
            "line 1: unknown key \"registries\"\n",
        ),
        (
            "{\"quiet\": true, \"verbose\": true}",
            "line 1: \"quiet\" and \"verbose\" contradict each other: less or more?\n",
        ),
        (
            "{\"registries\": {\"r.io\": {\"insecure\": true, \"ca-cert\": \"x\"}}}",
            "\"insecure\" and \"ca-cert\" contradict each other",
        ),
        (
            &nested,
            "config.json is no configuration file: invalid type: sequence",
        ),
        (
            &format!("{{\"tag\": {nested}"),
            "config.json is no configuration file: recursion limit exceeded at line 1",
        ),
        (&long, "--config config.json: has more than 1 MiB\n"),
    ] {
        let output = configured(file.as_bytes()).expect_code(2);
        assert!(output.stderr.starts_with("error: "), "{output}");
        assert!(output.stdout.is_empty(), "{output}");
        output.expect_stderr(message);
    }
    configured(b"{\"tag\": \"\xff\"}")
        .expect_code(2)
        .expect_stderr("config.json is no configuration file: ");
    let output = hoist(["list", "--config", "/dev/null", "x", "-o", "json"]).run();
    assert_eq!(output.expect_code(2).json()["outcome"], "usage");
}

#[test]
fn a_file_that_is_named_must_be_there_and_one_that_is_there_must_be_readable() {
    let dir = image();
    for (options, variable, message) in [
        (
            &["--config", "no.json"][..],
            "",
            "error: --config no.json: No such file",
        ),
        (&[], "no.json", "error: HOIST_CONFIG no.json: No such file"),
        (
            &["--config", "layout"],
            "no.json",
            "error: --config layout: Is a directory",
        ),
        (
            &["--config", ""],
            "",
            "error: \"\" is not legal for --config: write the path of a file",
        ),
    ] {
        let command = push(dir.path(), "localhost:1/").args(options);
        let command = command
            .current_dir(dir.path())
            .env("HOIST_CONFIG", variable);
        command.run().expect_code(2).expect_stderr(message);
    }
    let place = dir.path().join(".config/hoist/config.json");
    fs::create_dir_all(&place).unwrap();
    let command = push(dir.path(), "localhost:1/").env("HOME", dir.path());
    let message = format!("error: config file {}: Is a directory", place.display());
    command.run().expect_code(2).expect_stderr(&message);
}

#[test]
fn the_file_is_looked_for_in_its_places() {
    let dir = image();
    let (home, xdg) = (dir.path().join("home"), dir.path().join("xdg"));
    for (folder, tag) in [(home.join(".config"), "home"), (xdg.clone(), "xdg")] {
        fs::create_dir_all(folder.join("hoist")).unwrap();
        let file = format!("{{\"include\": \"{tag}/none\"}}");
        fs::write(folder.join("hoist/config.json"), file).unwrap();
    }
    let layout = dir.path().join("layout");
    let list = |env: &[(&str, &Path)]| {
        let list = hoist(["list"]).arg(&layout);
        let list = env
            .iter()
            .fold(list, |list, (key, value)| list.env(*key, *value));
        list.current_dir(dir.path()).run().code()
    };
    let named = dir.path().join("named.json");
    fs::write(&named, "{}").unwrap();
    let nowhere = Path::new("");
    // 3: everything is filtered out, so the file has been read.
    assert_eq!(list(&[("HOME", &home)]), Some(3));
    assert_eq!(list(&[("XDG_CONFIG_HOME", &xdg)]), Some(3));
    assert_eq!(
        list(&[("XDG_CONFIG_HOME", &xdg), ("HOME", nowhere)]),
        Some(3)
    );
    assert_eq!(
        list(&[("XDG_CONFIG_HOME", nowhere), ("HOME", &home)]),
        Some(3)
    );
    assert_eq!(list(&[("HOME", nowhere)]), Some(0));
    assert_eq!(list(&[("HOME", &xdg)]), Some(0));
    // Relative folders do not count, says the specification.
    let relative = Path::new("xdg");
    assert_eq!(list(&[("XDG_CONFIG_HOME", relative)]), Some(0));
    assert_eq!(list(&[("HOME", &home), ("HOIST_CONFIG", &named)]), Some(0));
    assert_eq!(list(&[("HOME", &layout.join("index.json"))]), Some(0));
}

/// Every option of a file takes effect as it would on the command line.
#[test]
fn a_file_sets_what_the_command_line_sets() {
    let (dir, registry) = (image(), Registry::start(Kind::Serve));
    let conf = dir.path().join("conf");
    fs::create_dir_all(&conf).unwrap();
    fs::write(conf.join("names"), "team/app:1 renamed:2\n").unwrap();
    let file = serde_json::json!({
        "map": "names",
        "digest-file": "digests",
        "tag": ["three", "four"],
        "output": "json",
        "chunk-size": 2000,
        "stall-timeout": "20s",
        "quiet": true,
        "progress": "none",
        "registries": {registry.host(): {"chunk-size": "1KiB", "jobs": 2, "plain-http": true}},
    });
    fs::write(conf.join("hoist.json"), file.to_string()).unwrap();
    let destination = format!("{}/demo/", registry.host());
    let output = push(dir.path(), &destination)
        .current_dir(dir.path())
        .args(["--config", "conf/hoist.json"])
        .run()
        .expect_code(0);
    assert!(output.stderr.is_empty(), "{output}");
    let report = output.json();
    let targets = report["images"][0]["targets"].as_array().unwrap();
    let mut names: Vec<&str> = targets
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let expected = ["2", "four", "three"].map(|tag| format!("{destination}renamed:{tag}"));
    assert_eq!(names, expected);
    let digests = fs::read_to_string(conf.join("digests")).unwrap();
    assert_eq!(digests.lines().count(), 3, "{digests}");
    // The layer in pieces of 1 KiB, not of 2000 bytes: the last one is a PUT.
    let patches = registry.access();
    let patches = patches.iter().filter(|access| access.method == "PATCH");
    assert!(patches.count() >= 3, "{:?}", registry.access());

    let typed = push(dir.path(), &destination)
        .current_dir(dir.path())
        .args(["--config", "conf/hoist.json", "-o", "text", "--tag", "five"]);
    let lines = typed.run().expect_code(0).stdout;
    assert!(
        lines.contains("renamed:five@") && lines.lines().count() == 2,
        "{lines}"
    );
}

/// The user that a registry is told, whoever names it.
#[test]
fn the_command_line_wins_over_variables_and_these_over_the_file() {
    let dir = image();
    let basic = answer(401).header("WWW-Authenticate", "Basic realm=\"test\"");
    for (options, variable, user) in [
        (&["-u", "typed"][..], "variable", "typed"),
        (&[], "variable", "variable"),
        (&[], "", "section"),
    ] {
        let server = Scripted::start([on("*", "/").then(basic.clone())]);
        let host = server.address().to_string();
        let file = serde_json::json!({"registries": {host.clone(): {"username": "section"}}});
        let path = dir.path().join("config.json");
        fs::write(&path, file.to_string()).unwrap();
        let output = push(dir.path(), &format!("{host}/demo/"))
            .args(["--retries", "0", "--password-stdin"])
            .args(options)
            .env("HOIST_USERNAME", variable)
            .env("HOIST_CONFIG", &path)
            .stdin("s3cret\n")
            .run()
            .expect_code(4);
        let said = format!("the credentials of {user} (from --password-stdin) were refused");
        assert!(output.stderr.contains(&said), "{output}");
    }
}

#[test]
fn what_is_logged_is_what_the_variable_asks_for() {
    let (dir, registry) = (image(), Registry::start(Kind::Serve));
    let destination = format!("{}/demo/", registry.host());
    let logged = |filter: &str, options: &[&str]| {
        let command = push(dir.path(), &destination).args(options);
        let output = command.env("HOIST_LOG", filter).run().expect_code(0);
        output.stderr.contains(" debug: ")
    };
    assert!(logged("hoist=debug", &[]));
    assert!(logged("hoist::registry=debug", &[]));
    assert!(!logged("warn", &[]));
    assert!(!logged("", &[]));
    assert!(!logged("debug", &["-v"]));
    assert!(!logged("debug", &["-q"]));
}
