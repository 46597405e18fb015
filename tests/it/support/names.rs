//! Name services that fail: hoist runs with files of ours where the system's resolver reads its own.

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command as Spawn, Stdio};

use tempfile::TempDir;

use super::command::Command;

/// What the resolver says of names that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// That there are none such.
    Knows,
    /// That it cannot tell: nobody answers.
    Away,
}

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::Knows, Self::Away];
}

/// The names that one command knows.
pub(crate) struct Names(TempDir);

/// Over each of these files lies one of ours, in a file system that only the command sees.
const FILES: [(&str, &str); 3] = [
    ("hosts", "/etc/hosts"),
    ("nsswitch.conf", "/etc/nsswitch.conf"),
    ("resolv.conf", "/etc/resolv.conf"),
];

/// Whether a command can have names of its own.
pub(crate) fn may_name() -> bool {
    let names = Names::write(Service::Knows);
    let mut inside = names.inside();
    inside.push("true".into());
    let mut spawn = Spawn::new(&inside[0]);
    spawn.args(&inside[1..]).stderr(Stdio::null());
    spawn.status().is_ok_and(|status| status.success())
}

impl Names {
    /// No name is known. `None` where that cannot be had.
    pub(crate) fn new(service: Service) -> Option<Self> {
        may_name().then(|| Self::write(service))
    }

    fn write(service: Service) -> Self {
        let names = Self(tempfile::tempdir().unwrap());
        let sources = match service {
            Service::Knows => "files",
            Service::Away => "files dns",
        };
        for (name, text) in [
            ("hosts", String::new()),
            ("nsswitch.conf", format!("hosts: {sources}\n")),
            // Nobody listens there.
            (
                "resolv.conf",
                "nameserver 127.255.255.254\noptions timeout:1 attempts:1\n".to_owned(),
            ),
        ] {
            fs::write(names.path(name), text).unwrap();
        }
        names
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// From now on.
    pub(crate) fn know(&self, host: &str, address: impl Into<IpAddr>) {
        let line = format!("{} {host}\n", address.into());
        fs::write(self.path("hosts"), line).unwrap();
    }

    pub(crate) fn forget(&self) {
        fs::write(self.path("hosts"), "").unwrap();
    }

    pub(crate) fn given_to(&self, command: Command) -> Command {
        command.within(self.inside())
    }

    fn inside(&self) -> Vec<OsString> {
        let mounts = FILES.map(|(name, over)| format!("mount --bind {name} {over}"));
        let there = "here=$(pwd); cd \"$0\"";
        let script = format!(
            "{there} && {} && cd \"$here\" && exec \"$@\"",
            mounts.join(" && ")
        );
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", &script];
        let mut words: Vec<OsString> = words.map(OsString::from).to_vec();
        words.push(self.0.path().into());
        words
    }
}
