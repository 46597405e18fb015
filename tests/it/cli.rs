//! The command line without a registry: what is refused, in which words, on which stream.

use crate::support::command::hoist;

#[test]
fn help_and_version_are_results() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["push", "--help"],
        &["push", "a.tar", "-h"],
        &["help", "push"],
        &["help", "serve"],
        &["help", "sources"],
        &["help", "destinations"],
        &["help", "report"],
        &["help", "exit-codes"],
        &["list", "--help"],
    ] {
        let output = hoist(args).run().expect_code(0);
        assert!(
            output.stdout.len() > 200 && output.stderr.is_empty(),
            "{output}"
        );
    }
    let version = format!("hoist {}\n", env!("CARGO_PKG_VERSION"));
    hoist(["--version"])
        .run()
        .expect_code(0)
        .expect_stdout(&version);
    hoist(["push", "-V"])
        .run()
        .expect_code(0)
        .expect_stdout(&version);
}

#[test]
fn wrong_usage_is_a_sentence_on_standard_error_and_exit_2() {
    for (args, said) in [
        (&[][..], "error: no command\ntry: hoist --help\n"),
        (
            &["pusch"],
            "error: unknown command \"pusch\"\ntry: hoist push\n",
        ),
        (&["push"], "error: no source and no destination\n"),
        (
            &["push", "a.tar"],
            "error: no destination\ntry: hoist push SOURCE... DESTINATION\n",
        ),
        (
            &["push", "--jbos", "a", "h/"],
            "error: unknown option --jbos\n",
        ),
        (
            &["push", "--platfrom=x", "a", "localhost/"],
            "error: unknown option --platfrom\ntry: --platform\n",
        ),
        (
            &["push", "-j", "0", "a", "localhost/"],
            "error: \"0\" is not legal for --jobs: write a whole number from 1 to 256\n",
        ),
        (
            &["push", "--chunk-size", "16Mb2", "a", "localhost/"],
            "error: \"16Mb2\" is not legal for --chunk-size: write ",
        ),
        (
            &["push", "--dry-run", "a", "localhost/"],
            "error: unknown option --dry-run\n",
        ),
        (
            &["push", "-", "a.tar", "-", "localhost/"],
            "error: standard input can be read once: - is a source twice",
        ),
        (
            &["push", "-u", "me", "--password-stdin", "-", "localhost/"],
            "error: standard input cannot be a source and the password",
        ),
        (&["push", "", "localhost/"], "error: \"\" is no source"),
        (
            &["push", "--tag", "a:b", "a", "localhost/"],
            "error: --tag: \"a:b\"",
        ),
        (
            &["push", "a.tar", "nginx"],
            "try: docker.io/library/nginx\n",
        ),
        (
            &["push", "-q", "-v", "a", "localhost/"],
            "error: --quiet and --verbose contradict",
        ),
        (
            &["push", "--plain-http", "--ca-cert", "x", "a", "localhost/"],
            "error: --plain-http and --ca-cert contradict",
        ),
        (
            &[
                "push",
                "--plain-http",
                "--client-cert",
                "x",
                "a",
                "localhost/",
            ],
            "error: --plain-http and --client-cert contradict",
        ),
        (
            &["push", "--user-agent", "a\nb", "a", "localhost/"],
            "is not legal for --user-agent",
        ),
        (
            &[
                "push",
                "--compression=none",
                "--compression-level=3",
                "a",
                "localhost/",
            ],
            "error: --compression and --compression-level contradict",
        ),
        (
            &["push", "--compression-level=10", "a", "localhost/"],
            "error: --compression-level 10: gzip has the levels 0 to 9\n",
        ),
        (
            &[
                "push",
                "--compression=zstd",
                "--compression-level=0",
                "a",
                "localhost/",
            ],
            "error: --compression-level 0: zstd has the levels 1 to 19\n",
        ),
        (
            &["push", "--compression-level=20", "a", "localhost/"],
            "is not legal for --compression-level: write a whole number from 0 to 19",
        ),
        (
            &[
                "push",
                "--format=docker",
                "--compression=zstd",
                "a",
                "localhost/",
            ],
            "error: --format docker and --compression zstd contradict each other: docker manifests have",
        ),
        (
            &["push", "--min-size=2K", "--max-size=1K", "a", "localhost/"],
            "error: --min-size 2048 is above --max-size 1024",
        ),
        (
            &["push", "-u", "robot", "a", "localhost/"],
            "error: no password for user \"robot\"",
        ),
        (
            &["push", "--password-stdin", "a", "localhost/"],
            "error: --password-stdin needs a user\n",
        ),
        (
            &["push", "-u", "robot", "--password-stdin", "a", "localhost/"],
            "error: --password-stdin: there is nothing in it\n",
        ),
        (
            &["push", "--ca-cert", "/nonexistent.pem", "a", "localhost/"],
            "/nonexistent.pem",
        ),
        (&["list"], "error: no source\n"),
        (
            &["list", "--jobs", "3", "."],
            "error: --jobs is an option of hoist push",
        ),
        (&["serve"], "error: no folder\n"),
        (
            &["serve", "a", "b"],
            "error: one folder at a time: what is \"b\"?\n",
        ),
        (
            &["serve", "--listen", "5000", "a"],
            "error: \"5000\" is not legal for --listen",
        ),
        (
            &["help", "sauces"],
            "error: no help on \"sauces\"\ntry: hoist help sources\n",
        ),
    ] {
        let output = hoist(args).run().expect_code(2).expect_stderr(said);
        assert!(output.stdout.is_empty(), "{output}");
        assert!(output.stderr.starts_with("error: "), "{output}");
    }
}

#[test]
fn wrong_usage_is_a_document_where_that_was_asked_for() {
    for args in [
        &["push", "-o", "json"][..],
        &["push", "--bad", "a.tar", "-ojson"],
        &[
            "push",
            "--output=json",
            "--jobs",
            "0",
            "a.tar",
            "localhost/",
        ],
        &["push", "a.tar", "localhost/", "-q", "-u", "me", "-o=json"],
        &["pusch", "a.tar", "--output", "json"],
        &["list", "--output", "json"],
    ] {
        let output = hoist(args).run().expect_code(2).expect_stderr("error: ");
        let report = output.json();
        assert_eq!(report["outcome"], "usage", "{output}");
        assert_eq!(report["exit_code"], 2, "{output}");
        assert_eq!(report["errors"][0]["kind"], "usage", "{output}");
        let message = report["errors"][0]["message"].as_str().unwrap();
        assert!(output.stderr.contains(message), "{output}");
    }
}

#[test]
fn a_password_that_is_a_file_by_mistake_is_not_read_to_its_end() {
    let args = [
        "push",
        "-u",
        "me",
        "--password-stdin",
        "a.tar",
        "localhost/",
    ];
    let output = hoist(args).stdin("x".repeat(1 << 20)).run().expect_code(2);
    output.expect_stderr("error: --password-stdin: more than 64 KiB are no secret");
}

/// Arguments are foreign text as well: they must not drive the terminal they are quoted on.
#[test]
fn what_is_quoted_is_escaped() {
    for args in [
        &["push\u{1b}[2J"][..],
        &["push", "--bad\u{1b}[2J"],
        &["push", "a\r\n", "host\u{1b}[2J/"],
        &["push", "-\u{9b}"],
        &["list", "/nonexistent/\u{1b}[2J"],
    ] {
        let output = hoist(args).run();
        let active = |c: char| c.is_control() && c != '\n';
        assert!(!output.stderr.contains(active), "{:?}", output.stderr);
        assert!(output.code() != Some(0), "{output}");
    }
}
