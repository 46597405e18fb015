//! Two pushes of the same at the same time: the second waits for what the first is sending.

use super::{SLACK, SMALL, SMALL_CUT, Site, outcome, small};
use crate::support::archives::Form;
use crate::support::command::Running;
use crate::support::proxy::Up;
use crate::support::registry::Kind;
use crate::support::scripted::{Gate, held, on, pass};
use hoist::image::digest::Digest;

/// A push that waits for another one.
pub(super) fn waiting(site: &Site) -> Running {
    let mut second = site.push().arg("-vv").spawn();
    second.wait_for_stderr("waits for another process");
    second
}

#[test]
fn what_the_first_has_brought_the_second_does_not_send() {
    let layer = Digest::of(&small().layers[0].stored(Form::Plain));
    let gate = Gate::new();
    let put = || on("PUT", "/v2/").containing(layer.encoded());
    let site = Site::scripted([put().nth(1).then(held(&gate, pass()))]);
    let first = site.push().spawn();
    gate.wait_for(1);
    let second = waiting(&site);
    gate.open();
    let first = first.wait().expect_code(0);
    let second = second.wait().expect_code(0);
    assert!(outcome(&first.json()).0 >= SMALL as u64, "{first}");
    assert!(outcome(&second.json()).0 < SLACK, "{second}");
    let seen = site.front.as_ref().unwrap().requests();
    let puts = seen
        .iter()
        .filter(|seen| seen.method == "PUT" && seen.target.contains(layer.encoded()));
    assert_eq!(puts.count(), 1, "{seen:?}");
    assert!(site.uploads().is_empty());
}

#[test]
fn what_the_first_leaves_when_it_dies_the_second_goes_on_with() {
    let site = Site::small(Kind::Serve);
    let first = site.stalled(site.push(), SMALL_CUT);
    let second = waiting(&site);
    let before = site.proxy.bytes(Up);
    drop(first);
    site.proxy.hang_up();
    let output = second.wait().expect_code(0);
    let (_, _, at) = outcome(&output.json());
    assert!(at.is_some_and(|at| at >= SMALL_CUT - SLACK), "{output}");
    let sent = site.proxy.bytes(Up) - before;
    assert!(
        sent < SMALL as u64 - SMALL_CUT + 2 * SLACK,
        "{sent}: {output}"
    );
    assert!(site.uploads().is_empty());
}

#[test]
fn a_first_that_stands_still_is_not_waited_for_longer_than_a_stall() {
    let site = Site::small(Kind::Serve);
    let first = site.stalled(site.push(), SMALL_CUT);
    let push = site.push().args(["--stall-timeout", "1s"]);
    let (output, _) = site.finished_by(push);
    let (uploaded, resumed, at) = outcome(&output.json());
    assert!(uploaded >= SMALL as u64, "{output}");
    assert_eq!((resumed, at), (0, None), "{output}");
    let waited = &output.json()["waited"];
    assert!(waited["other_ms"].as_u64().unwrap() > 900, "{waited}");
    // The file is the first one's, as long as it lives.
    assert_eq!(site.uploads().len(), 1);
    drop(first);
    site.proxy.hang_up();
    // Nobody asks for the upload of what is there.
    assert!(outcome(&site.finished().0.json()).0 == 0);
}
