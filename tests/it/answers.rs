//! What hoist does with each answer at each step of a push.
//!
//! `answers/table.rs` is the table: a row for each answer, a column for each step, a word in each cell;
//! `answers/words.rs` says what the words mean, `answers/steps.rs` how a push is led to a step. For
//! each cell two images are pushed through [`hoist::Operation`] to a registry that behaves but for this
//! one step: it gives the answer once, and then always. Time passes only while hoist waits, so that
//! waits cost nothing. What is expected is thought out from the specification and from what registries
//! and the proxies before them are known to do; a cell that fails says which one it is, and what
//! happened.

mod bodies;
mod play;
mod steps;
mod table;
mod words;

use std::collections::BTreeSet;

use self::play::Stage;
use self::steps::STEPS;
use self::table::{CHALLENGES, CODES, STATUSES, SUCCESSES, read};

/// Every cell of one column in all tables.
#[track_caller]
fn column(name: &str) {
    let step = STEPS.iter().position(|step| step.name == name).unwrap();
    let stage = Stage::new();
    let mut wrong = Vec::new();
    for table in [STATUSES, CODES, SUCCESSES, CHALLENGES] {
        let (_, cells) = read(table);
        for cell in cells.iter().filter(|cell| cell.step == step) {
            let plus = if cell.outlives { "+" } else { "" };
            let complaints = stage.complaints(cell);
            if !complaints.is_empty() {
                let title = format!("{name}, {}: {}{plus}", cell.answer, cell.word);
                wrong.push(format!("{title}\n  {}", complaints.join("\n  ")));
            }
        }
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "\n{}\n{count} cells fail",
        wrong.join("\n")
    );
}

#[test]
fn tables_name_every_step_and_use_every_word() {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    let mut used = BTreeSet::new();
    for table in [STATUSES, CODES, SUCCESSES, CHALLENGES] {
        let (steps, cells) = read(table);
        assert_eq!(steps, names);
        used.extend(cells.iter().map(|cell| cell.word));
    }
    assert_eq!(used, words::all().map(|word| word.name).collect());
}

#[test]
fn head_of_a_tag() {
    column("HEAD tag");
}

#[test]
fn head_of_a_manifest() {
    column("HEAD digest");
}

#[test]
fn head_of_a_blob() {
    column("HEAD blob");
}

#[test]
fn post_that_asks_by_mounting() {
    column("POST ask");
}

#[test]
fn post_that_mounts() {
    column("POST mount");
}

#[test]
fn post_that_begins_an_upload() {
    column("POST upload");
}

#[test]
fn patch_with_a_chunk() {
    column("PATCH chunk");
}

#[test]
fn patch_of_unknown_length() {
    column("PATCH stream");
}

#[test]
fn patch_with_a_piece_of_what_is_made() {
    column("PATCH piece");
}

#[test]
fn put_of_a_blob() {
    column("PUT blob");
}

#[test]
fn put_that_ends_a_stream() {
    column("PUT end");
}

#[test]
fn get_of_a_session() {
    column("GET status");
}

#[test]
fn put_of_a_manifest() {
    column("PUT manif.");
}

#[test]
fn get_of_a_token() {
    column("GET token");
}
