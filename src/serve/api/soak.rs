//! Paths, queries and ranges of requests.

use crate::serve::api::blobs::{Part, part};
use crate::serve::api::route::{Query, Route, encode, route};
use crate::serve::api::uploads::parse_range;
use crate::soak::{Outcome, Target};

pub(in crate::serve) fn targets() -> Vec<Target> {
    vec![
        Target::text("path of a request", PATHS, path).words([
            "/v2/",
            "/_catalog",
            "/tags/list",
            "/manifests/",
            "/blobs/",
            "/blobs/uploads/",
            "/referrers/",
            "sha256:",
            "%2e%2e",
            "%2F",
            "%00",
            "..",
            "/./",
            "%25",
            "%",
        ]),
        Target::text(
            "query of a request",
            ["n=5&last=a/b&digest=sha256:x%3D", "mount=&from=a+b&&="],
            query,
        )
        .words(["%", "&", "=", "%26", "%3D", "n=", "last=", "%ff", "+"]),
        Target::text(
            "ranges of requests",
            ["bytes=0-4", "bytes=-5", "3-9", "bytes=7-"],
            ranges,
        )
        .words(["bytes=", "-", "0", ","]),
    ]
}

const PATHS: [&str; 6] = [
    "/v2/",
    "/v2/a/b__c/d/manifests/1.2",
    "/v2/a/blobs/sha256:9ce2c9120783a3d1feb6e38b737ad0f86212be2107db6583ae31cd78adc433b8",
    "/v2/a/b/blobs/uploads/1f2e",
    "/v2/a%2Fb/tags/list",
    "/v2/a/referrers/sha256:9ce2c9120783a3d1feb6e38b737ad0f86212be2107db6583ae31cd78adc433b8",
];

/// What becomes a file's name has nothing in it that leads elsewhere; a session's name is looked up.
fn path(text: &str) -> Outcome {
    let (kind, repository) = match route(text) {
        Ok(Route::Ping) => (0, None),
        Ok(Route::Catalog) => (1, None),
        Ok(Route::Tags(repository)) => (2, Some(repository)),
        Ok(Route::Manifest(repository, _)) => (3, Some(repository)),
        Ok(Route::Blob(repository, digest) | Route::Referrers(repository, digest)) => {
            assert!(!digest.as_str().contains(['/', '\0']) && digest.as_str().len() <= 200);
            (4, Some(repository))
        }
        Ok(Route::Uploads(repository)) => (5, Some(repository)),
        Ok(Route::Upload(repository, _)) => (6, Some(repository)),
        Err(fault) => {
            let answer = fault.into_answer();
            return Outcome::refused(format!("answered {}", answer.status)).with(answer.status);
        }
    };
    if let Some(repository) = repository {
        let mut parts = repository.as_str().split('/');
        assert!(parts.all(|part| !part.is_empty() && !part.starts_with(['.', '_'])));
    }
    Outcome::accepted().with(kind)
}

fn query(text: &str) -> Outcome {
    let parsed = Query::parse(text);
    let names = ["n", "last", "digest", "mount", "from"];
    let values = names.map(|name| parsed.get(name));
    for (name, value) in names.iter().zip(values) {
        let Some(value) = value else { continue };
        let written = Query::parse(&format!("{name}={}", encode(value)));
        assert_eq!(written.get(name), Some(value));
    }
    match values.iter().any(Option::is_some) {
        true => Outcome::accepted().with(values.map(|value| value.is_some())),
        false => Outcome::refused("nothing that is asked for"),
    }
}

fn ranges(text: &str) -> Outcome {
    let mut outcome = Outcome::refused("no range");
    for length in [0, 1, 10, u64::MAX] {
        match part(text, length) {
            Part::Some { first, last } => {
                assert!(first <= last && last < length);
                outcome = Outcome::accepted().with((first == 0, last + 1 == length));
            }
            Part::Outside => outcome = outcome.with("outside"),
            Part::Whole => {}
        }
    }
    match parse_range(text) {
        Some((first, last)) => {
            assert!(first <= last);
            assert_eq!(parse_range(&format!("{first}-{last}")), Some((first, last)));
            assert!((last - first).checked_add(1).is_some());
            Outcome::accepted().with("of an upload")
        }
        None => outcome,
    }
}
