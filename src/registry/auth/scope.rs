//! What a token is to allow: scopes as a challenge names them and a token service is asked for. No I/O.
//!
//! `repository:team/app:pull,push`, <https://distribution.github.io/distribution/spec/auth/scope/>. The
//! name may hold colons; the actions follow the last one.

use std::fmt;

use crate::image::reference::Repository;

/// More than this of a challenge is not looked at.
const MOST_SCOPES: usize = 16;
const MOST_ACTIONS: usize = 16;
const MOST_BYTES: usize = 2 << 10;

/// An ordered set of scopes, each resource once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::registry) struct Scopes(Vec<Scope>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    /// Kind and name: `repository:team/app`.
    resource: String,
    actions: Vec<String>,
}

impl Scopes {
    /// What a push needs: pull for the checks, too.
    pub(super) fn push_to(repository: &Repository) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    pub(super) fn pull_from(repository: &Repository) -> Self {
        Self::of(repository, &["pull"])
    }

    fn of(repository: &Repository, actions: &[&str]) -> Self {
        Self(vec![Scope {
            resource: format!("repository:{repository}"),
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
        }])
    }

    /// As in the `scope` of a challenge: separated by blanks. What is no scope is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        if text.len() > MOST_BYTES {
            return scopes;
        }
        for item in text.split_whitespace().take(MOST_SCOPES) {
            let Some((resource, actions)) = item.rsplit_once(':') else {
                continue;
            };
            let actions = actions.split(',').filter(|action| !action.is_empty());
            let actions: Vec<String> = actions.take(MOST_ACTIONS).map(str::to_owned).collect();
            if resource.contains(':') && !actions.is_empty() {
                scopes.add(Scope {
                    resource: resource.to_owned(),
                    actions,
                });
            }
        }
        scopes
    }

    pub(in crate::registry) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and `others`, these first: some services look at the first scope only.
    pub(super) fn and(mut self, others: &Self) -> Self {
        others.0.iter().cloned().for_each(|scope| self.add(scope));
        self
    }

    /// What of these is not in `others`.
    pub(super) fn without(&self, others: &Self) -> Self {
        let is_left = |scope: &&Scope| !others.cover(&Self(vec![(*scope).clone()]));
        Self(self.0.iter().filter(is_left).cloned().collect())
    }

    /// Takes in `others`, as long as they are no more than a challenge may name.
    pub(super) fn extend_within(&mut self, others: &Self) {
        let both = self.clone().and(others);
        if both.0.len() <= MOST_SCOPES && both.to_string().len() <= MOST_BYTES {
            *self = both;
        }
    }

    fn add(&mut self, scope: Scope) {
        let Some(known) = self.0.iter_mut().find(|s| s.resource == scope.resource) else {
            self.0.push(scope);
            return;
        };
        for action in scope.actions {
            if !known.actions.contains(&action) {
                known.actions.push(action);
            }
        }
    }

    /// Whether nothing is in `others` that is not in these.
    pub(super) fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|other| {
            let known = self.0.iter().find(|s| s.resource == other.resource);
            known.is_some_and(|known| {
                let has = |action: &String| known.actions.contains(action);
                has(&"*".to_owned()) || other.actions.iter().all(has)
            })
        })
    }

    /// One text for each, as a query has them.
    pub(super) fn each(&self) -> impl Iterator<Item = String> + '_ {
        let text = |scope: &Scope| format!("{}:{}", scope.resource, scope.actions.join(","));
        self.0.iter().map(text)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.each().collect();
        f.write_str(&all.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_challenges_name() {
        let long = format!("repository:{}:pull", "a".repeat(MOST_BYTES));
        let many = "repository:a:pull ".repeat(5000);
        for (text, expected) in [
            ("repository:a/b:pull,push", "repository:a/b:pull,push"),
            (
                "repository:a:pull repository:a:push  repository:c:pull",
                "repository:a:pull,push repository:c:pull",
            ),
            ("repository:host:5000/a:pull", "repository:host:5000/a:pull"),
            ("repository(plugin):a:*", "repository(plugin):a:*"),
            ("registry:catalog:*", "registry:catalog:*"),
            ("", ""),
            ("repository", ""),
            ("repository:a", ""),
            ("repository:a:", ""),
            ("repository:a:,pull,,pull", "repository:a:pull,pull"),
            (long.as_str(), ""),
            (many.as_str(), ""),
        ] {
            assert_eq!(Scopes::parse(text).to_string(), expected, "{text:.60}");
        }
    }

    #[test]
    fn compares_and_joins() {
        let parse = Scopes::parse;
        for (these, others, covered, both) in [
            (
                "repository:a:pull,push",
                "repository:a:pull",
                true,
                "repository:a:pull,push",
            ),
            (
                "repository:a:pull",
                "repository:a:pull,push",
                false,
                "repository:a:pull,push",
            ),
            (
                "repository:a:*",
                "repository:a:push",
                true,
                "repository:a:*,push",
            ),
            (
                "repository:a:pull",
                "repository:b:pull",
                false,
                "repository:a:pull repository:b:pull",
            ),
            ("repository:a:pull", "", true, "repository:a:pull"),
            ("", "repository:a:pull", false, "repository:a:pull"),
        ] {
            assert_eq!(
                parse(these).cover(&parse(others)),
                covered,
                "{these} {others}"
            );
            assert_eq!(parse(these).and(&parse(others)).to_string(), both);
        }
        let (a, b) = (
            Repository::parse("a").unwrap(),
            Repository::parse("b").unwrap(),
        );
        let mount = Scopes::push_to(&a).and(&Scopes::pull_from(&b));
        assert_eq!(
            mount.to_string(),
            "repository:a:pull,push repository:b:pull"
        );
    }
}
