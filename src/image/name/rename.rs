//! `--rename FROM=TO`: other leading components for the names that images have in their sources.

use std::fmt;

use crate::image::digest::quote;
use crate::image::name::destination::is_host_alone;
use crate::image::reference::{Host, Reference, ReferenceError, Repository, split_tag};

/// One rule. `FROM` is a host, or a host and the first components behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    host: Host,
    path: Option<Repository>,
    /// A host, or the beginning of a name, without a slash at its end.
    to: String,
}

impl Rename {
    /// Parses `FROM=TO`.
    ///
    /// # Errors
    /// A sentence, with what to write instead where that can be told.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (from, to) = text
            .split_once('=')
            .ok_or_else(|| refused(text, "it has no =").with_hint("FROM=TO"))?;
        let from = from.strip_suffix('/').unwrap_or(from);
        let to = to.strip_suffix('/').unwrap_or(to);
        let (host, path) = parse_from(text, from)?;
        if to.is_empty() {
            let hint = format!("{from}={host}, which leaves out what is between");
            return Err(refused(text, "nothing stands behind the =").with_hint(hint));
        }
        check_to(text, to)?;
        Ok(Self {
            host,
            path,
            to: to.to_owned(),
        })
    }

    /// Whether both are rules for the same names, and not the same rule.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.to != other.to && self.path == other.path && same_host(&self.host, &other.host)
    }

    /// What stands behind `FROM`, empty when that is the whole name; `None` for other names.
    fn rest<'n>(&self, host: &Host, repository: &'n Repository) -> Option<&'n str> {
        if !same_host(host, &self.host) {
            return None;
        }
        let Some(path) = &self.path else {
            return Some(repository.as_str());
        };
        let rest = repository.as_str().strip_prefix(path.as_str())?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(rest),
            None => rest.is_empty().then_some(rest),
        }
    }

    pub(super) fn fits(&self, host: &Host, repository: &Repository) -> bool {
        self.rest(host, repository).is_some()
    }

    /// The rule that was perhaps meant by one for `docker.io/nginx`.
    pub(super) fn in_library(&self) -> Option<Self> {
        let path = self.path.as_ref().filter(|_| self.host.is_docker_hub())?;
        let path = path.on(&self.host).ok().filter(|library| library != path)?;
        Some(Self {
            path: Some(path),
            ..self.clone()
        })
    }

    /// How many components it replaces, the host not counted.
    fn length(&self) -> usize {
        let path = self.path.as_ref();
        path.map_or(0, |path| path.as_str().split('/').count())
    }
}

/// As typed, but for the spelling of the hub.
impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_str())?;
        if let Some(path) = &self.path {
            write!(f, "/{path}")?;
        }
        write!(f, "={}", self.to)
    }
}

/// The name after `rules`: one of them at most, once, and the result read like any other name.
pub(super) fn rename(
    rules: &[Rename],
    host: &Host,
    repository: &Repository,
) -> Result<(Host, Repository), String> {
    let fitting = rules.iter().filter(|rule| rule.fits(host, repository));
    let Some(rule) = fitting.max_by_key(|rule| rule.length()) else {
        return Ok((host.clone(), repository.clone()));
    };
    let to = &rule.to;
    let text = match rule.rest(host, repository) {
        Some(rest) if !rest.is_empty() => format!("{to}/{rest}"),
        _ if is_host_alone(to) => {
            return Err(format!(
                "--rename {rule} leaves of {host}/{repository} nothing but a host"
            ));
        }
        _ => to.clone(),
    };
    let renamed =
        Reference::parse(&text).map_err(|error| format!("--rename {rule}: {}", error.message()))?;
    Ok((renamed.host, renamed.repository))
}

/// Names of hosts are the same in any case (RFC 4343).
fn same_host(one: &Host, other: &Host) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

fn refused(text: &str, why: &str) -> ReferenceError {
    ReferenceError::refused(text, "rule", why)
}

fn parse_from(text: &str, from: &str) -> Result<(Host, Option<Repository>), ReferenceError> {
    if from.is_empty() {
        return Err(refused(text, "nothing stands before the ="));
    }
    let (first, path) = match from.split_once('/') {
        Some((first, path)) => (first, Some(path)),
        None => (from, None),
    };
    let host = match path {
        Some(_) => Host::is_meant(first),
        None => is_host_alone(first),
    };
    if !host {
        let full = Reference::parse(from).ok();
        let error = refused(text, "FROM begins with the host of the names it is for");
        return Err(match full {
            Some(full) => error.with_hint(format!("{}/{}=…", full.host, full.repository)),
            None => error,
        });
    }
    if path.is_some_and(|path| path.contains([':', '@'])) {
        return Err(refused(text, "names are replaced without their tags"));
    }
    let path = path.map(Repository::parse).transpose()?;
    Ok((Host::parse(first)?, path))
}

