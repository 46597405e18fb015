//! Which room may import which.

use crate::tidy::Source;
use crate::tidy::code::{block_length, is_word};

/// A room, and the paths it may name outside of itself; a path allows all below it.
const ROOMS: [(&str, &[&str]); 10] = [
    ("image", &["pool"]),
    ("pool", &[]),
    ("net", &[]),
    ("registry", &["image", "net", "observe::event"]),
    // The operation makes the HTTP side once and hands it to the registry room.
    (
        "push",
        &[
            "image",
            "pool",
            "registry",
            "observe::event",
            "net::Settings",
            "net::Http",
        ],
    ),
    ("observe", &["image", "net"]),
    ("trust", &["image", "net", "registry"]),
    ("serve", &["image"]),
    (
        "cli",
        &[
            "image", "pool", "net", "registry", "push", "observe", "trust", "serve",
        ],
    ),
    // Compiled for tests alone. The rooms know it in their own `soak`, where they list what they read.
    (
        "soak",
        &[
            "image::soak",
            "net::soak",
            "registry::soak",
            "push::soak",
            "serve::soak",
            "cli::soak",
        ],
    ),
];

/// What is outside of all rooms: it may name nothing but the command line.
const OUTSIDE: &[&str] = &["cli"];

pub(super) fn check(source: &Source) -> Vec<String> {
    let Some(inside) = source.path.strip_prefix("src/") else {
        return Vec::new();
    };
    let room = inside
        .trim_end_matches(".rs")
        .split('/')
        .next()
        .unwrap_or_default();
    let known = ROOMS.iter().find(|(name, _)| *name == room);
    if known.is_none() && !matches!(inside, "lib.rs" | "main.rs") {
        return vec![format!("{}: no room is called {room}", source.path)];
    }
    let allowed = known.map_or(OUTSIDE, |(_, allowed)| *allowed);
    let may = |path: &str| {
        let below = |one: &str| {
            path == one
                || path
                    .strip_prefix(one)
                    .is_some_and(|rest| rest.starts_with("::"))
        };
        allowed.iter().any(|one| below(one)) || below(room)
    };
    let lists_targets = source.is_soak() && room != "soak";
    let named = paths(source.code.as_str());
    let may = |path: &str| may(path) || lists_targets && path.starts_with("soak::");
    let bad = named.iter().filter(|path| !may(path));
    bad.map(|path| format!("{}: {room} may not import {path}", source.path))
        .collect()
}

/// Every path into a room that `code` names, without `crate::`. A room that is imported whole gives
/// what is named through it.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "hoist::", "super::"] {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with(|c| is_word(c) || c == ':') || code[..at].ends_with("super::")
            {
                found.extend(expand("", &code[at + root.len()..]));
            }
        }
    }
    found.retain(|path| is_room(path.split("::").next().unwrap_or_default()));
    let whole: Vec<String> = found.iter().filter(|path| is_room(path)).cloned().collect();
    let through = whole
        .iter()
        .flat_map(|room| through(room, code))
        .collect::<Vec<_>>();
    let explained = |room: &str| {
        through
            .iter()
            .any(|path: &String| path.starts_with(&format!("{room}::")))
    };
    found.retain(|path| !is_room(path) || !explained(path));
    found.extend(through);
    found.sort();
    found.dedup();
    found
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

/// `ROOM::Name` wherever it stands at the beginning of a path.
fn through(room: &str, code: &str) -> Vec<String> {
    let start = format!("{room}::");
    let begins = |at: usize| !code[..at].ends_with(|c| is_word(c) || c == ':');
    let uses = code.match_indices(&start).filter(|(at, _)| begins(*at));
    uses.flat_map(|(at, _)| expand("", &code[at..])).collect()
}

/// The paths of a `use` tree that `code` begins with: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(before: &str, code: &str) -> Vec<String> {
    let code = code.trim_start();
    if code.starts_with('{') {
        let inside = &code[1..block_length(code) - 1];
        return split_at_commas(inside)
            .into_iter()
            .flat_map(|one| expand(before, one))
            .collect();
    }
    let word = code.find(|c| !is_word(c)).unwrap_or(code.len());
    let path = match (&code[..word], before) {
        ("" | "self", _) => before.to_owned(),
        (name, "") => name.to_owned(),
        (name, _) => format!("{before}::{name}"),
    };
    match code[word..].strip_prefix("::") {
        Some(rest) => expand(&path, rest),
        None => vec![path],
    }
}

fn split_at_commas(tree: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    let parts = tree.split(outside);
    parts.filter(|part| !part.trim().is_empty()).collect()
}
