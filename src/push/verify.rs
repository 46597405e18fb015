//! What a worker does to make sure of something that is in place: read it back, and where it is wrong send
//! it again and read it once more.

use std::sync::Arc;

use crate::image::reference::Repository;
use crate::observe::event::Meter;
use crate::push::report::ErrorReport;
use crate::push::schedule::{Ended, Verified};
use crate::push::task::{Failed, NamedBlob, PutWork, Tools};
use crate::registry::client::{ManifestName, ReadBack};
use crate::registry::error::Error;

pub(crate) enum VerifyWork {
    Blob {
        repository: Repository,
        blob: NamedBlob,
        /// Counts what is read.
        meter: Arc<Meter>,
    },
    Manifest(PutWork),
}

impl VerifyWork {
    pub(crate) fn run(&self, tools: &Tools) -> Ended {
        match self.verify(tools) {
            Ok(verified) => Ended::Verified(verified),
            Err(failed) => failed.into(),
        }
    }

    fn verify(&self, tools: &Tools) -> Result<Verified, Failed> {
        let why = match self.read(tools)? {
            ReadBack::Right => return Ok(Verified::Right),
            ReadBack::Unknown => return Ok(Verified::Unknown),
            ReadBack::Wrong(why) => why,
        };
        if !self.is_here() {
            let message = format!("{}: it {why}, and no source has it", self.operation());
            return Err(ErrorReport::refused(message).into());
        }
        self.send(tools)
            .map_err(|failed| self.unsent(&why, failed))?;
        match self.read(tools)? {
            ReadBack::Wrong(still) => Err(self.hopeless(&still).into()),
            ReadBack::Right | ReadBack::Unknown => Ok(Verified::Mended(why)),
        }
    }

    fn read(&self, tools: &Tools) -> Result<ReadBack, Error> {
        match self {
            Self::Blob {
                repository,
                blob,
                meter,
            } => {
                let NamedBlob { digest, size, .. } = blob;
                tools
                    .client
                    .read_back_blob(repository, digest, *size, meter)
            }
            Self::Manifest(put) => {
                tools
                    .client
                    .read_back_manifest(&put.repository, put.name.as_wire(), &put.manifest)
            }
        }
    }

    fn is_here(&self) -> bool {
        match self {
            Self::Blob { blob, .. } => blob.origin.is_here(),
            Self::Manifest(_) => true,
        }
    }

    fn send(&self, tools: &Tools) -> Result<(), Failed> {
        match self {
            Self::Blob {
                repository, blob, ..
            } => blob.send(repository, tools),
            Self::Manifest(put) => put.put(tools).map(drop),
        }
    }

    /// "verification of sha256:12ab…"
    fn operation(&self) -> String {
        match self {
            Self::Blob { blob, .. } => format!("verification of {}", blob.digest),
            Self::Manifest(put) => match put.name.as_wire() {
                ManifestName::Tag(tag) => {
                    format!("verification of manifest {}:{tag}", put.repository)
                }
                ManifestName::Digest(digest) => format!("verification of manifest {digest}"),
            },
        }
    }

    fn unsent(&self, why: &str, failed: Failed) -> Failed {
        match failed {
            Failed::Report(mut report) if !report.is_interruption() => {
                let (operation, message) = (self.operation(), report.message);
                report.message =
                    format!("{operation}: it {why}, and sending it again failed: {message}");
                Failed::Report(report)
            }
            other => other,
        }
    }

    fn hopeless(&self, why: &str) -> ErrorReport {
        let operation = self.operation();
        let message = format!("{operation}: it {why}, also after it was sent again");
        let mut error = ErrorReport::refused(message);
        if matches!(self, Self::Blob { .. }) {
            let hint = "removing that blob from the registry's storage: some keep the bytes that they have for a digest, whatever they are";
            error.hint = Some(hint.to_owned());
        }
        error
    }
}
