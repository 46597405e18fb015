//! What happened, per image and per blob: the document of `--output json`. Fields are only added.

use serde::Serialize;

use crate::image::digest::Digest;
pub use crate::observe::event::{BlobStatus, ImageStatus};

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// 1.
    pub version: u32,
    pub outcome: Outcome,
    pub exit_code: u8,
    /// Those that were broken in their source first, each sort in the order found.
    pub images: Vec<ImageReport>,
    pub bytes: Bytes,
    pub requests: u64,
    pub retries: u64,
    /// Time in which somebody waited instead of working: the sum of `waited`.
    pub waited_ms: u64,
    pub waited: Waited,
    pub duration_ms: u64,
    /// What concerns no single image: wrong usage, unreadable sources, nothing found.
    pub errors: Vec<ErrorReport>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    Partial,
    Failed,
    Nothing,
    Usage,
    Interrupted,
}

#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The file or folder it was found in.
    pub source: String,
    /// As found there.
    pub names: Vec<String>,
    pub targets: Vec<TargetReport>,
    /// Of the root manifest; unknown for one that was never made.
    pub digest: Option<Digest>,
    pub media_type: Option<String>,
    pub status: ImageStatus,
    pub error: Option<ErrorReport>,
    pub blobs: Vec<BlobReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TargetReport {
    /// `host/repository:tag`
    pub name: String,
    pub status: ImageStatus,
    pub error: Option<ErrorReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BlobReport {
    /// The repository it is in, without the host.
    pub repository: String,
    pub digest: Option<Digest>,
    /// Bytes in the registry; unknown for a layer that was never compressed.
    pub size: Option<u64>,
    pub status: BlobStatus,
    /// The repository it was mounted from.
    pub from: Option<String>,
    pub resumed_at: Option<u64>,
    /// Body bytes sent for it, re-sends included.
    pub sent: u64,
    /// All of it was read back, and is what it should be.
    pub verified: bool,
    /// Bytes read back for it, what was read twice included.
    pub read_back: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    pub kind: FailureKind,
    pub side: Side,
    pub message: String,
    pub hint: Option<String>,
    /// The end of `message`, where it is a trouble of the registry as a whole that says the same of
    /// all images.
    #[serde(skip)]
    pub common: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    Usage,
    Source,
    Auth,
    Unreachable,
    Pressure,
    Refused,
    Policy,
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Source,
    Registry,
    Local,
}

/// What was waited for, in milliseconds of the push: each moment counts once, and for the first of these
/// that applies to anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waited {
    /// The registry asked for it.
    pub pause_ms: u64,
    /// `--requests-per-second`
    pub requests_ms: u64,
    /// `--limit-rate`
    pub bandwidth_ms: u64,
    /// Between tries, and between looks at what became of something.
    pub retry_ms: u64,
    /// For other processes that sent the same.
    pub other_ms: u64,
}

impl Waited {
    pub fn total_ms(self) -> u64 {
        self.pause_ms + self.requests_ms + self.bandwidth_ms + self.retry_ms + self.other_ms
    }
}

/// Blob bytes, each blob counted once per repository, but for `uploaded` and `read_back`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    pub total: u64,
    /// Body bytes really sent, re-sends included.
    pub uploaded: u64,
    /// Not sent because an upload session had kept them.
    pub resumed: u64,
    pub mounted: u64,
    pub present: u64,
    /// What was read twice counts twice.
    pub read_back: u64,
}

impl ImageStatus {
    /// Of an image whose targets are in these: failed when any is, skipped when any never came to its
    /// end, present when all were there.
    pub(crate) fn of_all(targets: impl Iterator<Item = Self> + Clone) -> Self {
        let any = |wanted: Self| targets.clone().any(|status| status == wanted);
        let by_weight = [Self::Failed, Self::Skipped, Self::Pushed];
        let heaviest = by_weight.into_iter().find(|status| any(*status));
        heaviest.unwrap_or(Self::Present)
    }
}
