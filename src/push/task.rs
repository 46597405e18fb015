//! What a worker does for one task: everything it needs comes with it, everything it learns goes
//! back.

use std::path::Path;
use std::sync::Arc;

use crate::image::compress::{self, Compressor, Method};
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::{Repository, Tag};
use crate::image::source::{Body, Summary};
use crate::image::stdin::subject;
use crate::observe::event::Meter;
use crate::push::made_again::MadeAgain;
use crate::push::memory::Memory;
use crate::push::plan::{Compressed, Origin};
use crate::push::report::ErrorReport;
use crate::push::schedule::Ended;
use crate::push::verify::VerifyWork;
use crate::registry::client::{
    Arrival, BlobTask, Client, Delivery, ManifestFailure, ManifestName, StreamTask, Weight,
};
use crate::registry::clock::Stop;
use crate::registry::error::{Error, ErrorKind};

/// What is compressed and no larger than this has a digest before it is sent, so that nobody sends it again:
/// such a layer is noted with the others at the end. In bytes.
const WORTH_A_NOTE: u64 = 1 << 20;

/// What all tasks share.
pub(crate) struct Tools {
    pub(crate) client: Client,
    pub(crate) compressor: Compressor,
    pub(crate) memory: Arc<Memory>,
    /// Whatever goes on is of no use any more.
    pub(crate) halt: Stop,
    /// Blobs are sent whatever the registry says it has.
    pub(crate) force: bool,
}

/// A task with all it works on.
pub(crate) enum Work {
    Hash(Origin),
    Check {
        repository: Repository,
        name: Name,
    },
    CheckBlob {
        repository: Repository,
        digest: Digest,
        size: u64,
    },
    Look {
        repository: Repository,
        tag: Tag,
    },
    ReadConfig {
        repository: Repository,
        digest: Digest,
        size: u64,
    },
    Transfer(TransferWork),
    Offer {
        repository: Repository,
        tag: Tag,
        manifest: Arc<Manifest>,
    },
    Put(PutWork),
    Verify(Box<VerifyWork>),
}

#[derive(Clone, Debug)]
pub(crate) enum Name {
    Tag(Tag),
    Digest(Digest),
}

pub(crate) struct TransferWork {
    pub(crate) repository: Repository,
    pub(crate) origin: Origin,
    /// Digest and size, where they are known.
    pub(crate) resolved: Option<(Digest, u64)>,
    /// By what an earlier push made of it.
    pub(crate) is_remembered: bool,
    pub(crate) from: Option<Repository>,
    /// A repository that an earlier push has brought it to.
    pub(crate) recalled: Option<Repository>,
    pub(crate) meter: Arc<Meter>,
}

pub(crate) struct PutWork {
    pub(crate) repository: Repository,
    pub(crate) name: Name,
    pub(crate) manifest: Arc<Manifest>,
    /// What the manifest names, should the registry have lost it.
    pub(crate) blobs: Vec<NamedBlob>,
    pub(crate) children: Vec<Arc<Manifest>>,
}

/// A blob as a manifest names it, and where it can be had again.
pub(crate) struct NamedBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) origin: Origin,
    pub(crate) is_remembered: bool,
    /// It was only not named when the manifest was offered.
    pub(crate) is_taken_for_there: bool,
    pub(crate) meter: Arc<Meter>,
}

/// How a blob came to be where it should, and what it is.
type Sent = (Delivery, Summary);

/// Why something was not done.
pub(crate) enum Failed {
    Report(ErrorReport),
    /// What was remembered is not true.
    Disproved,
    /// These are missing, some of which had not been named before.
    Lacks(Vec<Digest>),
}

