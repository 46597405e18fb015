//! What this room reads, for the mutation loop.

mod layouts;
mod packed;
mod sound;
mod tree;

use std::path::Path;

use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::docker;
use crate::image::error::json_error;
use crate::image::filter::Filter;
use crate::image::manifest::Manifest;
use crate::image::name::{Destination, FoundName, Map, Rename, repository_of_path};
use crate::image::platform::Platform;
use crate::image::reference::{Host, Reference, Repository, Tag};
use crate::soak::{Outcome, Target, fixture};

const HEX: &str = "9ce2c9120783a3d1feb6e38b737ad0f86212be2107db6583ae31cd78adc433b8";

pub(crate) fn targets() -> Vec<Target> {
    let mut targets = names();
    targets.extend(documents());
    targets.extend(packed::targets());
    targets.extend(layouts::targets());
    targets.push(tree::target());
    targets
}

fn names() -> Vec<Target> {
    let sha256 = format!("sha256:{HEX}");
    let references = [
        format!("registry.example:5000/team/app:1.2@{sha256}"),
        "nginx".into(),
        "docker.io/library/nginx:latest".into(),
        "[::1]:5000/a/b__c/d-e.f".into(),
        format!("LOCALHOST/{HEX}"),
    ];
    let words = "sha256: sha512: @sha256: localhost docker.io/ index.docker.io library/ \
        [::1] :5000 :latest https:// docker:// oci: user:password@";
    let words = || words.split_whitespace();
    let named = |target: Target| target.words(words()).longest(8 << 10);
    vec![
        named(Target::text(
            "digest",
            [sha256.as_str(), "a+b.c:Q_=-"],
            digest,
        )),
        named(Target::text("reference", references.clone(), reference)),
        named(Target::text(
            "host, repository, tag",
            references.clone(),
            parts,
        )),
        named(Target::text("destination", references, destination)),
        named(Target::text(
            "destination prefix",
            ["registry:5000/", "h.example/team/"],
            destination,
        )),
        named(Target::text(
            "--rename",
            ["docker.io/library/nginx=mirror/web", "a.b/=c.d"],
            rename,
        )),
        named(Target::text(
            "platform",
            ["linux/amd64", "Linux/armv7l", "linux/arm/V7"],
            platform,
        )),
        named(Target::text(
            "name of a file",
            ["My App-1.2.tar.gz", "/a/b/..", "x__-_.oci.tar"],
            of_path,
        )),
        Target::text(
            "annotations",
            ["docker.io/a/b:c\nlatest", "\n1.0", "<none>\na/b"],
            annotations,
        )
        .words(words()),
        Target::text(
            "glob",
            ["**/app:{1,2}.*\nteam/app:1.2", "[!a-z]?\\*\nx", "*\na/b:c"],
            glob,
        )
        .words([
            "**",
            "{",
            "}",
            ",",
            "[!",
            "]",
            "\\",
            "?",
            "/**/",
            "{*,*/**/*}",
        ])
        .longest(400),
        Target::new("--map file", [map_file(), "\u{feff}a b\r\n".into()], map).words(words()),
    ]
}

/// Words of the documents.
pub(super) const JSON: &str = r#"
"digest": "size": "sha256: "mediaType": "manifests": "config": "layers": "platform":
"annotations": "data": "urls": "subject": "artifactType": "schemaVersion":2 "rootfs":
"diff_ids": "Config": "RepoTags": "Layers": "os":"linux" "variant": unknown
application/vnd.oci.image.index.v1+json application/vnd.oci.image.manifest.v1+json
application/vnd.docker.image.rootfs.foreign.diff.tar.gzip null
"#;

fn documents() -> Vec<Target> {
    let blob = |hex: &str| fixture(&format!("crane-multi/blobs/sha256/{hex}"));
    let index = blob("2aa3b4d2c3e369891c97498485504de65c25dd3e15ec5f3f772e91a5e025537d");
    let image = blob("c77a16e6adabd25fc52e189b1a7fd3be55ab6296089729a9cc6af8ea5549da0d");
    let config = blob(HEX);
    vec![
        Target::new("manifest", [index, image], manifest).words(JSON.split_whitespace()),
        Target::new("config", [config], |input| {
            Outcome::of(Config::parse(input).map_err(|error| json_error(&error)))
        })
        .words(JSON.split_whitespace()),
        Target::new("manifest.json", [docker_list()], docker_items).words(JSON.split_whitespace()),
    ]
}

fn digest(text: &str) -> Outcome {
    let parsed = Digest::parse(text);
    if let Ok(digest) = &parsed {
        assert_eq!(digest.as_str(), text);
        assert_eq!(Digest::parse(&digest.to_string()).as_ref(), Ok(digest));
        let split = (digest.algorithm_name(), digest.encoded());
        assert_eq!(text.split_once(':'), Some(split));
        assert!(!digest.short().contains(['/', '.']));
    }
    let known = parsed.as_ref().ok().map(Digest::algorithm);
    Outcome::of(parsed).with(known.is_some_and(|known| known.is_some()))
}

fn reference(text: &str) -> Outcome {
    let parsed = Reference::parse(text);
    if let Ok(reference) = &parsed {
        let Reference {
            host,
            repository,
            tag,
            digest,
        } = reference;
        let mut written = format!("{host}/{repository}");
        if let Some(tag) = tag {
            written += &format!(":{tag}");
        }
        if let Some(digest) = digest {
            written += &format!("@{digest}");
        }
        assert_eq!(Reference::parse(&written).as_ref(), Ok(reference));
        let name = FoundName::from_reference(text).unwrap();
        assert_eq!(FoundName::from_reference(&name.to_string()), Ok(name));
    }
    Outcome::of(parsed.map_err(|error| error.message().to_owned()))
}

