//! Who wins, row by row.

use super::*;
use crate::push::operation::Format;

/// What `shown` says of the settings that a file, variables and a line make for one host.
fn settled(file: &str, env: &[(&str, &str)], line: &str, shown: fn(&Args) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, file).unwrap();
    let words = line.split_whitespace().map(OsString::from);
    let (typed, wrong) = crate::cli::args::parse(words.collect());
    assert_eq!(wrong, None, "{line}");
    let env = env.iter().map(|(key, value)| (key.into(), value.into()));
    let mut env: Environment = env.collect();
    env.insert("HOIST_CONFIG".into(), path.into());
    let host = Host::parse("r.example:5000").unwrap();
    let settled = Settings::gather(typed, &env).and_then(|settings| settings.args(Some(&host)));
    match settled {
        Ok(args) => shown(&args),
        Err(error) => error.message,
    }
}

#[test]
fn the_command_line_wins_then_the_environment_then_the_section_then_the_file() {
    const FILE: &str =
        r#"{"jobs": 2, "registries": {"r.example:5000": {"jobs": 3}, "r.example": {"jobs": 9}}}"#;
    const TOP: &str = r#"{"jobs": 2, "registries": {"other.example:5000": {"jobs": 3}}}"#;
    for (file, variable, line, expected) in [
        (FILE, "4", "push -j 5", Some(5)),
        (FILE, "4", "push -j 5 --jobs 6", Some(6)),
        (FILE, "4", "push", Some(4)),
        (FILE, "", "push", Some(3)),
        (TOP, "", "push", Some(2)),
        ("{}", "4", "push", Some(4)),
        ("{}", "", "push", None),
        // A command that has no such option does not care.
        (FILE, "4", "list", None),
        (TOP, "nonsense", "list", None),
    ] {
        let shown = settled(file, &[("HOIST_JOBS", variable)], line, |args| {
            format!("{:?}", args.jobs)
        });
        assert_eq!(shown, format!("{expected:?}"), "{file} {variable} {line}");
    }
}

#[test]
fn what_is_said_twice_is_said_by_the_stronger_one_alone() {
    for (file, env, line, shown, expected) in [
        (
            r#"{"tag": ["a", "b"]}"#,
            &[][..],
            "push --tag c --tag d",
            (|args| format!("{:?}", args.tags.len())) as fn(&Args) -> String,
            "2",
        ),
        (
            r#"{"tag": ["a", "b", "c"]}"#,
            &[],
            "push",
            |args| format!("{:?}", args.tags.len()),
            "3",
        ),
        (
            r#"{"insecure": true}"#,
            &[("HOIST_INSECURE", "no")],
            "push",
            |args| args.insecure.to_string(),
            "false",
        ),
        (
            r#"{"insecure": true, "registries": {"r.example:5000": {"insecure": false}}}"#,
            &[],
            "push",
            |args| args.insecure.to_string(),
            "false",
        ),
        (
            r#"{"insecure": false}"#,
            &[("HOIST_INSECURE", "0")],
            "push --insecure",
            |args| args.insecure.to_string(),
            "true",
        ),
        (
            r#"{"verbose": 2}"#,
            &[],
            "push -v",
            |args| args.verbose.to_string(),
            "1",
        ),
        (
            r#"{"verbose": 2}"#,
            &[],
            "push",
            |args| args.verbose.to_string(),
            "2",
        ),
        (
            r#"{"verbose": true}"#,
            &[("HOIST_LOG", "error")],
            "push",
            |args| format!("{} {}", args.verbose, args.log.is_some()),
            "1 true",
        ),
        (
            "{}",
            &[("HOIST_LOG", "error")],
            "push -v",
            |args| format!("{} {}", args.verbose, args.log.is_some()),
            "1 false",
        ),
        (
            r#"{"format": "docker"}"#,
            &[],
            "push",
            |args| (args.format == Some(Format::Docker)).to_string(),
            "true",
        ),
    ] {
        assert_eq!(settled(file, env, line, shown), expected, "{file} {line}");
    }
}

