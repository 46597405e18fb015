//! The steps of a push, how it is led to each, and what the answers of the table are made of.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::words::{Asked, TRIES};
use crate::support::archives::{ImageSpec, docker_archive, layout};
use crate::support::scripted::{Answer, Matcher, Rule, Seen, answer, close_after, on};
use crate::wire::code;

/// One column of the table.
pub(super) struct Step {
    /// Over the column.
    pub(super) name: &'static str,
    /// As `wire::shape` writes it.
    pub(super) shape: &'static str,
    pub(super) source: Source,
    pub(super) chunk_size: Option<u64>,
    /// Troubles that the push meets on its way there.
    pub(super) met: u64,
    /// What may be asked before it is repeated.
    pub(super) ahead: &'static str,
    /// So many operations come to it one after the other, as far as each can fail.
    pub(super) operations: usize,
    /// How the sentence of a failure begins.
    pub(super) operation: &'static str,
}

/// What is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An image with one layer that is asked for before it is sent.
    Small,
    /// The same under two names.
    TwoNames,
    /// One layer that can be sent in smaller pieces than whole.
    Large,
    /// The same, made on the way.
    Plain,
}

/// Of a piece, in bytes: a second one is needed, and smaller ones are possible.
const CHUNK: u64 = 1_100_000;

const fn step(name: &'static str, shape: &'static str, operation: &'static str) -> Step {
    Step {
        name,
        shape,
        source: Source::Small,
        chunk_size: None,
        met: 0,
        ahead: "",
        operations: 1,
        operation,
    }
}

const BLOB: &str = "upload of sha256:";
const LAYER: &str = "upload of layer sha256:";

pub(super) const STEPS: [Step; 14] = [
    step("HEAD tag", "HEAD manifest", "check of manifest"),
    step("HEAD digest", "HEAD manifest", "check of manifest"),
    step("HEAD blob", "HEAD blob", BLOB),
    step("POST ask", "POST mount", BLOB),
    Step {
        source: Source::TwoNames,
        ..step("POST mount", "POST mount", BLOB)
    },
    Step {
        ahead: "HEAD blob",
        ..step("POST upload", "POST upload", BLOB)
    },
    Step {
        source: Source::Large,
        chunk_size: Some(CHUNK),
        ahead: "GET upload",
        ..step("PATCH chunk", "PATCH upload", BLOB)
    },
    Step {
        source: Source::Plain,
        ahead: "GET upload",
        ..step("PATCH stream", "PATCH upload", LAYER)
    },
    Step {
        source: Source::Plain,
        chunk_size: Some(CHUNK),
        ahead: "GET upload",
        ..step("PATCH piece", "PATCH upload", LAYER)
    },
    Step {
        source: Source::Large,
        ahead: "GET upload",
        ..step("PUT blob", "PUT upload", BLOB)
    },
    Step {
        source: Source::Plain,
        ..step("PUT end", "PUT upload", LAYER)
    },
    Step {
        met: 1,
        ..step("GET status", "GET upload", BLOB)
    },
    Step {
        ahead: "HEAD manifest",
        ..step("PUT manif.", "PUT manifest", "upload of manifest")
    },
    // Two checks, which cannot fail the push, and the upload.
    Step {
        operations: 3,
        ..step("GET token", "GET /token", "")
    },
];

impl Step {
    /// How often it may be asked for in a push that fails there.
    pub(super) fn most(&self, asked: Asked) -> RangeInclusive<usize> {
        match asked {
            Asked::Exactly(times) => times..=times,
            Asked::AtMost(times) => 1..=times,
            Asked::Tries => {
                let times = TRIES * self.operations;
                times..=times
            }
        }
    }

