//! From the errors of lower rooms to the one shape of the report.

use crate::image::error::ImageError;
use crate::push::report::{ErrorReport, FailureKind, Side};
use crate::registry::error::{Error, ErrorKind};

impl ErrorReport {
    /// Wrong usage that shows only when the sources are known.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, Side::Local, message.into())
    }

    /// The source's fault.
    pub(crate) fn source(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Source, Side::Source, message.into())
    }

    /// This machine's or hoist's own fault.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Source, Side::Local, message.into())
    }

    /// The registry's doing.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, Side::Registry, message.into())
    }

    pub(crate) fn is_usage(&self) -> bool {
        self.kind == FailureKind::Usage
    }

    /// Whether another tag of the same manifest may be taken where this one was not: registries
    /// protect single tags, with 400 to 412.
    pub(crate) fn may_be_of_the_tag(&self) -> bool {
        matches!(self.kind, FailureKind::Refused | FailureKind::Auth)
    }

    pub(crate) fn is_interruption(&self) -> bool {
        self.kind == FailureKind::Interrupted
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(FailureKind::Interrupted, Side::Local, "interrupted".into())
    }

    fn new(kind: FailureKind, side: Side, message: String) -> Self {
        Self {
            kind,
            side,
            message,
            hint: None,
            common: None,
        }
    }
}

impl From<&ImageError> for ErrorReport {
    fn from(error: &ImageError) -> Self {
        Self::source(error.to_string())
    }
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> Self {
        let (kind, side) = match error.kind {
            ErrorKind::Auth => (FailureKind::Auth, Side::Registry),
            ErrorKind::Unreachable => (FailureKind::Unreachable, Side::Registry),
            ErrorKind::Pressure => (FailureKind::Pressure, Side::Registry),
            ErrorKind::Refused => (FailureKind::Refused, Side::Registry),
            ErrorKind::Source => (FailureKind::Source, Side::Source),
            ErrorKind::Interrupted => (FailureKind::Interrupted, Side::Local),
        };
        let is_common = matches!(kind, FailureKind::Auth | FailureKind::Unreachable);
        Self {
            kind,
            side,
            message: error.to_string(),
            hint: error.hint,
            common: is_common.then_some(error.reason),
        }
    }
}
