//! Manifests: by tag or digest, kept byte for byte, and only with everything they name.

use std::io::Read as _;

use serde_json::json;

use crate::image::digest::Digest;
use crate::image::manifest::{MAX_MANIFEST, Manifest};
use crate::image::media::MediaType;
use crate::image::reference::Repository;
use crate::serve::http::answer::Answer;
use crate::serve::store::layout::Layout;

use super::Request;
use super::fault::{Code, Fault};
use super::route::{Reference, is_storable};

pub(super) fn get(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    reference: &Reference,
) -> Result<Answer, Fault> {
    let layout = request.store.layout(repository);
    let manifest = match reference {
        Reference::Tag(tag) => layout.tagged(tag)?,
        Reference::Digest(digest) => layout.manifest(digest)?,
        Reference::Impossible(_) => None,
    };
    let manifest = manifest.ok_or_else(|| unknown(&layout, reference))?;
    Ok(Answer::new(200)
        .with("Docker-Content-Digest", manifest.digest().as_str())
        .with("ETag", format!("\"{}\"", manifest.digest()))
        .body(manifest.media_type().as_str(), manifest.bytes().to_vec()))
}

pub(super) fn put(
    request: &mut Request<'_, '_, '_>,
    repository: &Repository,
    reference: &Reference,
) -> Result<Answer, Fault> {
    let (tag, named) = match reference {
        Reference::Tag(tag) => (Some(tag), None),
        Reference::Digest(digest) => (None, Some(digest)),
        Reference::Impossible(why) => return Err(Fault::new(Code::ManifestInvalid, why.as_str())),
    };
    let bytes = read(request)?;
    let content_type = request.head.field("content-type").map(MediaType::from);
    let manifest = parse(bytes, content_type.as_ref(), named)?;
    let layout = request.store.layout(repository);
    check_contents(&layout, &manifest)?;
    request.store.make_layout(repository)?.put(&manifest, tag)?;
    let digest = manifest.digest();
    let answer = Answer::new(201)
        .with("Location", format!("/v2/{repository}/manifests/{digest}"))
        .with("Docker-Content-Digest", digest.as_str());
    Ok(match manifest.subject() {
        Some(subject) => answer.with("OCI-Subject", subject.digest.as_str()),
        None => answer,
    })
}

pub(super) fn delete(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    reference: &Reference,
) -> Result<Answer, Fault> {
    let layout = request.store.layout(repository);
    let was_there = match reference {
        Reference::Tag(tag) => layout.untag(tag)?,
        Reference::Digest(digest) => layout.delete(digest)?,
        Reference::Impossible(_) => false,
    };
    match was_there {
        true => Ok(Answer::new(202)),
        false => Err(unknown(&layout, reference)),
    }
}

fn unknown(layout: &Layout, reference: &Reference) -> Fault {
    if !layout.exists() {
        return Fault::new(Code::NameUnknown, "no such repository");
    }
    let name = match reference {
        Reference::Tag(tag) => tag.as_str(),
        Reference::Digest(digest) => digest.as_str(),
        Reference::Impossible(why) => return Fault::new(Code::ManifestUnknown, why.as_str()),
    };
    Fault::new(Code::ManifestUnknown, format!("no manifest {name} here"))
}

fn read(request: &mut Request<'_, '_, '_>) -> Result<Vec<u8>, Fault> {
    let too_large = || {
        let message = format!("a manifest has at most {} MiB", MAX_MANIFEST >> 20);
        Err(Fault::new(Code::SizeInvalid, message).status(413))
    };
    if request.head.announced().is_some_and(|n| n > MAX_MANIFEST) {
        return too_large();
    }
    let mut bytes = Vec::new();
    let mut body = (&mut *request.body).take(MAX_MANIFEST + 1);
    body.read_to_end(&mut bytes).map_err(Fault::Body)?;
    if bytes.len() as u64 > MAX_MANIFEST {
        return too_large();
    }
    Ok(bytes)
}

fn parse(
    bytes: Vec<u8>,
    content_type: Option<&MediaType>,
    named: Option<&Digest>,
) -> Result<Manifest, Fault> {
    if let Some(named) = named.filter(|named| !named.matches(&bytes)) {
        let message = format!("the manifest does not have the digest {named}");
        return Err(Fault::new(Code::DigestInvalid, message));
    }
    let invalid = |message: String| Err(Fault::new(Code::ManifestInvalid, message));
    // By what the document says of itself: that is all there will be to tell its type by later.
    let manifest = match Manifest::parse(bytes, None, named) {
        Ok(manifest) => manifest,
        Err(error) => return invalid(format!("the manifest {error}")),
    };
    let media_type = manifest.media_type();
    if let Some(other) = content_type.filter(|found| *found != media_type) {
        return invalid(format!(
            "Content-Type is {other}, the document is {media_type}"
        ));
    }
    let subject = manifest.subject();
    if subject.is_some_and(|subject| !is_storable(&subject.digest)) {
        return invalid("the digest of the subject is too long".into());
    }
    Ok(manifest)
}

/// Everything named has to be there, but for layers that are never pushed and the subject, which may
/// come later. All that is missing is named at once.
fn check_contents(layout: &Layout, manifest: &Manifest) -> Result<(), Fault> {
    let mut missing = Vec::new();
    for blob in manifest.blobs() {
        if !blob.media_type.is_foreign_layer() && !layout.has_blob(&blob.digest) {
            missing.push(&blob.digest);
        }
    }
    for child in manifest.children() {
        let is_manifest = child.media_type.is_manifest() || child.media_type.is_index();
        let is_there = match is_manifest {
            true => layout.has_manifest(&child.digest)?,
            // An index may list blobs, as build caches do.
            false => layout.has_blob(&child.digest),
        };
        if !is_there {
            missing.push(&child.digest);
        }
    }
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let refusal = Fault::refusal(Code::ManifestBlobUnknown);
    Err(missing.into_iter().fold(refusal, |refusal, digest| {
        let message = format!("the manifest names {digest}, which is not here");
        refusal.and(message, json!({"digest": digest}))
    }))
}
