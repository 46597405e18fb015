//! Where uploads are remembered, and that a push needs no such place.

use std::fs;

use super::{SMALL_CUT, Site, files};
use crate::support::command::{Command, hoist};
use crate::support::proxy::{Fault, Up};
use crate::support::registry::Kind;

impl Site {
    /// A push that is cut and not tried again, from the folder that its options and variables are
    /// relative to.
    fn cut(&self, options: &[&str], variables: &[(&str, &str)]) -> Command {
        self.proxy.arm(Fault::cut(Up).after(SMALL_CUT));
        let command = hoist(["push", "--retries", "0", "--progress", "none"])
            .args(options.iter().copied())
            .arg("source")
            .arg(format!("{}/team/app:1", self.proxy.address()))
            .current_dir(self.dir.path());
        let top = self.dir.path();
        let set = variables.iter();
        set.fold(command, |command, (name, folder)| {
            command.env(*name, top.join(folder))
        })
    }
}

#[test]
fn they_are_where_they_are_wanted_or_nowhere() {
    const HOME: (&str, &str) = ("HOME", "home");
    const XDG: (&str, &str) = ("XDG_STATE_HOME", "xdg");
    const NAMED: (&str, &str) = ("HOIST_STATE_DIR", "named");
    let site = Site::small(Kind::Serve);
    fs::create_dir(site.dir.path().join("home")).unwrap();
    for (variables, options, place) in [
        (&[HOME][..], &[][..], Some("home/.local/state/hoist")),
        (&[HOME, XDG], &[], Some("xdg/hoist")),
        (&[HOME, XDG, NAMED], &[], Some("named")),
        (&[HOME, NAMED], &["--state-dir=typed"], Some("typed")),
        (&[HOME, NAMED], &["--no-state"], None),
        (&[HOME], &["--no-state"], None),
        // No home is made where there is none.
        (&[("HOME", "away")], &[], None),
        (&[], &[], None),
    ] {
        site.cut(options, variables).run().expect_code(5);
        for folder in ["home/.local/state/hoist", "xdg/hoist", "named", "typed"] {
            let uploads = site.dir.path().join(folder).join("uploads");
            let expected = usize::from(place == Some(folder));
            assert_eq!(files(&uploads).len(), expected, "{variables:?} {options:?}");
            _ = fs::remove_dir_all(uploads);
        }
        assert!(!site.dir.path().join("away").exists());
    }
}

#[test]
fn without_a_place_to_write_to_a_push_goes_on_without_a_word() {
    let site = Site::small(Kind::Serve);
    fs::write(site.dir.path().join("file"), "no folder").unwrap();
    for place in ["/proc/x", "file", "/dev/null"] {
        let push = hoist(["push", "-o", "json", "--state-dir", place])
            .arg("source")
            .arg(format!("{}/team/app:{}", site.proxy.address(), place.len()))
            .current_dir(site.dir.path());
        let output = push.run().expect_code(0);
        assert_eq!(output.json()["warnings"], serde_json::json!([]), "{output}");
        assert!(!output.stderr.contains("warning"), "{output}");
    }
}
