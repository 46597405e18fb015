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

/// Of a place that somebody has named; of others without a word.
#[test]
fn without_a_place_to_write_to_a_push_goes_on_with_one_warning() {
    let site = Site::small(Kind::Serve);
    let file = site.dir.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let config = site.dir.path().join("config.json");
    fs::write(&config, r#"{"state-dir": "file"}"#).unwrap();
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    for (option, variable, named) in [
        ("--state-dir=/proc/x", None, Some("/proc/x")),
        ("--state-dir=file", None, Some("file")),
        ("--state-dir=/dev/null", None, Some("/dev/null")),
        ("-q", Some(("HOIST_STATE_DIR", file)), Some(file)),
        ("-q", Some(("HOIST_CONFIG", config)), Some(file)),
        ("--no-state", Some(("HOIST_STATE_DIR", file)), None),
        ("-q", Some(("XDG_STATE_HOME", file)), None),
        ("-q", Some(("XDG_STATE_HOME", "/proc/x")), None),
    ] {
        let push = hoist(["push", "-o", "json", option])
            .arg("source")
            .arg(format!("{}/team/app:1", site.proxy.address()))
            .current_dir(site.dir.path());
        let set = variable.into_iter();
        let push = set.fold(push, |push, (name, value)| push.env(name, value));
        let output = push.run().expect_code(0);
        let warnings = &output.json()["warnings"];
        let Some(named) = named else {
            assert_eq!(*warnings, serde_json::json!([]), "{output}");
            assert!(!output.stderr.contains("warning"), "{output}");
            continue;
        };
        let begin = format!("uploads are not remembered in {named}, which cannot be used: ");
        assert!(
            warnings[0].as_str().unwrap().starts_with(&begin),
            "{output}"
        );
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{output}");
        let shown = usize::from(option != "-q");
        assert_eq!(output.stderr.matches("warning").count(), shown, "{output}");
    }
}