impl Work {
    pub(crate) fn run(self, tools: &Tools) -> Ended {
        match self {
            Self::Hash(origin) => hash(&origin, tools),
            Self::Check { repository, name } => {
                let checked = tools.client.check_manifest(&repository, name.as_wire());
                checked.map_or_else(|error| Ended::Failed(error.into()), Ended::Checked)
            }
            Self::CheckBlob {
                repository,
                digest,
                size,
            } => {
                let checked = tools.client.check_blob(&repository, &digest, size);
                checked.map_or_else(|error| Ended::Failed(error.into()), Ended::Checked)
            }
            Self::Look { repository, tag } => {
                let seen = tools.client.look_at_tag(&repository, &tag);
                seen.map_or_else(|error| Ended::Failed(error.into()), Ended::Looked)
            }
            Self::ReadConfig {
                repository,
                digest,
                size,
            } => {
                let bytes = tools.client.read_blob(&repository, &digest, size);
                let config = bytes.and_then(|bytes| Config::parse(&bytes).ok());
                Ended::Read(config.map(Config::into_diff_ids))
            }
            Self::Transfer(work) => work.run(tools),
            Self::Offer {
                repository,
                tag,
                manifest,
            } => offer(&repository, &tag, &manifest, tools),
            Self::Put(work) => work.run(tools),
            Self::Verify(work) => work.run(tools),
        }
    }
}

fn hash(origin: &Origin, tools: &Tools) -> Ended {
    let Origin::Stored(body) = origin else {
        let error = format!("{origin:?} is not hashed");
        return Ended::Failed(ErrorReport::local(error));
    };
    match compress::digest_of(body, &|| tools.halt.is_stopped()) {
        Ok(Some(digest)) => Ended::Hashed(digest),
        Ok(None) => Ended::Failed(ErrorReport::interrupted()),
        Err(error) => {
            let path = origin.path().unwrap_or(Path::new("bytes of a manifest"));
            let message = format!("a layer of {} cannot be read: {error}", subject(path));
            Ended::Failed(ErrorReport::source(message))
        }
    }
}

fn offer(repository: &Repository, tag: &Tag, manifest: &Manifest, tools: &Tools) -> Ended {
    let name = ManifestName::Tag(tag);
    match tools.client.put_manifest(repository, name, manifest) {
        Ok(()) => Ended::Put(Vec::new()),
        Err(ManifestFailure::Missing {
            digests,
            lists_all: true,
            ..
        }) => Ended::Lacks(digests),
        Err(failure) => Ended::Failed(failure.into_error().into()),
    }
}

impl TransferWork {
    fn run(self, tools: &Tools) -> Ended {
        let delivered = match &self.resolved {
            Some((digest, size)) => self.send(digest, *size, tools),
            None => self.stream(tools),
        };
        match delivered {
            Ok((delivery, Summary { digest, size })) => Ended::Delivered(delivery, digest, size),
            Err(failed) => failed.into(),
        }
    }

    fn send(&self, digest: &Digest, size: u64, tools: &Tools) -> Result<Sent, Failed> {
        // What has come from another repository in this push was looked at there.
        let must_look = self.is_remembered && self.from.is_none();
        let Some(recalled) = self.recalled.as_ref().filter(|_| must_look) else {
            let there = must_look && self.is_there(digest, size, tools)?;
            return match there {
                true => Ok((Delivery::present(), summary(digest, size))),
                false => {
                    let from = self.from.as_ref().or(self.recalled.as_ref());
                    self.bring(digest, size, from, must_look, tools)
                }
            };
        };
        let (mut delivery, summary) = self.bring(digest, size, Some(recalled), false, tools)?;
        if delivery.arrival != Arrival::Uploaded && !self.is_there(digest, size, tools)? {
            let refused = delivery.mount_refused;
            (delivery, _) = self.bring(digest, size, None, true, tools)?;
            delivery.mount_refused = refused;
        }
        Ok((delivery, summary))
    }

    /// Whether it is there and of the right size.
    fn is_there(&self, digest: &Digest, size: u64, tools: &Tools) -> Result<bool, Failed> {
        match tools.client.weigh_blob(&self.repository, digest, size)? {
            Weight::Right => Ok(true),
            Weight::Wrong => Err(Failed::Disproved),
            Weight::NotSeen => Ok(false),
        }
    }

