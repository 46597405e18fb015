//! What may be in the body of a refusal changes neither what comes of it nor what a terminal shows.

use hoist::Outcome;
use hoist::push::report::FailureKind;

use super::play::{Played, Stage};
use super::steps::STEPS;
use crate::support::scripted::{Answer, answer};

/// More than is read of any answer but that of a token service.
const HUGE: usize = 400 << 10;
/// Characters of a sentence that fit a few lines of a terminal.
const LONGEST: usize = 700;

/// Bodies with what is to be seen of each.
fn bodies() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let page = "<html>\r\n<head><title>Blocked\u{7} by the proxy</title></head><body><h1>No</h1>";
    let coded =
        |message: &str| format!("{{\"errors\":[{{\"code\":\"X\",\"message\":{message}}}]}}");
    let long = format!("\"{}\"", "so ".repeat(HUGE / 3));
    let deep = format!("{{\"errors\":{}", "[".repeat(HUGE / 2));
    vec![
        ("nothing", Vec::new(), ""),
        ("a page", page.into(), "Blocked by the proxy"),
        (
            "half a document",
            b"{\"errors\":[{\"code\":\"X\",\"mess".to_vec(),
            "",
        ),
        (
            "control characters",
            coded("\"\\u001b]0;t\\u0007\\u001b[2Jno\\r\\nentry\\u202e\"").into(),
            "X: ",
        ),
        ("no text", vec![0xff, 0, 0x1b, b'[', b'A', 0x9b], ""),
        ("a long message", coded(&long).into(), ""),
        ("brackets without end", deep.into(), ""),
        (
            "a large page",
            format!("{page}{}", " ".repeat(HUGE)).into(),
            "Blocked by the proxy",
        ),
    ]
}

fn refused(played: &Played, step: &str, body: &str, shows: &str) {
    let what = format!("{step}, 403 with {body}:\n{played}");
    assert_eq!(played.report.outcome, Outcome::Failed, "{what}");
    assert_eq!(played.report.exit_code, 4, "{what}");
    assert_eq!(played.answered.len(), 1, "{what}");
    let error = played.error().unwrap();
    assert_eq!(error.kind, FailureKind::Auth, "{what}");
    let message = &error.message;
    assert!(message.contains("answered 403 Forbidden"), "{what}");
    assert!(message.contains(shows), "no {shows:?}: {what}");
    assert!(message.chars().count() <= LONGEST, "{what}");
    let foul = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!message.contains(foul), "{what}");
}

#[test]
fn a_refusal_is_one_whatever_its_body() {
    let stage = Stage::new();
    for name in [
        "POST upload",
        "PATCH stream",
        "PUT blob",
        "PUT manif.",
        "GET token",
    ] {
        let step = STEPS.iter().find(|step| step.name == name).unwrap();
        for (body, bytes, shows) in bodies() {
            let no: Answer = answer(403).body(bytes);
            let played = stage.act(step, no.into(), usize::MAX, name == "GET token");
            refused(&played, name, body, shows);
        }
    }
}

#[test]
fn a_mount_is_refused_whatever_the_body() {
    let stage = Stage::new();
    let step = STEPS.iter().find(|step| step.name == "POST ask").unwrap();
    for (body, bytes, _) in bodies() {
        let played = stage.act(step, answer(404).body(bytes).into(), usize::MAX, false);
        let outcome = played.report.outcome;
        assert_eq!(outcome, Outcome::Ok, "404 with {body}:\n{played}");
        assert_eq!(played.report.retries, 0, "404 with {body}:\n{played}");
    }
}
