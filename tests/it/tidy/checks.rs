//! The rules themselves, on sources made up to break them.

use super::*;

fn source(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

/// A function of `lines` lines in all.
fn function(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
}

#[test]
fn code_is_what_is_left_without_words() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a("b \" c") + d"#, "a(        ) + d"),
        (r##"r#"a "b" c"# d"##, "              d"),
        ("br\"a\\\" b", "         b"),
        ("for x in y", "for x in y"),
        ("'a' '\\'' &'a str 'é'", "             &'a str    "),
        ("b'{' {", "b    {"),
        ("\"one\ntwo\" x", "    \n     x"),
    ] {
        let code = Code::of(text);
        let shown: Vec<&str> = code.as_str().split_whitespace().collect();
        let wanted: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(shown, wanted, "{text}");
        assert_eq!(code.lines().count(), text.lines().count(), "{text}");
    }
}

#[test]
fn a_file_without_an_opening_is_seen() {
    for (text, complaints) in [
        ("//! What it is for.\n", 0),
        ("//!\n", 1),
        ("//! \n//! Later.\n", 1),
        ("\n//! Late.\n", 1),
        ("use std::fmt;\n", 1),
        ("", 1),
    ] {
        assert_eq!(
            opening(&source("src/a.rs", text)).len(),
            complaints,
            "{text:?}"
        );
    }
}

#[test]
fn unfinished_code_is_seen_everywhere() {
    for text in [
        "fn a() { todo!() }",
        "dbg!(a)",
        "#[ignore]\nfn a() {}",
        "#[ignore = \"slow\"]",
    ] {
        for path in ["src/image/a.rs", "tests/it/a.rs", "src/image/a/tests.rs"] {
            assert_eq!(unfinished(&source(path, text)).len(), 1, "{text} in {path}");
        }
    }
    let words = "//! todo! later\nfn a() { say(\"todo!\") } // dbg!";
    assert_eq!(
        unfinished(&source("src/image/a.rs", words)),
        Vec::<String>::new()
    );
    let second = unfinished(&source("src/image/a.rs", "a();\ntodo!();"));
    assert_eq!(second, ["src/image/a.rs:2: todo!"]);
}

#[test]
fn what_is_unwrapped_is_seen_outside_tests() {
    let inline = "fn a() { b.unwrap() }\n#[cfg(test)]\nmod tests { fn c() { d.unwrap() } }\n";
    assert_eq!(
        unwrapped(&source("src/image/a.rs", inline)),
        ["src/image/a.rs:1: .unwrap()"]
    );
    let after = "#[cfg(test)]\nuse x;\nfn a() {\n    b.unwrap()\n}\n";
    assert_eq!(
        unwrapped(&source("src/image/a.rs", after)),
        ["src/image/a.rs:4: .unwrap()"]
    );
    assert_eq!(
        unwrapped(&source("tests/it/a.rs", inline)),
        Vec::<String>::new()
    );
    assert_eq!(
        unwrapped(&source("src/image/a/tests.rs", inline)),
        Vec::<String>::new()
    );
    let other = "fn a() { b.unwrap_or(0); \".unwrap()\" }";
    assert_eq!(
        unwrapped(&source("src/image/a.rs", other)),
        Vec::<String>::new()
    );
}

#[test]
fn a_forbidden_import_is_seen() {
    for (path, text, named) in [
        (
            "src/net/mod.rs",
            "use crate::image::digest::Digest;",
            Some("image::digest::Digest"),
        ),
        (
            "src/pool/a.rs",
            "fn a() { crate::net::go() }",
            Some("net::go"),
        ),
        ("src/image/a.rs", "use crate::pool::workers;", None),
        ("src/image/a.rs", "use crate::image::b;", None),
        (
            "src/image/a.rs",
            "use crate::push::plan;",
            Some("push::plan"),
        ),
        ("src/image.rs", "use super::push::plan;", Some("push::plan")),
        ("src/image/a.rs", "use super::super::push;", Some("push")),
        ("src/image/a.rs", "use super::media::OCI;", None),
        (
            "src/serve/a.rs",
            "use crate::registry::client;",
            Some("registry::client"),
        ),
        (
            "src/serve/a.rs",
            "use crate::pool::workers;",
            Some("pool::workers"),
        ),
        (
            "src/registry/a.rs",
            "use crate::observe::event::Emit;",
            None,
        ),
        (
            "src/registry/a.rs",
            "use crate::observe::log;",
            Some("observe::log"),
        ),
        (
            "src/registry/a.rs",
            "use crate::observe;\nfn a() { observe::event::b() }",
            None,
        ),
        (
            "src/registry/a.rs",
            "use crate::observe;\nfn a() { observe::log::b() }",
            Some("observe::log::b"),
        ),
        ("src/registry/a.rs", "use crate::observe;", Some("observe")),
        (
            "src/registry/a.rs",
            "use crate::observe::events;",
            Some("observe::events"),
        ),
        ("src/registry/a.rs", "use crate::{image, net::Http};", None),
        (
            "src/registry/a.rs",
            "use crate::{image::{a, b}, push::{c, d}};",
            Some("push::c"),
        ),
        (
            "src/registry/a.rs",
            "use crate::observe::{self, event};",
            Some("observe"),
        ),
        (
            "src/push/a.rs",
            "use crate::net;\nstruct A(net::Settings);",
            None,
        ),
        (
            "src/push/a.rs",
            "use crate::net;\nstruct A(net::Request);",
            Some("net::Request"),
        ),
        ("src/push/a.rs", "use crate::cli::run;", Some("cli::run")),
        (
            "src/trust/a.rs",
            "use crate::push::plan;",
            Some("push::plan"),
        ),
        (
            "src/cli/a.rs",
            "use crate::{push, serve, observe::progress};",
            None,
        ),
        ("src/main.rs", "fn main() { hoist::cli::run() }", None),
        (
            "src/main.rs",
            "fn main() { hoist::push::run() }",
            Some("push::run"),
        ),
        (
            "src/net/a.rs",
            "// crate::image\nfn a() { \"crate::push\" }",
            None,
        ),
        (
            "src/net/a.rs",
            "#[cfg(test)]\nmod tests { use crate::serve::Server; }",
            Some("serve::Server"),
        ),
        ("src/net/a.rs", "pub(crate) fn a() {}", None),
        ("src/net/soak.rs", "use crate::soak::Target;", None),
        (
            "src/net/a.rs",
            "use crate::soak::Target;",
            Some("soak::Target"),
        ),
        (
            "src/soak/mod.rs",
            "use crate::image::digest;",
            Some("image::digest"),
        ),
        ("src/other/a.rs", "", Some("no room is called other")),
        ("tests/it/a.rs", "use crate::push::x;", None),
    ] {
        let complaints = imports::check(&source(path, text));
        match named {
            None => assert_eq!(complaints, Vec::<String>::new(), "{path}: {text}"),
            Some(named) => {
                assert!(
                    complaints.iter().any(|one| one.ends_with(named)),
                    "{path}: {text}: {complaints:?}"
                );
            }
        }
    }
}

