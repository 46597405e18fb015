//! What is known about kinds of registries: one table, one field per quirk, each with its source; and
//! what a registry has shown of itself since we speak to it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::image::digest::Digest;
use crate::net::Response;
use crate::registry::challenge::Challenge;

/// Sizes to go down to after a 413, in bytes. nginx lets 1 MiB through unless told otherwise.
const LADDER: [u64; 4] = [64 << 20, 16 << 20, 4 << 20, 1 << 20];

/// What every registry but those with a lower limit of their own takes in one piece.
const PIECE: u64 = 4 << 20;

/// Headers that tell one registry's software from another's, and are the same in all its answers.
const LOOKS: [&str; 3] = [
    "server",
    "docker-distribution-api-version",
    "x-content-type-options",
];

/// One kind of registry, known by its host name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    hosts: &'static [Pattern],
    /// Whether a blob may be sent in several requests.
    pub(super) chunks: Chunks,
    /// Whether the `Range` of a status can be believed; elsewhere our own count is.
    pub(super) range_is_true: bool,
    /// Whether a body of unknown length is taken.
    pub(super) unsized_bodies: bool,
    /// Whether one that shows itself to be of the distribution family takes a manifest only when all it
    /// names is there, and else says what is not, so that a manifest may be sent before it is known.
    checks_manifests: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    Is(&'static str),
    Ends(&'static str),
    /// Amazon's, which carry account and region in the middle.
    Between(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    Never,
    /// Of so many bytes, the last one excepted.
    Between(u64, u64),
}

const ANY: Chunks = Chunks::Between(0, u64::MAX);

static DEFAULT: Profile = Profile {
    name: "registry",
    // Every missing digest is an error of its own, nine of nine on 2.8 and 3.1 (seen):
    // https://github.com/distribution/distribution/blob/v3.0.0/registry/storage/ocimanifesthandler.go
    checks_manifests: true,
    ..default()
};

static TABLE: &[Profile] = &[
    Profile {
        name: "GitHub Container Registry",
        hosts: &[
            Pattern::Is("ghcr.io"),
            Pattern::Between("containers.", ".ghe.com"),
        ],
        // Chunks above 4 MiB are refused: https://github.com/oras-project/rust-oci-client/issues/35
        chunks: Chunks::Between(0, 4 << 20),
        ..default()
    },
    Profile {
        name: "Amazon ECR",
        hosts: &[
            Pattern::Between(".dkr.ecr", ".amazonaws.com"),
            Pattern::Between(".dkr.ecr", ".amazonaws.com.cn"),
            Pattern::Between(".dkr-ecr", ".on.aws"),
            Pattern::Is("public.ecr.aws"),
        ],
        // Parts of 5 to 10 MiB: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
        chunks: Chunks::Between(5 << 20, 10 << 20),
        // Stays at the first chunk: https://github.com/aws/containers-roadmap/issues/2831
        range_is_true: false,
        ..default()
    },
    Profile {
        name: "Google Artifact Registry",
        hosts: &[
            Pattern::Ends("-docker.pkg.dev"),
            Pattern::Is("gcr.io"),
            Pattern::Ends(".gcr.io"),
        ],
        // "Chunked uploads are not supported":
        // https://cloud.google.com/artifact-registry/docs/reference/docker-api
        chunks: Chunks::Never,
        ..default()
    },
    Profile {
        name: "Azure Container Registry",
        hosts: &[
            Pattern::Ends(".azurecr.io"),
            Pattern::Ends(".azurecr.cn"),
            Pattern::Ends(".azurecr.us"),
        ],
        // CONTENT_LENGTH_INVALID: https://github.com/goharbor/harbor/issues/23016
        unsized_bodies: false,
        ..default()
    },
    Profile {
        name: "Quay",
        hosts: &[Pattern::Is("quay.io")],
        // One byte too many, and a cut request ends the session:
        // https://github.com/quay/quay/blob/master/endpoints/v2/blob.py
        range_is_true: false,
        ..default()
    },
];

/// The fields a row does not name.
const fn default() -> Profile {
    Profile {
        name: "",
        hosts: &[],
        chunks: ANY,
        range_is_true: true,
        unsized_bodies: true,
        // An image that is taken without its layers is a broken one: not without proof.
        checks_manifests: false,
    }
}

impl Profile {
    /// By host name, without port, in lower case.
    pub(super) fn of(host: &str) -> &'static Self {
        let fits = |pattern: &Pattern| match pattern {
            Pattern::Is(name) => host == *name,
            Pattern::Ends(end) => host.len() > end.len() && host.ends_with(end),
            Pattern::Between(start, end) => host
                .strip_suffix(end)
                .is_some_and(|rest| rest.contains(start)),
        };
        let found = TABLE.iter().find(|p| p.hosts.iter().any(fits));
        found.unwrap_or(&DEFAULT)
    }
}

/// What one registry has shown of itself.
#[derive(Debug)]
pub(super) struct Learned {
    /// Largest piece to send after a 413; `u64::MAX` while nothing was refused.
    chunk: AtomicU64,
    /// A mount from the same repository has been answered with 201.
    mounts_tell: AtomicBool,
    /// Its upload locations are those of distribution.
    distribution: AtomicBool,
    /// They are of another kind.
    no_distribution: AtomicBool,
    /// What its answers have in common, in short.
    looks: OnceLock<String>,
    no_unsized_bodies: AtomicBool,
    cut_body_kept: AtomicBool,
    lost_at_gateway: AtomicU32,
    cut_body_lost: AtomicBool,
    harbor: AtomicBool,
}

impl Default for Learned {
    fn default() -> Self {
        Self {
            chunk: AtomicU64::new(u64::MAX),
            mounts_tell: AtomicBool::new(false),
            distribution: AtomicBool::new(false),
            no_distribution: AtomicBool::new(false),
            looks: OnceLock::new(),
            no_unsized_bodies: AtomicBool::new(false),
            cut_body_kept: AtomicBool::new(false),
            lost_at_gateway: AtomicU32::new(0),
            cut_body_lost: AtomicBool::new(false),
            harbor: AtomicBool::new(false),
        }
    }
}

impl Learned {
    /// Whether a blob may be asked for by mounting it. On Harbor that does not protect it from garbage
    /// collection, HEAD does:
    /// <https://github.com/goharbor/harbor/tree/main/src/server/middleware/blob>
    pub(super) fn may_mount(&self) -> bool {
        !self.harbor.load(Ordering::Relaxed)
    }

    pub(super) fn look_for_harbor(&self, challenges: &[Challenge]) {
        for challenge in challenges {
            self.look_at_service(challenge.param("service"));
        }
    }

    /// What a token service calls the registry.
    pub(super) fn look_at_service(&self, service: Option<&str>) {
        if service == Some("harbor-registry") {
            self.harbor.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn mount_told(&self) {
        self.mounts_tell.store(true, Ordering::Relaxed);
    }

    /// Looks at where an upload goes: the distribution family is known by `_state=`.
    pub(super) fn look_at_location(&self, location: &str) {
        let shown = match location.contains("_state=") {
            true => &self.distribution,
            false => &self.no_distribution,
        };
        shown.store(true, Ordering::Relaxed);
    }

    /// Looks at what an answer shows of the software behind it.
    pub(super) fn look_at_answer(&self, answer: &Response) {
        let shown = LOOKS.map(|name| answer.header(name).unwrap_or_default());
        let looks = || Digest::of(shown.join("\n").as_bytes()).short().to_owned();
        self.looks.get_or_init(looks);
    }

    pub(super) fn looks(&self) -> Option<&str> {
        self.looks.get().map(String::as_str)
    }

    /// Whether a manifest may be sent before it is known what of it is there, since a registry that looked like
    /// this one could be sent them not long ago.
    pub(super) fn may_offer_as_before(&self, profile: &Profile, looks: &str) -> bool {
        let contradicts = self.no_distribution.load(Ordering::Relaxed);
        profile.checks_manifests && self.may_mount() && !contradicts && self.looks() == Some(looks)
    }

    fn is_distribution(&self) -> bool {
        self.distribution.load(Ordering::Relaxed)
    }

    /// Whether 202 to a mount from the same repository means that the blob is not there. The
    /// distribution family means it.
    pub(super) fn mounts_tell(&self) -> bool {
        self.mounts_tell.load(Ordering::Relaxed) || self.is_distribution()
    }

    /// Whether a manifest may be sent before it is known what of it is there. Not to Harbor, which
    /// protects from garbage collection only what it is asked for by HEAD.
    pub(super) fn may_offer(&self, profile: &Profile) -> bool {
        profile.checks_manifests && self.is_distribution() && self.may_mount()
    }

    /// Whether what had arrived of a body was still there after its connection was cut.
    pub(super) fn keeps_cut_bodies(&self) -> bool {
        self.cut_body_kept.load(Ordering::Relaxed)
    }

    pub(super) fn cut_body_kept(&self) {
        self.cut_body_kept.store(true, Ordering::Relaxed);
    }

    /// Whether bodies that a gateway failed with have reached nobody who knows their sessions. Once may be
    /// a registry that was away.
    pub(super) fn has_strangers(&self) -> bool {
        self.lost_at_gateway.load(Ordering::Relaxed) > 1
    }

    /// The registry has nothing of a body that a gateway failed with.
    pub(super) fn lost_at_gateway(&self) {
        self.lost_at_gateway.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing was left of a body that was cut, and of none anything.
    pub(super) fn loses_cut_bodies(&self) -> bool {
        self.cut_body_lost.load(Ordering::Relaxed) && !self.keeps_cut_bodies()
    }

    pub(super) fn cut_body_lost(&self) {
        self.cut_body_lost.store(true, Ordering::Relaxed);
    }

    /// Whether cut bodies are kept, since a registry that looked like this one kept them not long ago.
    pub(super) fn keeps_cut_bodies_as_before(&self, looks: &str) -> bool {
        !self.loses_cut_bodies() && self.looks() == Some(looks)
    }

    pub(super) fn unsized_refused(&self) {
        self.no_unsized_bodies.store(true, Ordering::Relaxed);
    }

    fn chunk(&self) -> Option<u64> {
        Some(self.chunk.load(Ordering::Relaxed)).filter(|chunk| *chunk != u64::MAX)
    }
}

/// Everything that decides how large one request's body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes<'a> {
    pub(super) profile: &'a Profile,
    pub(super) learned: &'a Learned,
    /// What the user asked for.
    pub(super) asked: Option<u64>,
    /// What the session asks for at least.
    pub(super) least: u64,
}

impl Sizes<'_> {
    /// The largest body of one request; `None` means all of it.
    pub(super) fn chunk(&self) -> Option<u64> {
        let Chunks::Between(least, most) = self.profile.chunks else {
            return None;
        };
        let wanted = match (self.asked, self.learned.chunk()) {
            (Some(asked), Some(learned)) => asked.min(learned),
            (asked, learned) => asked.or(learned)?,
        };
        Some(wanted.max(least).min(most).max(self.least).max(1))
    }

    /// The size of the pieces that bytes of unknown number are sent in, where each is held in memory.
    pub(super) fn piece(&self) -> u64 {
        let wanted = self.chunk().unwrap_or(PIECE).min(PIECE);
        match self.profile.chunks {
            Chunks::Between(least, _) => wanted.max(least).max(self.least),
            Chunks::Never => wanted,
        }
    }

    /// Whether a body of unknown length may be sent.
    pub(super) fn takes_unsized(&self) -> bool {
        let refused = self.learned.no_unsized_bodies.load(Ordering::Relaxed);
        self.profile.unsized_bodies && !refused && self.chunk().is_none()
    }

    /// After a 413 to a body of `sent` bytes: false when nothing smaller is allowed.
    pub(super) fn shrink(&self, sent: u64) -> bool {
        let Chunks::Between(least, most) = self.profile.chunks else {
            return false;
        };
        let allowed = LADDER.map(|size| size.max(least).min(most).max(self.least));
        let Some(smaller) = allowed.into_iter().find(|size| *size < sent) else {
            return false;
        };
        self.learned.chunk.fetch_min(smaller, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests;
