//! Everything that ends a request early, and the answer it becomes.

use std::io;

use serde_json::{Value, json};

use crate::serve::http::answer::{Answer, failure};
use crate::serve::http::connection::is_timeout;
use crate::serve::store::is_full;

/// distribution-spec 1.1, "Error Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unsupported,
}

#[derive(Debug)]
pub(super) enum Fault {
    Refusal(Box<Refusal>),
    /// The request's body could not be read to its end.
    Body(io::Error),
    /// Our own folder could not be read or written.
    Storage(io::Error),
}

/// A request refused by the protocol.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    status: u16,
    errors: Vec<Value>,
    fields: Vec<(&'static str, String)>,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unsupported => "UNSUPPORTED",
        }
    }

    fn usual_status(self) -> u16 {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => 404,
            Self::Unsupported => 405,
            _ => 400,
        }
    }
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::refusal(code).and(message, Value::Null)
    }

    /// Several errors of one code, to be added with [`Self::and`].
    pub(super) fn refusal(code: Code) -> Self {
        Self::Refusal(Box::new(Refusal {
            code,
            status: code.usual_status(),
            errors: Vec::new(),
            fields: Vec::new(),
        }))
    }

    /// A path that is none of the protocol's.
    pub(super) fn nowhere() -> Self {
        Self::new(Code::NameInvalid, "no such end-point").status(404)
    }

    pub(super) fn and(self, message: impl Into<String>, detail: Value) -> Self {
        self.edit(|refusal| {
            let mut error = json!({"code": refusal.code.name(), "message": message.into()});
            if !detail.is_null() {
                error["detail"] = detail;
            }
            refusal.errors.push(error);
        })
    }

    pub(super) fn status(self, status: u16) -> Self {
        self.edit(|refusal| refusal.status = status)
    }

    pub(super) fn field(self, name: &'static str, value: impl Into<String>) -> Self {
        self.edit(|refusal| refusal.fields.push((name, value.into())))
    }

    fn edit(mut self, change: impl FnOnce(&mut Refusal)) -> Self {
        if let Self::Refusal(refusal) = &mut self {
            change(refusal);
        }
        self
    }

    /// Whether there is nobody left to answer.
    pub(super) fn is_disconnect(&self) -> bool {
        match self {
            Self::Body(error) => !is_timeout(error) && error.kind() != io::ErrorKind::InvalidData,
            _ => false,
        }
    }

    pub(super) fn into_answer(self) -> Answer {
        match self {
            Self::Refusal(refusal) => {
                let answer = Answer::new(refusal.status).json(&json!({"errors": refusal.errors}));
                refusal
                    .fields
                    .into_iter()
                    .fold(answer, |answer, (name, value)| answer.with(name, value))
            }
            Self::Body(error) if is_timeout(&error) => failure(408, "the body stopped coming"),
            Self::Body(error) => failure(400, &format!("the body cannot be read: {error}")),
            Self::Storage(error) if is_full(&error) => {
                failure(507, &format!("cannot store: {error}"))
            }
            Self::Storage(error) => failure(500, &format!("the registry's folder: {error}")),
        }
    }
}

/// `?` on file system calls means trouble with our folder.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}
