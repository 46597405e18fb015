//! Where credentials may be, in the order in which they count. No I/O.
//!
//! containers-auth.json(5), docker-config-json(5).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::registry::clock::Stop;

/// One file, or one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: At,
    /// The option or variable that names it: what is wrong with it is wrong usage then.
    pub(super) by: Option<&'static str>,
    /// As people write its path.
    shown: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    File(PathBuf),
    /// In the environment itself.
    Variable,
}

pub(super) const AUTH_FILE: &str = "--auth-file";
pub(super) const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
pub(super) const DOCKER_AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";
pub(super) const DOCKER_CONFIG: &str = "DOCKER_CONFIG";

/// What the places depend on.
#[derive(Clone, Debug)]
pub struct Whereabouts<'a> {
    pub env: &'a BTreeMap<OsString, OsString>,
    pub user_id: u32,
    pub auth_file: Option<&'a Path>,
    /// Ends helpers that run.
    pub stop: &'a Stop,
}

impl Place {
    /// Whether it may not be missing. `DOCKER_CONFIG` names a folder, which may be empty.
    pub(super) fn must_be_there(&self) -> bool {
        matches!(self.by, Some(AUTH_FILE | REGISTRY_AUTH_FILE))
    }

    /// Its path as people write it.
    pub(super) fn path_shown(&self) -> &str {
        &self.shown
    }
}

/// "--auth-file x.json", "~/.docker/config.json", "DOCKER_AUTH_CONFIG"
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.by, &self.at) {
            (Some(by), At::File(_)) => write!(f, "{by} {}", self.shown),
            (Some(by), At::Variable) => f.write_str(by),
            (None, _) => f.write_str(&self.shown),
        }
    }
}

impl Whereabouts<'_> {
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.env.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// Of the XDG base directory specification: relative ones are to be ignored.
    fn base(&self, name: &str) -> Option<PathBuf> {
        self.path(name).filter(|path| path.is_absolute())
    }

    fn file(&self, path: PathBuf, by: Option<&'static str>) -> Place {
        let below_home = self.path("HOME").and_then(|home| {
            let rest = path.strip_prefix(home).ok()?;
            Some(format!("~/{}", rest.display()))
        });
        let shown = below_home.unwrap_or_else(|| path.display().to_string());
        let at = At::File(path);
        Place { at, by, shown }
    }

    /// The file that docker keeps its logins in.
    pub(super) fn dockers(&self) -> Option<Place> {
        let folder = self.path(DOCKER_CONFIG);
        let by = folder.as_ref().map(|_| DOCKER_CONFIG);
        let folder = folder.or_else(|| Some(self.path("HOME")?.join(".docker")))?;
        Some(self.file(folder.join("config.json"), by))
    }

    /// The one that somebody named, and that alone is written to.
    pub(super) fn named(&self) -> Option<Place> {
        self.by_flag().or_else(|| self.by_variable())
    }

    fn by_flag(&self) -> Option<Place> {
        let path = self.auth_file?.to_path_buf();
        Some(self.file(path, Some(AUTH_FILE)))
    }

    fn by_variable(&self) -> Option<Place> {
        let path = self.path(REGISTRY_AUTH_FILE)?;
        Some(self.file(path, Some(REGISTRY_AUTH_FILE)))
    }

    /// All of them, each once.
    pub(super) fn all(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |place: Option<Place>| {
            places.extend(place.filter(|new| places.iter().all(|old: &Place| old.at != new.at)));
        };
        let podmans = |base: PathBuf| base.join("containers/auth.json");
        add(self.by_flag());
        add(self.by_variable());
        add(self.variable(DOCKER_AUTH_CONFIG).map(|_| Place {
            at: At::Variable,
            by: Some(DOCKER_AUTH_CONFIG),
            shown: DOCKER_AUTH_CONFIG.to_owned(),
        }));
        let runtime = self.base("XDG_RUNTIME_DIR").map(podmans);
        let by_user = || format!("/run/containers/{}/auth.json", self.user_id).into();
        add(Some(self.file(runtime.unwrap_or_else(by_user), None)));
        let home = self.path("HOME");
        let config = self.base("XDG_CONFIG_HOME");
        let config = config.or_else(|| Some(home.as_ref()?.join(".config")));
        add(config.map(|base| self.file(podmans(base), None)));
        add(self.dockers());
        add(home.map(|home| self.file(home.join(".docker/config.json"), None)));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(env: &[(&str, &str)], auth_file: Option<&str>) -> Vec<String> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        let whereabouts = Whereabouts {
            env: &env.collect(),
            user_id: 1000,
            auth_file: auth_file.map(Path::new),
            stop: &Stop::default(),
        };
        whereabouts.all().iter().map(Place::to_string).collect()
    }

    #[test]
    fn the_order_is_that_of_the_contract() {
        let everything = [
            ("HOME", "/home/u"),
            ("REGISTRY_AUTH_FILE", "named.json"),
            ("DOCKER_AUTH_CONFIG", "{}"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("XDG_CONFIG_HOME", "/home/u/.conf"),
            ("DOCKER_CONFIG", "/etc/docker-config"),
        ];
        let whole = [
            "--auth-file ~/a.json",
            "REGISTRY_AUTH_FILE named.json",
            "DOCKER_AUTH_CONFIG",
            "/run/user/1000/containers/auth.json",
            "~/.conf/containers/auth.json",
            "DOCKER_CONFIG /etc/docker-config/config.json",
            "~/.docker/config.json",
        ];
        assert_eq!(order(&everything, Some("/home/u/a.json")), whole);
        let runtime = "/run/containers/1000/auth.json";
        for (env, expected) in [
            (&[][..], &[runtime][..]),
            (
                &[("HOME", "/h")],
                &[
                    runtime,
                    "~/.config/containers/auth.json",
                    "~/.docker/config.json",
                ],
            ),
            (
                &[("HOME", "/h"), ("DOCKER_CONFIG", "/h/.docker")],
                &[
                    runtime,
                    "~/.config/containers/auth.json",
                    "DOCKER_CONFIG ~/.docker/config.json",
                ],
            ),
            (
                &[
                    ("XDG_RUNTIME_DIR", "relative"),
                    ("XDG_CONFIG_HOME", "relative"),
                    ("DOCKER_AUTH_CONFIG", ""),
                    ("REGISTRY_AUTH_FILE", ""),
                ],
                &[runtime],
            ),
        ] {
            assert_eq!(order(env, None), expected, "{env:?}");
        }
    }
}
