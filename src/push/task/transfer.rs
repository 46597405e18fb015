//! Bringing one blob: looked for, mounted, sent, or made while it is sent.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::reference::Repository;
use crate::image::source::{Body as _, Summary};
use crate::observe::event::Meter;
use crate::push::plan::{Compressed, Origin};
use crate::push::report::ErrorReport;
use crate::push::schedule::Ended;
use crate::push::task::bytes::made_of;
use crate::push::task::{Failed, Tools};
use crate::registry::client::{Arrival, BlobTask, Delivery, StreamTask, Weight};

/// What is compressed and no larger than this has a digest before it is sent, so that nobody sends it again:
/// such a layer is noted with the others at the end. In bytes.
const WORTH_A_NOTE: u64 = 1 << 20;

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

/// How a blob came to be where it should, and what it is.
type Sent = (Delivery, Summary);

impl TransferWork {
    pub(super) fn run(self, tools: &Tools) -> Ended {
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
        let noted = OnceCell::new();
        let note = |summary: &Summary| {
            if summary.size > WORTH_A_NOTE {
                noted.get_or_init(|| {
                    let made = Compressed {
                        diff_id: diff_id.clone(),
                        method: *method,
                        summary: summary.clone(),
                    };
                    tools.memory.made(made, &tools.halt);
                });
            }
        };
        let task = StreamTask {
            repository: &self.repository,
            what: &what,
            body: &body,
            size: stored.size(),
            force: tools.force,
            made_of: &made_of,
            made: &note,
            meter: &self.meter,
        };
        let (summary, delivery) =
            (tools.client.push_stream(&task)).map_err(|error| self.origin.blame(error))?;
        Ok((delivery, summary))
    }
}

fn summary(digest: &Digest, size: u64) -> Summary {
    Summary {
        digest: digest.clone(),
        size,
    }
}