fn check_to(text: &str, to: &str) -> Result<(), ReferenceError> {
    if is_host_alone(to) {
        return Host::parse(to).map(drop);
    }
    if to.contains('@') || split_tag(to).1.is_some() {
        let why = format!(
            "{} ends in a tag or digest, and names keep theirs",
            quote(to)
        );
        return Err(refused(text, &why));
    }
    Reference::parse(to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(rules: &[&str], name: &str) -> Result<String, String> {
        let rules: Vec<Rename> = rules.iter().map(|r| Rename::parse(r).unwrap()).collect();
        let name = Reference::parse(name).unwrap();
        let (host, repository) = rename(&rules, &name.host, &name.repository)?;
        Ok(format!("{host}/{repository}"))
    }

    #[test]
    fn whole_leading_components_are_replaced_once_by_the_longest_rule() {
        let chain = ["q.io=r.io", "r.io=s.io"];
        let lengths = ["q.io=a", "q.io/x/y=c", "q.io/x=b"];
        for (rules, name, expected) in [
            (
                &["docker.io/library/nginx=web"][..],
                "nginx",
                "docker.io/library/web",
            ),
            (
                &["docker.io/library/nginx=web"],
                "nginxes",
                "docker.io/library/nginxes",
            ),
            (&["docker.io/library=base"], "nginx", "docker.io/base/nginx"),
            (
                &["index.docker.io/library=base"],
                "nginx",
                "docker.io/base/nginx",
            ),
            (&["docker.io=h.io"], "nginx", "h.io/library/nginx"),
            (&["q.io/x=q.io"], "q.io/x/app", "q.io/app"),
            (&["q.io/x=q.io"], "q.io/xy/app", "q.io/xy/app"),
            (&["q.io=quay"], "q.io/x/app", "docker.io/quay/x/app"),
            (&["q.io/=quay/"], "q.io/x/app", "docker.io/quay/x/app"),
            (&["Q.io=quay"], "q.IO/x", "docker.io/quay/x"),
            (
                &["localhost:5000=mine"],
                "localhost:5000/app",
                "docker.io/mine/app",
            ),
            (&["localhost:5000=mine"], "localhost/app", "localhost/app"),
            (
                &["localhost:5000=mine"],
                "localhost:5001/app",
                "localhost:5001/app",
            ),
            (&["[::1]:5000=mine"], "[::1]:5000/app", "docker.io/mine/app"),
            (&["q.io=localhost:5000"], "q.io/app", "localhost:5000/app"),
            (&chain, "q.io/app", "r.io/app"),
            (&lengths, "q.io/app", "docker.io/a/app"),
            (&lengths, "q.io/x/app", "docker.io/b/app"),
            (&lengths, "q.io/x/y/app", "docker.io/c/app"),
            (&lengths, "q.io/x/y", "docker.io/library/c"),
            (&[], "q.io/x", "q.io/x"),
        ] {
            assert_eq!(
                renamed(rules, name).as_deref(),
                Ok(expected),
                "{rules:?} {name}"
            );
        }
    }

    #[test]
    fn a_rule_that_leaves_no_name_says_so() {
        let error = renamed(&["q.io/app=q.io"], "q.io/app").unwrap_err();
        assert_eq!(
            error,
            "--rename q.io/app=q.io leaves of q.io/app nothing but a host"
        );
        let long = format!("q.io={}", "a".repeat(200));
        let too_long = renamed(&[&long], &format!("q.io/{}", "b".repeat(100))).unwrap_err();
        assert!(too_long.contains("longer than 255"), "{too_long}");
    }

    #[test]
    fn refuses_rules_with_a_reason_and_a_hint() {
        for (text, why, hint) in [
            ("q.io", "it has no =", "FROM=TO"),
            ("=a", "nothing stands before", ""),
            ("q.io/x=", "nothing stands behind", "q.io/x=q.io"),
            (
                "nginx=web",
                "FROM begins with the host",
                "docker.io/library/nginx=…",
            ),
            (
                "team/app=web",
                "FROM begins with the host",
                "docker.io/team/app=…",
            ),
            ("Team=web", "FROM begins with the host", ""),
            ("q.io/app:1=web", "without their tags", ""),
            ("q.io/App=web", "must be lower-case", ""),
            ("q.io//x=web", "between slashes", ""),
            ("q.io:0/x=web", "no port", ""),
            ("q.io=Web", "must be lower-case", ""),
            ("q.io=web:2", "ends in a tag", ""),
            ("q.io=a.io/web:2", "ends in a tag", ""),
            ("q.io=a@sha256:00", "ends in a tag or digest", ""),
            ("q.io=a=b", "'=' cannot be", ""),
            ("q.io=a b", "' ' cannot be", ""),
            ("q.io=/a", "between slashes", ""),
        ] {
            let error = Rename::parse(text).unwrap_err();
            assert!(error.message().contains(why), "{text}: {error}");
            assert!(error.hint().unwrap_or("").contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn two_rules_for_the_same_names_contradict_each_other() {
        let rule = |text| Rename::parse(text).unwrap();
        assert!(rule("q.io/x=a").contradicts(&rule("Q.IO/x/=b")));
        assert!(!rule("q.io/x=a").contradicts(&rule("q.io/x=a")));
        assert!(!rule("q.io/x=a").contradicts(&rule("q.io/y=b")));
        assert_eq!(rule("index.docker.io/x/=a/").to_string(), "docker.io/x=a");
    }
}