    fn bring(
        &self,
        digest: &Digest,
        size: u64,
        from: Option<&Repository>,
        no_mount: bool,
        tools: &Tools,
    ) -> Result<Sent, Failed> {
        let summary = summary(digest, size);
        let body = self.origin.body(tools, &summary);
        let made_of = self.origin.made_of();
        let task = BlobTask {
            repository: &self.repository,
            digest,
            body: body.as_body(),
            mount_from: from,
            no_mount: no_mount || tools.force,
            force: tools.force,
            made_of: made_of.as_deref(),
            meter: &self.meter,
        };
        match tools.client.push_blob(&task) {
            Ok(delivery) => Ok((delivery, summary)),
            Err(_) if self.is_remembered && body.has_differed() => Err(Failed::Disproved),
            Err(error) => Err(self.origin.blame(error).into()),
        }
    }

    fn stream(&self, tools: &Tools) -> Result<Sent, Failed> {
        let Origin::Compressed {
            stored,
            diff_id,
            method,
        } = &self.origin
        else {
            let error = format!("{:?} has no digest", self.origin);
            return Err(ErrorReport::local(error).into());
        };
        let body = tools
            .compressor
            .layer(stored.clone(), diff_id.clone(), *method);
        let what = format!("layer {diff_id}");
        let made_of = made_of(diff_id, *method);
        let task = StreamTask {
            repository: &self.repository,
            what: &what,
            body: &body,
            size: stored.size(),
            force: tools.force,
            made_of: &made_of,
            meter: &self.meter,
        };
        let (summary, delivery) =
            (tools.client.push_stream(&task)).map_err(|error| self.origin.blame(error))?;
        if summary.size > WORTH_A_NOTE {
            tools.memory.made(Compressed {
                diff_id: diff_id.clone(),
                method: *method,
                summary: summary.clone(),
            });
        }
        Ok((delivery, summary))
    }
}

fn summary(digest: &Digest, size: u64) -> Summary {
    Summary {
        digest: digest.clone(),
        size,
    }
}

impl PutWork {
    fn run(self, tools: &Tools) -> Ended {
        match self.put(tools) {
            Ok(sent_again) => Ended::Put(sent_again),
            Err(failed) => failed.into(),
        }
    }

    /// Puts the manifest. Where the registry says that things are missing which it had confirmed,
    /// they are given time; then what it does not show is sent again; and if it still does not take
    /// the manifest, everything it names is, whatever it shows. Returns what was sent again.
    pub(crate) fn put(&self, tools: &Tools) -> Result<Vec<Digest>, Failed> {
        let Some(missing) = self.put_once(tools)? else {
            return Ok(Vec::new());
        };
        let is_news = |blob: &NamedBlob| blob.is_taken_for_there && missing.contains(&blob.digest);
        if self.blobs.iter().any(is_news) {
            return Err(Failed::Lacks(missing));
        }
        let mut sent = tools.client.await_blobs(&self.repository, &missing)?;
        self.send_all(&sent, tools)?;
        let Some(still_missing) = self.put_once(tools)? else {
            return Ok(sent);
        };
        self.send_all(&still_missing, tools)?;
        sent.extend(still_missing);
        match self.attempt(tools) {
            Ok(()) => Ok(sent),
            Err(failure) => Err(failure.into_error().into()),
        }
    }

    fn attempt(&self, tools: &Tools) -> Result<(), ManifestFailure> {
        tools
            .client
            .put_manifest(&self.repository, self.name.as_wire(), &self.manifest)
    }

    /// `None` when it is in place, else what the registry says it lacks.
    fn put_once(&self, tools: &Tools) -> Result<Option<Vec<Digest>>, Failed> {
        match self.attempt(tools) {
            Ok(()) => Ok(None),
            Err(ManifestFailure::Missing { digests, .. }) => Ok(Some(digests)),
            Err(ManifestFailure::Other(error)) => Err(error.into()),
        }
    }

    fn send_all(&self, digests: &[Digest], tools: &Tools) -> Result<(), Failed> {
        digests
            .iter()
            .try_for_each(|digest| self.send_again(digest, tools))
    }

