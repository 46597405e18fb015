//! Reads our own sources and holds them to the rules of the house.
//!
//! Each rule is a function from texts to complaints, tried on made-up sources in `checks.rs`.

mod checks;
mod code;
mod imports;
mod length;

use std::fs;
use std::path::{Path, PathBuf};

use crate::tidy::code::Code;

/// One source file.
struct Source {
    /// From the top of the repository, with `/`.
    path: String,
    text: String,
    code: Code,
}

/// What the top of the repository may hold, dot-files aside.
const TOP_LEVEL: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "tests",
    "README.md",
    "Makefile",
    "LICENSE",
    "CHANGELOG.md",
];

/// Made by building, and ignored by git.
const BUILT: [&str; 2] = ["target", "fixtures"];

/// Left behind by somebody who meant to come back.
const UNFINISHED: [&str; 3] = ["todo!", "dbg!", "#[ignore"];

/// Names under which unrelated things meet.
const NAMELESS: [&str; 7] = [
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            code: Code::of(text),
        }
    }

    /// All of it is compiled for tests alone.
    fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        self.is_soak() || parts.any(|part| matches!(part, "tests" | "tests.rs"))
    }

    /// Of the mutation loop, or of what it is given.
    fn is_soak(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "soak" | "soak.rs"))
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    judge(opening);
}

#[test]
fn nothing_is_left_unfinished() {
    judge(unfinished);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    judge(unwrapped);
}

#[test]
fn rooms_import_what_they_may() {
    judge(imports::check);
}

#[test]
fn files_and_functions_are_of_a_size_to_read() {
    judge(length::check);
}

#[test]
fn files_have_names_that_say_something() {
    judge(named);
}

/// If this fails, the reading is wrong, and the other rules see less than they should.
#[test]
fn what_is_read_as_code_has_its_brackets_in_pairs() {
    judge(|source| {
        let count = |bracket| source.code.as_str().matches(bracket).count();
        let pairs = [('{', '}'), ('(', ')'), ('[', ']')];
        let odd = pairs
            .into_iter()
            .filter(|(open, close)| count(*open) != count(*close));
        odd.map(|(open, _)| format!("{}: {open} without its pair", source.path))
            .collect()
    });
}

#[test]
fn the_top_level_holds_what_it_should() {
    let entries = fs::read_dir(top()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    fail_on(&top_level(&names.collect::<Vec<_>>()));
}

#[test]
fn the_changelog_follows_the_version() {
    fail_on(&changelog(&read("CHANGELOG.md"), env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_readme_names_the_two_commands() {
    fail_on(&readme(&read("README.md")));
}

#[test]
fn the_readme_gives_a_reason_for_each_dependency() {
    fail_on(&dependencies(&read("Cargo.toml"), &read("README.md")));
}

fn opening(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first
        .strip_prefix("//!")
        .is_some_and(|rest| !rest.trim().is_empty());
    if says {
        Vec::new()
    } else {
        vec![format!(
            "{}: the first line is no //! that says what it is for",
            source.path
        )]
    }
}

fn unfinished(source: &Source) -> Vec<String> {
    let found = |(number, line): (usize, &str)| {
        let word = UNFINISHED.iter().find(|word| line.contains(*word))?;
        Some(format!("{}:{number}: {word}", source.path))
    };
    source.code.lines().filter_map(found).collect()
}

fn unwrapped(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let product = source.code.without_tests();
    let lines = product
        .lines()
        .filter(|(_, line)| line.contains(".unwrap()"));
    lines
        .map(|(number, _)| format!("{}:{number}: .unwrap()", source.path))
        .collect()
}

fn named(source: &Source) -> Vec<String> {
    let parts = source.path.trim_end_matches(".rs").split('/');
    let bad = parts.filter(|part| NAMELESS.contains(part));
    bad.map(|part| format!("{}: {part} says nothing about what is in it", source.path))
        .collect()
}

fn top_level(names: &[String]) -> Vec<String> {
    let known =
        |name: &str| name.starts_with('.') || BUILT.contains(&name) || TOP_LEVEL.contains(&name);
    let extra = names.iter().filter(|name| !known(name));
    let missing = TOP_LEVEL
        .iter()
        .filter(|name| !names.iter().any(|found| found == *name));
    extra
        .map(|name| format!("{name} is not to be at the top"))
        .chain(missing.map(|name| format!("{name} is not there")))
        .collect()
}

/// "Unreleased" always; once anything was released, the version that is being built, too.
fn changelog(text: &str, version: &str) -> Vec<String> {
    let headings: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let has = |title: &str| {
        headings
            .iter()
            .any(|heading| heading.split_whitespace().next() == Some(title))
    };
    let mut complaints = Vec::new();
    if !has("Unreleased") {
        complaints.push("CHANGELOG.md: no heading \"Unreleased\"".into());
    }
    if headings.len() > 1 && !has(version) {
        complaints.push(format!("CHANGELOG.md: no heading for version {version}"));
    }
    complaints
}

fn readme(text: &str) -> Vec<String> {
    let missing = ["make demo", "make test"]
        .into_iter()
        .filter(|command| !text.contains(command));
    missing
        .map(|command| format!("README.md: does not name {command}"))
        .collect()
}

/// What only the static binary needs.
const MUSL: &str = "[target.'cfg(target_env = \"musl\")'.dependencies]";

/// The table of the README against the manifest, both ways.
fn dependencies(manifest: &str, readme: &str) -> Vec<String> {
    let section = |text: &str, heading: &str| {
        let lines = text.lines().skip_while(|line| *line != heading).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('[') && !line.starts_with("## "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut needed = section(manifest, "[dependencies]");
    needed.extend(section(manifest, MUSL));
    let needed = needed.iter().filter_map(|line| line.split_once(" = "));
    let needed: Vec<&str> = needed.map(|(name, _)| name).collect();
    let table = section(readme, "## Dependencies");
    let first_cells = table.iter().filter_map(|line| line.split('|').nth(1));
    let given: Vec<&str> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let lacks = |list: &[&str], name: &&&str| !list.contains(*name);
    let missing = needed.iter().filter(|name| lacks(&given, name));
    let extra = given.iter().filter(|name| lacks(&needed, name));
    missing
        .map(|name| format!("README.md: no reason for the dependency {name}"))
        .chain(extra.map(|name| format!("README.md: {name} is no dependency")))
        .collect()
}

/// Fails with all that `rule` has to say about all our files.
fn judge(rule: fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were not found");
    fail_on(&sources.iter().flat_map(rule).collect::<Vec<_>>());
}

fn fail_on(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

fn sources() -> Vec<Source> {
    let mut folders = vec![PathBuf::from("src"), PathBuf::from("tests")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let path = path.to_str().unwrap();
                sources.push(Source::new(path, &read(path)));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}
