//! Manifests: are they there, and putting them there for certain.
//!
//! distribution-spec 1.1 "Pushing Manifests". Blobs are checked by the registry; what a tag points at
//! after a PUT is checked by nobody, so it is looked at here.

use std::collections::HashSet;
use std::time::Duration;

use crate::image::digest::Digest;
use crate::image::manifest::{MAX_MANIFEST, Manifest};
use crate::image::media;
use crate::image::reference::{Repository, Tag};
use crate::net::Method;
use crate::registry::answer::{Refusal, is_page};
use crate::registry::body::Content;
use crate::registry::call::{Access, Answer, Call};
use crate::registry::client::Client;
use crate::registry::endpoint;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::retry::{Class, Halt};

/// A tag, or a digest.
#[derive(Clone, Copy, Debug)]
pub enum ManifestName<'a> {
    Tag(&'a Tag),
    Digest(&'a Digest),
}

/// What a check found out. A check never fails a push: what was refused is `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There, and this is its digest.
    Present(Digest),
    Absent,
    Unknown,
}

/// Why a manifest was not taken.
#[derive(Debug)]
pub enum ManifestFailure {
    /// These are missing at the registry; nothing else is, where it `lists_all`. If they had been
    /// confirmed, wire rule 9 says what to do.
    Missing {
        digests: Vec<Digest>,
        lists_all: bool,
        error: Box<Error>,
    },
    Other(Error),
}

impl ManifestFailure {
    pub fn into_error(self) -> Error {
        match self {
            Self::Missing { error, .. } => *error,
            Self::Other(error) => error,
        }
    }
}

/// What is read of a manifest: its own limit, and as much again for what registries put around it.
pub(super) const ANSWER_LIMIT: u64 = MAX_MANIFEST + (64 << 10);
/// Without all four, registries hide what they have.
pub(super) const ACCEPTED: [&str; 4] = [
    media::OCI_MANIFEST,
    media::OCI_INDEX,
    media::DOCKER_MANIFEST,
    media::DOCKER_LIST,
];

/// Why a PUT did not settle the matter.
enum Unsettled {
    Missing(Missing, Box<Error>),
    Halted(Halt),
}

/// What a refusal says that is missing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    digests: Vec<Digest>,
    lists_all: bool,
}

impl Client {
    /// HEAD with all four media types; when the answer names no digest, GET and hash.
    ///
    /// # Errors
    /// Only when the registry cannot be reached, asks to wait for too long, or it is time to stop.
    pub fn check_manifest(
        &self,
        repository: &Repository,
        name: ManifestName<'_>,
    ) -> Result<Presence, Error> {
        let operation = format!("check of {}", label(repository, name));
        let mut budget = self.budget();
        let seen = self.retry(&mut budget, |_| {
            self.see_manifest(&operation, repository, name)
        });
        match seen {
            // The server has failed at it again and again: the push will show.
            Err(error) if error.kind == ErrorKind::Refused => Ok(Presence::Unknown),
            other => other,
        }
    }

    /// One look, without patience.
    pub(super) fn see_manifest(
        &self,
        operation: &str,
        repository: &Repository,
        name: ManifestName<'_>,
    ) -> Result<Presence, Halt> {
        let target = endpoint::manifest(repository, name);
        let access = Access::Repository(repository);
        let call = Call::new(Method::Head, target.clone(), access);
        let call = call.header("accept", ACCEPTED.join(", "));
        let Some(answer) = self.check(operation, call)? else {
            return Ok(Presence::Unknown);
        };
        self.note_looks(&answer);
        match answer.status() {
            200 if is_page(&answer.response) || !answer.target.is_own() => Ok(Presence::Unknown),
            200 => match (name, named_digest(&answer)) {
                (ManifestName::Digest(digest), _) => Ok(Presence::Present(digest.clone())),
                (ManifestName::Tag(_), Some(digest)) => Ok(Presence::Present(digest)),
                (ManifestName::Tag(_), None) => self.fetch_digest(operation, target, access),
            },
            404 => Ok(Presence::Absent),
            501 | 505 => Ok(Presence::Unknown),
            429 | 500..=599 => Err(self.refuse(operation, &answer)),
            _ => Ok(Presence::Unknown),
        }
    }

    fn fetch_digest(
        &self,
        operation: &str,
        target: endpoint::Target,
        access: Access<'_>,
    ) -> Result<Presence, Halt> {
        let mut call = Call::new(Method::Get, target, access).header("accept", ACCEPTED.join(", "));
        call.limit = ANSWER_LIMIT;
        let answer = self.exchange(operation, call)?;
        match answer.status() {
            200 => Ok(Presence::Present(Digest::of(&answer.response.body))),
            404 => Ok(Presence::Absent),
            501 | 505 => Ok(Presence::Unknown),
            429 | 500..=599 => Err(self.refuse(operation, &answer)),
            _ => Ok(Presence::Unknown),
        }
    }