fn parts(text: &str) -> Outcome {
    let host = Host::parse(text);
    if let Ok(host) = &host {
        assert_eq!(Host::parse(host.as_str()).as_ref(), Ok(host));
        assert!(!host.name().is_empty());
        assert_eq!(host.port().is_some(), host.as_str() != host.name());
    }
    let repository = Repository::parse(text);
    if let Ok(repository) = &repository {
        assert_eq!(repository.as_str(), text);
        assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")));
    }
    let tag = Tag::parse(text);
    if let Ok(tag) = &tag {
        assert_eq!(tag.as_str(), text);
        assert!(!text.contains('/') && !text.starts_with(['.', '-']));
    }
    let mut outcome = match host.is_ok() || repository.is_ok() || tag.is_ok() {
        true => Outcome::accepted(),
        false => Outcome::refused("none of them"),
    };
    for error in [host.err(), repository.err(), tag.err()]
        .into_iter()
        .flatten()
    {
        outcome = outcome.saying(error.message());
    }
    outcome
}

fn destination(text: &str) -> Outcome {
    match Destination::parse(text, &|_: &Path| false) {
        Ok(destination) => {
            let written = destination.to_string();
            let again = Destination::parse(&written, &|_: &Path| false);
            assert_eq!(again, Ok(destination), "{written}");
            Outcome::accepted()
        }
        Err(error) => {
            let outcome = Outcome::refused(error.message());
            let hint = error.hint().map(str::to_owned);
            hint.into_iter().fold(outcome, Outcome::saying)
        }
    }
}

fn rename(text: &str) -> Outcome {
    let parsed = Rename::parse(text);
    if let Ok(rename) = &parsed {
        assert_eq!(Rename::parse(&rename.to_string()).as_ref(), Ok(rename));
    }
    Outcome::of(parsed.map_err(|error| error.message().to_owned()))
}

fn platform(text: &str) -> Outcome {
    let parsed = text.parse::<Platform>();
    if let Ok(platform) = &parsed {
        assert_eq!(platform.to_string().parse().as_ref(), Ok(platform));
        assert!(platform.accepts(platform));
    }
    Outcome::of(parsed)
}

fn of_path(text: &str) -> Outcome {
    match repository_of_path(Path::new(text)) {
        Some(repository) => Outcome::of(Repository::parse(repository.as_str())),
        None => Outcome::refused("no letter or digit is in it"),
    }
}

/// The two names of an entry, on a line each.
fn annotations(text: &str) -> Outcome {
    let (full, short) = text.split_once('\n').unwrap_or((text, ""));
    let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let (full, short) = (given(full), given(short));
    let found = FoundName::from_annotations(full.as_deref(), short.as_deref());
    if let Ok(Some(name)) = &found {
        assert!(name.repository.is_some() || name.tag.is_some());
    }
    let nothing = matches!(found, Ok(None));
    Outcome::of(found.map_err(|error| error.message().to_owned())).with(nothing)
}

/// A pattern, and behind it a name on each line.
fn glob(text: &str) -> Outcome {
    let (pattern, names) = text.split_once('\n').unwrap_or((text, ""));
    let checked = Filter::check_glob(pattern);
    let matching = checked.is_ok().then(|| {
        let split = |name: &str| {
            name.split_once(':')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        let names = names.lines().filter_map(split);
        names
            .filter(|(repository, tag)| Filter::glob_matches(pattern, repository, tag))
            .count()
    });
    Outcome::of(checked).with(matching)
}

fn map(input: &[u8]) -> Outcome {
    Outcome::of(Map::parse(Path::new("names.map"), input))
}

fn map_file() -> String {
    format!("# names\n\nnginx:1.27 web/nginx:1.27\nghcr.io/a/b@sha256:{HEX} c\n a:b  c:d # e\n")
}

fn manifest(input: &[u8]) -> Outcome {
    let parsed = Manifest::parse(input, None, None);
    if let Ok(manifest) = &parsed {
        assert_eq!(**manifest.bytes(), *input);
        assert!(manifest.digest().matches(input));
        let again = Manifest::parse(input, Some(manifest.media_type()), Some(manifest.digest()));
        assert_eq!(again.unwrap().is_image(), manifest.is_image());
    }
    let kind = parsed.as_ref().ok().map(|manifest| {
        let (blobs, children) = (manifest.blobs().count(), manifest.children().len());
        (manifest.is_image(), blobs.min(9), children.min(9))
    });
    Outcome::of(parsed).with(kind)
}

fn docker_items(input: &[u8]) -> Outcome {
    assert!(docker::is_list(input) || docker::parse(input).is_err());
    match docker::parse(input) {
        Ok(items) => {
            let outcome = Outcome::accepted().with(items.len().min(9));
            let errors = items.into_iter().filter_map(Result::err);
            errors.take(20).fold(outcome, Outcome::saying)
        }
        Err(error) => Outcome::refused(error),
    }
}

fn docker_list() -> String {
    format!(
        "[{{\"Config\":\"{HEX}.json\",\"RepoTags\":[\"app:1\",\"app:2\"],\"Layers\":[\"a/layer.tar\"]}},\
         {{\"Config\":\"sha256:{HEX}\",\"RepoTags\":null,\"Layers\":[\"{HEX}.tar.gz\"]}}]"
    )
}