#[test]
fn long_files_and_functions_are_seen() {
    let file = |lines: usize| length::check(&source("src/image/a.rs", &"\n".repeat(lines)));
    assert_eq!((file(500).len(), file(501).len()), (0, 1));

    let complaints = |text: &str| length::check(&source("src/image/a.rs", text));
    assert_eq!(complaints(&function(70)), Vec::<String>::new());
    let text = format!("//! A.\n\n{}", function(71));
    assert_eq!(
        complaints(&text),
        ["src/image/a.rs:3: long has 71 lines, and 70 are the most"]
    );

    let rows = "        1,\n".repeat(100);
    let table = format!("fn rows() {{\n    for n in [\n{rows}    ] {{\n    }}\n}}\n");
    assert_eq!(complaints(&table), Vec::<String>::new());
    let after = format!("fn a(f: fn (u8) -> [u8; 2]) -> u8;\n{}", function(71));
    assert_eq!(complaints(&after).len(), 1);
    let nested = format!("mod m {{\n    impl A {{\n{}    }}\n}}\n", function(71));
    assert!(complaints(&nested)[0].contains(":3: long has 71"));
}

#[test]
fn names_that_say_nothing_are_seen() {
    for (path, complaints) in [
        ("src/image/utils.rs", 1),
        ("tests/it/helpers/a.rs", 1),
        ("src/common/util.rs", 2),
        ("src/image/archive.rs", 0),
    ] {
        assert_eq!(named(&source(path, "")).len(), complaints, "{path}");
    }
}

#[test]
fn the_top_level_is_held_to_its_list() {
    let with = |more: &[&str]| {
        let all = TOP_LEVEL.iter().chain(more).map(|name| (*name).to_owned());
        top_level(&all.collect::<Vec<_>>())
    };
    assert_eq!(with(&[".git", ".ci", "target"]), Vec::<String>::new());
    assert_eq!(with(&["notes.txt"]), ["notes.txt is not to be at the top"]);
    assert_eq!(top_level(&[]).len(), TOP_LEVEL.len());
}

#[test]
fn a_changelog_that_lags_behind_is_seen() {
    for (text, complaints) in [
        ("# Changelog\n\n## Unreleased\n", 0),
        ("# Changelog\n\nUnreleased\n", 1),
        ("## Unreleased\n## 0.2.0 (2026-01-01)\n## 0.1.0\n", 0),
        ("## Unreleased\n## 0.1.0\n", 1),
        ("## 0.2.0\n## 0.1.0\n", 1),
        ("## Unreleased\n## 0.2.01\n", 1),
    ] {
        assert_eq!(changelog(text, "0.2.0").len(), complaints, "{text:?}");
    }
}

#[test]
fn a_readme_without_the_two_commands_is_seen() {
    assert_eq!(
        readme("run `make demo`, then `make test`"),
        Vec::<String>::new()
    );
    assert_eq!(readme("make test"), ["README.md: does not name make demo"]);
    assert_eq!(readme("").len(), 2);
}

#[test]
fn a_dependency_without_a_reason_is_seen() {
    let manifest = format!(
        "[dependencies]\n# Why.\na = \"1\"\n\n{MUSL}\nb-c = {{ version = \"2\" }}\n[dev-dependencies]\nd = \"1\"\n"
    );
    let readme = |rows: &str| {
        let text = format!("`x`\n## Dependencies\n\n| dependency | what for |\n|---|---|\n{rows}");
        dependencies(&manifest, &text)
    };
    assert_eq!(
        readme("| `a`, `b-c` | for `y` | 1 |\n## Next\n| `z` |\n"),
        Vec::<String>::new()
    );
    assert_eq!(
        readme("| `a` | |\n"),
        ["README.md: no reason for the dependency b-c"]
    );
    assert_eq!(
        readme("| `a` | |\n| `d`, `b-c` | |\n"),
        ["README.md: d is no dependency"]
    );
}