#[test]
fn what_contradicts_something_weaker_takes_its_place() {
    let trust = |args: &Args| {
        let (insecure, plain) = (args.insecure, args.plain_http);
        format!("{insecure} {plain} {}", args.ca_certs.len())
    };
    let loudness = |args: &Args| format!("{} {}", args.quiet, args.verbose);
    let level = |args: &Args| format!("{:?} {:?}", args.compression, args.compression_level);
    for (file, env, line, shown, expected) in [
        (
            r#"{"ca-cert": "ca.pem"}"#,
            &[][..],
            "push --insecure",
            trust as fn(&Args) -> String,
            "true false 0",
        ),
        (
            r#"{"insecure": true}"#,
            &[],
            "push --ca-cert ca.pem",
            trust,
            "false false 1",
        ),
        (
            r#"{"ca-cert": "ca.pem"}"#,
            &[("HOIST_INSECURE", "no")],
            "push",
            trust,
            "false false 1",
        ),
        (
            r#"{"ca-cert": "ca.pem", "registries": {"r.example:5000": {"plain-http": true}}}"#,
            &[],
            "push",
            trust,
            "false true 0",
        ),
        (r#"{"verbose": 1}"#, &[], "push -q", loudness, "true 0"),
        (r#"{"quiet": true}"#, &[], "push -v", loudness, "false 1"),
        (
            r#"{"compression": "none"}"#,
            &[],
            "push --compression-level 9",
            level,
            "None Some(9)",
        ),
        (
            r#"{"compression-level": 9}"#,
            &[],
            "push --compression none",
            level,
            "Some(None) None",
        ),
        (
            r#"{"compression-level": 9}"#,
            &[],
            "push --compression gzip",
            level,
            "Some(Gzip) Some(9)",
        ),
        (
            r#"{"compression-level": 9}"#,
            &[],
            "push --compression zstd",
            level,
            "Some(Zstd) Some(9)",
        ),
        (
            r#"{"compression-level": 0}"#,
            &[],
            "push --compression zstd",
            level,
            "Some(Zstd) None",
        ),
        (
            r#"{"compression": "zstd", "compression-level": 19}"#,
            &[],
            "push --compression gzip",
            level,
            "Some(Gzip) None",
        ),
        (
            r#"{"compression": "zstd"}"#,
            &[],
            "push --compression-level 19",
            level,
            "Some(Zstd) Some(19)",
        ),
    ] {
        assert_eq!(settled(file, env, line, shown), expected, "{file} {line}");
    }
}

#[test]
fn a_secret_stays_with_its_user_and_a_key_with_its_certificate() {
    const BOTH: &str =
        r#"{"registries": {"r.example:5000": {"username": "a", "password-file": "/a"}}}"#;
    const USER: &str = r#"{"registries": {"r.example:5000": {"username": "a"}}}"#;
    const CERT: &str =
        r#"{"registries": {"r.example:5000": {"client-cert": "/a", "client-key": "/b"}}}"#;
    let who = |args: &Args| {
        let user = args.username.as_deref().unwrap_or("-");
        let file = args.password_file.is_some();
        format!("{user} {file} {}", args.password_variable)
    };
    let shown = |args: &Args| format!("{:?} {:?}", args.client_cert, args.client_key);
    for (file, env, line, show, expected) in [
        (
            BOTH,
            &[][..],
            "push",
            who as fn(&Args) -> String,
            "a true false",
        ),
        (BOTH, &[], "push -u b", who, "b false false"),
        (
            BOTH,
            &[("HOIST_USERNAME", "b")],
            "push",
            who,
            "b false false",
        ),
        (
            BOTH,
            &[("HOIST_PASSWORD", "x")],
            "push",
            who,
            "a false true",
        ),
        (
            USER,
            &[("HOIST_PASSWORD", "x")],
            "push -u b",
            who,
            "b false true",
        ),
        (
            USER,
            &[("HOIST_PASSWORD", "x"), ("HOIST_USERNAME", "c")],
            "push -u b",
            who,
            "b false false",
        ),
        (USER, &[], "push --password-file /c", who, "a true false"),
        (CERT, &[], "push", shown, "Some(\"/a\") Some(\"/b\")"),
        (
            CERT,
            &[],
            "push --client-cert /c",
            shown,
            "Some(\"/c\") None",
        ),
        (
            CERT,
            &[],
            "push --client-key /c",
            shown,
            "Some(\"/a\") Some(\"/c\")",
        ),
        (CERT, &[], "push --plain-http", shown, "None None"),
    ] {
        assert_eq!(
            settled(file, env, line, show),
            expected,
            "{file} {env:?} {line}"
        );
    }
}

#[test]
fn variables_that_make_no_sense_are_named() {
    for (name, value, message) in [
        (
            "HOIST_JOBS",
            "many",
            "\"many\" is not legal for HOIST_JOBS: write a whole number from 1 to 256",
        ),
        (
            "HOIST_INSECURE",
            "maybe",
            "\"maybe\" is not legal for HOIST_INSECURE: write 1, true, yes or on, or 0, false, no or off",
        ),
        (
            "HOIST_USERNAME",
            "a:b",
            "the value of HOIST_USERNAME has a colon behind \"a\": a user name has none, and a password is never an argument",
        ),
        (
            "HOIST_LOG",
            "debgu",
            "\"debgu\" is not legal for HOIST_LOG: write off, error, warn, info, debug or trace, or MODULE=LEVEL, or several with commas",
        ),
    ] {
        let said = settled("{}", &[(name, value)], "push", |_| "legal".to_owned());
        assert_eq!(said, message);
        let empty = settled("{}", &[(name, "")], "push", |_| "legal".to_owned());
        assert_eq!(empty, "legal", "{name}");
    }
}
