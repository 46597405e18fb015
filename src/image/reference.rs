//! References: hosts, repositories and tags, in the grammar of distribution/reference.
//!
//! Facts: distribution/reference `regexp.go`, `normalize.go`; distribution-spec 1.1 "Pull".

use std::fmt;
use std::sync::Arc;

/// `host[:port]` of a registry, as typed, `docker.io` in its canonical spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// The path of a repository inside a registry: `team/app`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(Arc<str>);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// Why a text is no host, repository or tag: a sentence that quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError(pub(crate) String);

impl Host {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Repository {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! display_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
display_as_text!(Host, Repository, Tag);

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReferenceError {}
