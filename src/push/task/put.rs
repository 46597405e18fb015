//! Putting a manifest, and sending again what the registry says it has lost of it.

use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::Repository;
use crate::image::source::Summary;
use crate::observe::event::Meter;
use crate::push::plan::Origin;
use crate::push::schedule::Ended;
use crate::push::task::{Failed, Name, Tools};
use crate::registry::client::{BlobTask, ManifestFailure, ManifestName};

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

impl PutWork {
    pub(super) fn run(self, tools: &Tools) -> Ended {
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
        let summary = Summary {
            digest: self.digest.clone(),
            size: self.size,
        };
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
