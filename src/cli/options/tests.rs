//! The table of options is whole, and the README has all of it.

use std::collections::HashSet;
use std::ffi::OsStr;

use super::*;
use crate::cli::args::Args;
use crate::cli::help;

#[test]
fn no_two_options_share_a_name() {
    let mut seen = HashSet::new();
    let reserved = ["--help", "--version", "-h", "-V"].map(str::to_owned);
    let names = all().flat_map(|option| {
        let short = option.short.map(|short| format!("-{short}"));
        std::iter::once(format!("--{}", option.long)).chain(short)
    });
    for name in reserved.into_iter().chain(names) {
        assert!(seen.insert(name.clone()), "{name} twice");
    }
}

#[test]
fn every_option_says_what_it_is() {
    for option in settable() {
        let name = option.long;
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        assert!(name.len() > 1 && name.bytes().all(legal), "{name}");
        assert!(!option.commands.is_empty(), "{name} belongs nowhere");
        assert!(option.help.len() > 10, "{name}: no help");
        assert!(!option.help.ends_with('.'), "{name}: a fragment has no dot");
        if let Take::Value { name: value, .. } = option.take {
            assert!(!value.is_empty(), "{name} does not name its value");
        }
    }
}

/// A value no option takes: none may accept it in silence.
#[test]
fn every_value_is_checked() {
    for option in settable() {
        if let Take::Value { set, .. } = option.take {
            let given = Given::new("--it", OsStr::new(""));
            let refused = set(&mut Args::default(), &given).unwrap_err();
            let named = refused.message.contains("--it");
            assert!(named, "{}: {}", option.long, refused.message);
        }
    }
}

#[test]
fn the_readme_lists_every_option() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    for option in all() {
        let name = format!("--{}", option.long);
        let listed = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        assert!(listed.into_iter().any(|word| word == name), "{name}");
    }
}

#[test]
fn the_help_and_the_readme_list_what_the_section_of_a_registry_takes() {
    let scoped = |option: &&Opt| matches!(option.scope, Scope::Both | Scope::Registry);
    let mut taken: Vec<&str> = settable().filter(scoped).map(|o| o.long).collect();
    taken.sort_unstable();
    let help = help::topic(&["config".into()]).unwrap();
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    for (text, begin) in [(&help, "may have: "), (&readme, "A section takes ")] {
        let (_, list) = text.split_once(begin).unwrap();
        let (list, _) = list.split_once('.').unwrap();
        let list = list.replace("(a URL, or none)", "").replace(" and ", ",");
        let listed: Vec<&str> = list
            .split(',')
            .map(|name| name.trim_matches(|c: char| c == '`' || c.is_whitespace()))
            .collect();
        assert_eq!(listed, taken, "{begin}");
    }
}
