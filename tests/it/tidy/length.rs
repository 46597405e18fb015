//! How long files and functions are.

use crate::tidy::Source;
use crate::tidy::code::{Code, block_length, is_word};

const LONGEST_FILE: usize = 500;
/// Lines of tables not counted.
const LONGEST_FUNCTION: usize = 70;

/// Files that are data more than code.
const TABLES: [&str; 5] = [
    "src/push/schedule.rs",
    "tests/it/naming/rows.rs",
    "tests/it/sources.rs",
    "tests/it/net.rs",
    "tests/it/support/scripted.rs",
];

pub(super) fn check(source: &Source) -> Vec<String> {
    let path = &source.path;
    let lines = source.text.lines().count();
    let mut complaints = Vec::new();
    if lines > LONGEST_FILE && !TABLES.contains(&path.as_str()) {
        complaints.push(format!(
            "{path}: {lines} lines, and {LONGEST_FILE} are the most"
        ));
    }
    for (name, at, length) in functions(&source.code) {
        if length > LONGEST_FUNCTION {
            let most = format!("{LONGEST_FUNCTION} are the most");
            complaints.push(format!(
                "{path}:{at}: {name} has {length} lines, and {most}"
            ));
        }
    }
    complaints
}

/// Name, first line and number of lines of each function that has a body.
fn functions(code: &Code) -> Vec<(&str, usize, usize)> {
    let text = code.as_str();
    let function = |(at, _): (usize, &str)| {
        let after = &text[at + "fn ".len()..];
        let name = &after[..after.find(|c| !is_word(c))?];
        if name.is_empty() || text[..at].ends_with(is_word) {
            return None;
        }
        let open = body(after)?;
        let body = &after[open..open + block_length(&after[open..])];
        let head = after[..open].lines().count();
        let first = text[..at].matches('\n').count() + 1;
        Some((name, first, head + body.lines().count() - 1 - tables(body)))
    };
    text.match_indices("fn ").filter_map(function).collect()
}

/// Where the body begins; none for a declaration.
fn body(signature: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += signature[at..].find([';', '{', '(', '['])?;
        match signature.as_bytes()[at] {
            b'{' => return Some(at),
            b';' => return None,
            // The length of an array may stand in it, and types of parameters.
            _ => at += block_length(&signature[at..]),
        }
    }
}

/// Lines taken by arrays: a table of a hundred rows is as easy to read as one of ten.
fn tables(body: &str) -> usize {
    let mut lines = 0;
    let mut at = 0;
    while let Some(open) = body[at..].find('[') {
        at += open;
        let length = block_length(&body[at..]);
        lines += body[at..at + length].matches('\n').count();
        at += length;
    }
    lines
}