    /// The requests of this step, below `prefix`.
    pub(super) fn requests(&self, prefix: &str) -> Matcher {
        let (method, _) = self.name.split_once(' ').unwrap();
        let own = on(method, prefix);
        let mount = format!("mount={}", self.source.layer());
        let digest = format!("digest={}", self.source.layer());
        match self.name {
            "HEAD tag" => own.containing("/manifests/now"),
            "HEAD digest" => own.containing("/manifests/sha256:"),
            "HEAD blob" => own.containing("/blobs/sha256:"),
            "POST ask" => own.containing(&mount),
            "POST mount" => on(method, &format!("{prefix}second/")).containing(&mount),
            "POST upload" => own.containing("/uploads/").without("mount="),
            "PATCH stream" => own.header("transfer-encoding", Some("chunked")),
            "PATCH chunk" | "PATCH piece" => own.header("transfer-encoding", None),
            "PUT blob" => own.containing(&digest),
            "PUT end" => own
                .containing("digest=")
                .header("content-length", Some("0")),
            "GET status" => own.containing("/uploads/"),
            "PUT manif." => own.containing("/manifests/"),
            "GET token" => on(method, "/token"),
            other => panic!("{other} is no step"),
        }
    }

    /// What the registry has to do so that a push comes to this step.
    pub(super) fn way(&self, prefix: &str) -> Vec<Rule> {
        match self.name {
            "HEAD blob" | "POST upload" => {
                vec![on("POST", prefix).containing("mount=").then(answer(405))]
            }
            "GET status" => {
                let digest = format!("digest={}", self.source.layer());
                let closing = on("PUT", prefix).containing(&digest);
                vec![closing.times(1).then(close_after(30_000))]
            }
            _ => Vec::new(),
        }
    }
}

impl Source {
    /// The digest of the layer, where it is one that is sent as it is.
    fn layer(self) -> String {
        let dir = self.path().join("blobs/sha256");
        let files = fs::read_dir(dir).into_iter().flatten();
        let sized = files.map(|file| {
            let file = file.unwrap();
            (file.metadata().unwrap().len(), file.file_name())
        });
        let largest = sized.max().map(|(_, name)| name.into_string().unwrap());
        format!("sha256:{}", largest.unwrap_or_default())
    }

    /// Where it lies; made once for all tests.
    pub(super) fn path(self) -> &'static Path {
        static MADE: OnceLock<TempDir> = OnceLock::new();
        let dir = MADE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let at = |source: Self| dir.path().join(source.name());
            let small = ImageSpec::new("first:now").layer(1, 200_000);
            let large = ImageSpec::new("first:now").layer(2, 2_600_000);
            let plain = ImageSpec::new("first:now").layer(3, 1_300_000);
            layout(&at(Self::Small), std::slice::from_ref(&small));
            layout(&at(Self::TwoNames), &[small.also("second:now")]);
            layout(&at(Self::Large), std::slice::from_ref(&large));
            docker_archive(&at(Self::Plain), &[plain]);
            dir
        });
        static PATHS: OnceLock<Vec<PathBuf>> = OnceLock::new();
        let all = [Self::Small, Self::TwoNames, Self::Large, Self::Plain];
        let paths = PATHS.get_or_init(|| {
            let paths = all.iter().map(|source| dir.path().join(source.name()));
            paths.collect()
        });
        let at = all.iter().position(|source| *source == self).unwrap();
        &paths[at]
    }

    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::TwoNames => "two",
            Self::Large => "large",
            Self::Plain => "plain",
        }
    }
}

/// The answer that a row is about, to one request.
pub(super) fn answer_of(row: &str, seen: &Seen) -> Answer {
    let (status, more) = row.split_once(' ').unwrap_or((row, ""));
    let status: u16 = status.parse().unwrap();
    match more {
        "" if (300..400).contains(&status) => {
            let sign = if seen.target.contains('?') { '&' } else { '?' };
            answer(status).header("Location", format!("{}{sign}moved=1", seen.target))
        }
        "" => answer(status),
        "dead" => challenge("Bearer realm=\"/token\",service=\"s\",error=\"invalid_token\""),
        "weak" => challenge("Bearer realm=\"/token\",service=\"s\",error=\"insufficient_scope\""),
        "basic" => challenge("Basic realm=\"r\""),
        wait if wait.ends_with('s') => {
            answer(status).header("Retry-After", wait.trim_end_matches('s'))
        }
        name => code(status, name, "as the table says"),
    }
}

pub(super) fn challenge(text: &str) -> Answer {
    answer(401).header("WWW-Authenticate", text)
}