    /// Sends a blob or child that the registry said it had.
    fn send_again(&self, digest: &Digest, tools: &Tools) -> Result<(), Failed> {
        if let Some(child) = self.children.iter().find(|child| child.digest() == digest) {
            let name = ManifestName::Digest(digest);
            let put = tools.client.put_manifest(&self.repository, name, child);
            return put.map_err(|failure| failure.into_error().into());
        }
        match self.blobs.iter().find(|blob| blob.digest == *digest) {
            Some(blob) => blob.send(&self.repository, tools),
            None => Ok(()),
        }
    }
}

impl NamedBlob {
    /// Sends it, whatever the registry says of it.
    pub(crate) fn send(&self, repository: &Repository, tools: &Tools) -> Result<(), Failed> {
        let summary = summary(&self.digest, self.size);
        let body = self.origin.body(tools, &summary);
        let made_of = self.origin.made_of();
        let task = BlobTask {
            repository,
            digest: &self.digest,
            body: body.as_body(),
            mount_from: None,
            no_mount: true,
            force: true,
            made_of: made_of.as_deref(),
            meter: &self.meter,
        };
        match tools.client.push_blob(&task) {
            Ok(_) => Ok(()),
            Err(_) if self.is_remembered && body.has_differed() => Err(Failed::Disproved),
            Err(error) => Err(self.origin.blame(error).into()),
        }
    }
}

impl Name {
    pub(crate) fn as_wire(&self) -> ManifestName<'_> {
        match self {
            Self::Tag(tag) => ManifestName::Tag(tag),
            Self::Digest(digest) => ManifestName::Digest(digest),
        }
    }
}

impl Origin {
    /// The file or folder that holds the bytes.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Stored(stored) | Self::Compressed { stored, .. } => Some(stored.source().path()),
            Self::Bytes(_) => None,
        }
    }

    /// What the bytes are known by as long as nobody knows their digest.
    fn made_of(&self) -> Option<String> {
        match self {
            Self::Compressed {
                diff_id, method, ..
            } => Some(made_of(diff_id, *method)),
            Self::Stored(_) | Self::Bytes(_) => None,
        }
    }

    /// The report of `error`, which names the source where that is to blame.
    fn blame(&self, mut error: Error) -> ErrorReport {
        if let (ErrorKind::Source, Some(path)) = (error.kind, self.path()) {
            error.reason = format!("{}: {}", subject(path), error.reason);
        }
        error.into()
    }

    /// The bytes as they go to the registry, which should be those of `summary`.
    fn body(&self, tools: &Tools, summary: &Summary) -> OriginBody {
        match self {
            Self::Stored(stored) => OriginBody::AsItIs(Box::new(stored.clone())),
            Self::Bytes(bytes) => OriginBody::AsItIs(Box::new(Arc::clone(bytes))),
            Self::Compressed {
                stored,
                diff_id,
                method,
            } => {
                let layer = tools
                    .compressor
                    .layer(stored.clone(), diff_id.clone(), *method);
                OriginBody::MadeAgain(MadeAgain::new(Box::new(layer), summary.clone()))
            }
        }
    }
}

fn made_of(diff_id: &Digest, method: Method) -> String {
    format!("{diff_id} {}", method.identity())
}

enum OriginBody {
    AsItIs(Box<dyn Body>),
    MadeAgain(MadeAgain),
}

impl OriginBody {
    fn as_body(&self) -> &dyn Body {
        match self {
            Self::AsItIs(body) => body.as_ref(),
            Self::MadeAgain(body) => body,
        }
    }

    /// Whether it turned out to be something else than was expected of it.
    fn has_differed(&self) -> bool {
        matches!(self, Self::MadeAgain(body) if body.has_differed())
    }
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Report(report) => Self::Failed(report),
            Failed::Disproved => Self::Disproved,
            Failed::Lacks(digests) => Self::Lacks(digests),
        }
    }
}

impl From<ErrorReport> for Failed {
    fn from(report: ErrorReport) -> Self {
        Self::Report(report)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Report(error.into())
    }
}