    /// Puts a manifest and makes sure that the registry has it under that name.
    pub fn put_manifest(
        &self,
        repository: &Repository,
        name: ManifestName<'_>,
        manifest: &Manifest,
    ) -> Result<(), ManifestFailure> {
        let operation = format!("upload of {}", label(repository, name));
        let mut budget = self.budget();
        let mut missing = Missing::default();
        let put = self.retry(&mut budget, |_| {
            match self.put_once(&operation, repository, name, manifest) {
                Ok(()) => Ok(()),
                Err(Unsettled::Halted(halt)) => Err(halt),
                Err(Unsettled::Missing(what, error)) => {
                    missing = what;
                    Err(Halt::Fail(error))
                }
            }
        });
        put.map_err(|error| match missing.digests.is_empty() {
            true => ManifestFailure::Other(error),
            false => ManifestFailure::Missing {
                digests: missing.digests,
                lists_all: missing.lists_all,
                error: Box::new(error),
            },
        })
    }

    /// Whether a manifest may be put before it is known what of it is there: the registry takes none that
    /// lacks anything, and says what.
    pub fn may_offer_manifests(&self) -> bool {
        self.learned.may_offer(self.profile)
    }

    /// The same of a registry that has not shown it, if it looks as one did that had.
    pub fn may_offer_as_before(&self, looks: &str) -> bool {
        self.learned.may_offer_as_before(self.profile, looks)
    }

    /// What the answers of the registry have in common, in short.
    pub fn looks(&self) -> Option<&str> {
        self.learned.looks()
    }

    /// Looks at the answer to a question for a manifest.
    pub(super) fn note_looks(&self, answer: &Answer) {
        if matches!(answer.status(), 200 | 404) && answer.target.is_own() {
            self.learned.look_at_answer(&answer.response);
        }
    }

    /// Whether a blob may be mounted from another repository.
    pub fn may_mount_blobs(&self) -> bool {
        self.learned.may_mount()
    }

    /// Registries look at all that a manifest names before they answer: as long again as over a stall.
    fn manifest_patience(&self) -> Duration {
        self.http.stall_timeout().saturating_mul(2)
    }

    fn put_once(
        &self,
        operation: &str,
        repository: &Repository,
        name: ManifestName<'_>,
        manifest: &Manifest,
    ) -> Result<(), Unsettled> {
        let access = Access::Repository(repository);
        let call = Call::new(Method::Put, endpoint::manifest(repository, name), access)
            .header("content-type", manifest.media_type().as_str())
            .body(
                Content::Document(manifest.bytes()),
                self.manifest_patience(),
            );
        let halt = match self.exchange(operation, call) {
            Ok(answer) if (200..300).contains(&answer.status()) => {
                return self.confirm(operation, repository, name, manifest, &answer);
            }
            Ok(answer) => {
                let refusal = answer.refusal();
                let halt = self.refuse(operation, &answer);
                match halt {
                    Halt::Fail(error) if is_missing(&refusal) => {
                        return Err(Unsettled::Missing(missing(manifest, &refusal), error));
                    }
                    other => other,
                }
            }
            Err(halt) => halt,
        };
        // Immutable tags refuse what is there already, and answers get lost.
        let asks = match &halt {
            Halt::Again(trouble) => matches!(trouble.class, Class::Cut { .. } | Class::Passing),
            Halt::Fail(error) => error.status.is_some(),
        };
        if asks
            && let Ok(presence) = self.see_manifest(operation, repository, name)
            && is_ours(&presence, name, manifest)
        {
            return Ok(());
        }
        Err(Unsettled::Halted(halt))
    }

    /// A PUT was taken: is it ours that the name stands for now?
    fn confirm(
        &self,
        operation: &str,
        repository: &Repository,
        name: ManifestName<'_>,
        manifest: &Manifest,
        answer: &Answer,
    ) -> Result<(), Unsettled> {
        let named = named_digest(answer);
        let told = named.is_some_and(|digest| digest.matches(manifest.bytes()));
        let by_digest = matches!(name, ManifestName::Digest(_)) && answer.status() == 201;
        if told || by_digest {
            return Ok(());
        }
        let presence = match self.see_manifest(operation, repository, name) {
            Ok(presence) => presence,
            Err(halt) => return Err(Unsettled::Halted(halt)),
        };
        // Who may push but not pull cannot look.
        if is_ours(&presence, name, manifest)
            || (presence == Presence::Unknown && answer.status() == 201)
        {
            return Ok(());
        }
        let mut trouble = self.passing(operation, answer);
        trouble.error.reason = match presence {
            Presence::Present(other) => format!(
                "registry took the manifest {}, but the tag stands for {other}",
                short(manifest.digest())
            ),
            _ => "registry took the manifest, but does not have it".to_owned(),
        };
        Err(Unsettled::Halted(trouble.into()))
    }
}

