//! Where sending a stream begins: in a new session, or behind what another one holds.

use crate::image::source::Summary;
use crate::registry::blobs::Weight;
use crate::registry::body::Pour;
use crate::registry::error::Error;
use crate::registry::retry::Halt;
use crate::registry::stream::{End, Streaming, measure};
use crate::registry::upload::Session;

/// When to look for what the last request of an earlier process has closed, perhaps: a registry may still be
/// at it. In seconds.
const LOOKS: [u64; 2] = [0, 1];

impl<'a> Streaming<'a> {
    pub(super) fn begin(&mut self) -> Result<Option<End>, Halt> {
        self.resumed_at = None;
        if let Some(session) = self.record.recall()? {
            self.session = Some(session);
            self.most = u64::MAX;
            return Ok(None);
        }
        if let Some(made) = self.record.take_made()
            && self.is_there(&made)?
        {
            return Ok(Some(End::Found(made)));
        }
        if self.record.has_waited() {
            // Another process has sent it, perhaps: its digest will tell.
            return self.measure().map(Some);
        }
        let session = self
            .client
            .open_session(self.operation, self.task.repository)?;
        self.most = 0;
        if self.record.opened(&session) {
            self.session = Some(session);
        }
        Ok(None)
    }

    /// Whether what an earlier process has made is there. A size that is written down wrong would end up in
    /// the manifest.
    fn is_there(&self, made: &Summary) -> Result<bool, Error> {
        if !self.client.look_for(self.subject(made), &LOOKS)? {
            return Ok(false);
        }
        let repository = self.task.repository;
        let weight = self
            .client
            .weigh_blob(repository, &made.digest, made.size)?;
        Ok(weight == Weight::Right)
    }

    /// Opens the stream where `session` ends. Nothing where one of an earlier process holds more than
    /// there is.
    pub(super) fn pour_behind(
        &mut self,
        session: &Session,
        ahead: usize,
    ) -> Result<Option<Pour<'a>>, Halt> {
        let held = session.held();
        let task = self.task;
        task.meter.seek(held);
        match Pour::open(task.body, held, ahead, task.meter) {
            Ok(pour) => Ok(Some(pour)),
            Err(_) if self.record.is_old() => {
                self.record.forget();
                Ok(None)
            }
            Err(error) => Err(Error::source(self.operation, &error).into()),
        }
    }

    /// Makes everything, for its digest and size alone.
    pub(super) fn measure(&mut self) -> Result<End, Halt> {
        let unreadable = |error| Error::source(self.operation, &error);
        self.ready = None;
        let pour = Pour::open(self.task.body, 0, 0, self.task.meter).map_err(unreadable)?;
        Ok(End::Known(measure(pour).map_err(unreadable)?))
    }
}
