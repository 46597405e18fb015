//! Reading what was pushed before: a manifest under its tag, a blob. No push depends on it, so what is refused,
//! or does not come whole, is not known, and nothing is waited for but a connection.

use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::media::MediaType;
use crate::image::reference::{Repository, Tag};
use crate::net::Method;
use crate::registry::answer::is_page;
use crate::registry::call::{Access, Answer, Call};
use crate::registry::client::Client;
use crate::registry::endpoint;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::manifests::{self, Presence};
use crate::registry::retry::{Class, Halt};

/// What a tag stands for. Never [`Presence::Unknown`].
#[derive(Clone, Debug)]
pub struct Seen {
    pub presence: Presence,
    /// Where it is the manifest of a container image.
    pub manifest: Option<Arc<Manifest>>,
}

impl Client {
    /// GET with all four media types. `None`: nobody knows.
    ///
    /// # Errors
    /// Only when the registry cannot be reached, refuses the credentials, asks to wait for too long, or it is time to
    /// stop.
    pub fn look_at_tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Seen>, Error> {
        let operation = format!("check of manifest {repository}:{tag}");
        let target = endpoint::manifest(repository, manifests::ManifestName::Tag(tag));
        let seen = self.retry(&mut self.budget(), |_| {
            let mut call = Call::new(Method::Get, target.clone(), Access::Repository(repository));
            call = call.header("accept", manifests::ACCEPTED.join(", "));
            call.limit = manifests::ANSWER_LIMIT;
            match self.check(&operation, call) {
                Ok(None) => Ok(None),
                Ok(Some(answer)) => {
                    self.heed_answer(&operation, &answer);
                    self.note_looks(&answer);
                    Ok(seen(&answer))
                }
                Err(Halt::Again(trouble)) if !is_on_the_way(trouble.class) => {
                    self.heed(&trouble);
                    Ok(None)
                }
                Err(halt) => Err(halt),
            }
        });
        match seen {
            Err(error) if error.kind == ErrorKind::Refused => Ok(None),
            other => other,
        }
    }

    /// The bytes of a blob of that size, which are those of `digest`.
    pub fn read_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Option<Vec<u8>> {
        let operation = format!("reading of {}", manifests::short(digest));
        let target = endpoint::blob(repository, digest);
        let mut call = Call::new(Method::Get, target, Access::Repository(repository));
        call.limit = size;
        let answer = match self.check(&operation, call) {
            Err(Halt::Again(trouble)) => {
                self.heed(&trouble);
                return None;
            }
            outcome => outcome.ok()??,
        };
        self.heed_answer(&operation, &answer);
        let body = answer.response.body;
        let is_it = answer.response.status == 200 && body.len() as u64 == size;
        (is_it && digest.matches(&body)).then_some(body)
    }
}

/// Whether the request has not been understood yet.
fn is_on_the_way(class: Class) -> bool {
    matches!(class, Class::Unconnected | Class::Renewed)
}

fn seen(answer: &Answer) -> Option<Seen> {
    match answer.status() {
        404 => Some(Seen {
            presence: Presence::Absent,
            manifest: None,
        }),
        200 if !is_page(&answer.response) && answer.target.is_own() => {
            let bytes = &answer.response.body;
            if manifests::named_digest(answer).is_some_and(|named| !named.matches(bytes)) {
                return None;
            }
            Some(Seen {
                presence: Presence::Present(Digest::of(bytes)),
                manifest: image(answer),
            })
        }
        _ => None,
    }
}

fn image(answer: &Answer) -> Option<Arc<Manifest>> {
    let said = answer.response.header("content-type").map(MediaType::from);
    let said = said.filter(|kind| kind.is_manifest() || kind.is_index());
    let manifest = Manifest::parse(answer.response.body.clone(), said.as_ref(), None).ok()?;
    let is_it = manifest.media_type().is_manifest() && manifest.is_image();
    is_it.then(|| Arc::new(manifest))
}