/// `sha256:` and twelve digits.
pub(super) fn short(digest: &Digest) -> String {
    let (algorithm, encoded) = (digest.algorithm_name(), digest.short());
    if encoded.len() == digest.encoded().len() {
        return digest.to_string();
    }
    format!("{algorithm}:{encoded}…")
}

pub(super) fn label(repository: &Repository, name: ManifestName<'_>) -> String {
    match name {
        ManifestName::Tag(tag) => format!("manifest {repository}:{tag}"),
        ManifestName::Digest(digest) => format!("manifest {}", short(digest)),
    }
}

pub(super) fn named_digest(answer: &Answer) -> Option<Digest> {
    let named = answer.response.header("docker-content-digest")?;
    Digest::parse(named).ok()
}

fn is_ours(presence: &Presence, name: ManifestName<'_>, manifest: &Manifest) -> bool {
    match (presence, name) {
        (Presence::Present(_), ManifestName::Digest(_)) => true,
        (Presence::Present(digest), ManifestName::Tag(_)) => digest.matches(manifest.bytes()),
        _ => false,
    }
}

fn is_missing(refusal: &Refusal) -> bool {
    refusal.has("MANIFEST_BLOB_UNKNOWN") || refusal.has("BLOB_UNKNOWN")
}

/// What a refusal names of the manifest's blobs and children; all of them when it names none. It lists
/// all where it says nothing else.
fn missing(manifest: &Manifest, refusal: &Refusal) -> Missing {
    let descriptors = manifest.blobs().chain(manifest.children());
    let mut all: Vec<Digest> = descriptors.map(|d| d.digest.clone()).collect();
    all.sort_unstable();
    all.dedup();
    let named: HashSet<&Digest> = refusal.digests.iter().collect();
    let chosen: Vec<Digest> = all.iter().filter(|d| named.contains(d)).cloned().collect();
    let names_ours = chosen.len() == named.len() && refusal.nameless == 0;
    let lists_all = names_ours && refusal.codes == ["MANIFEST_BLOB_UNKNOWN"];
    match chosen.is_empty() {
        true => Missing {
            digests: all,
            lists_all: false,
        },
        false => Missing {
            digests: chosen,
            lists_all,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(config: &Digest, layers: &[&Digest]) -> Manifest {
        let descriptor = |d: &Digest| format!(r#"{{"mediaType":"a/b","size":1,"digest":"{d}"}}"#);
        let layers: Vec<String> = layers.iter().map(|d| descriptor(d)).collect();
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(config),
            layers.join(",")
        );
        Manifest::parse(text.into_bytes(), None, None).unwrap()
    }

    #[test]
    fn only_what_the_manifest_names_can_be_missing() {
        let [a, b, c, stranger] = [b"a", b"b", b"c", b"d"].map(|x| Digest::of(x));
        let manifest = manifest(&a, &[&b, &c, &b]);
        let (unknown, other) = ("MANIFEST_BLOB_UNKNOWN", "UNKNOWN");
        for (codes, named, nameless, digests, lists_all) in [
            (&[unknown][..], &[][..], 1, &[&a, &b, &c][..], false),
            (&[unknown], &[&stranger], 0, &[&a, &b, &c], false),
            (&[unknown], &[&stranger, &c, &b], 0, &[&b, &c], false),
            (&[unknown, other], &[&c], 0, &[&c], false),
            (&["BLOB_UNKNOWN"], &[&c], 0, &[&c], false),
            (&[unknown], &[&c], 1, &[&c], false),
            (&[unknown], &[&c, &b], 0, &[&b, &c], true),
            (&[unknown], &[&c], 0, &[&c], true),
        ] {
            let refusal = Refusal {
                codes: codes.iter().map(ToString::to_string).collect(),
                digests: named.iter().map(|&digest| digest.clone()).collect(),
                nameless,
                ..Refusal::default()
            };
            let mut digests: Vec<Digest> = digests.iter().map(|&digest| digest.clone()).collect();
            digests.sort_unstable();
            let expected = Missing { digests, lists_all };
            assert_eq!(
                missing(&manifest, &refusal),
                expected,
                "{codes:?} {named:?}"
            );
        }
    }

    #[test]
    fn any_digest_of_our_bytes_is_ours() {
        let a = Digest::of(b"a");
        let ours = manifest(&a, &[]);
        let tag = Tag::parse("t").unwrap();
        let mut sha512 = crate::image::digest::Hasher::new(crate::image::digest::Algorithm::Sha512);
        sha512.update(ours.bytes());
        for (presence, expected) in [
            (Presence::Present(ours.digest().clone()), true),
            (Presence::Present(sha512.finish()), true),
            (Presence::Present(a.clone()), false),
            (Presence::Absent, false),
            (Presence::Unknown, false),
        ] {
            assert_eq!(is_ours(&presence, ManifestName::Tag(&tag), &ours), expected);
        }
        assert_eq!(short(&Digest::parse("blake3:abc").unwrap()), "blake3:abc");
        assert_eq!(short(&a), "sha256:ca978112ca1b…");
    }
}
