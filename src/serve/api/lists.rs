//! Lists: repositories, tags, and what refers to a manifest; each in pages.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, MAX_MANIFEST, Manifest};
use crate::image::media::OCI_INDEX;
use crate::image::reference::Repository;
use crate::serve::http::answer::Answer;

use super::Request;
use super::fault::{Code, Fault};
use super::route::encode;

pub(super) fn catalog(request: &Request<'_, '_, '_>) -> Result<Answer, Fault> {
    let names = request.store.repositories();
    let names = names.into_iter().map(|name| name.to_string()).collect();
    let page = Page::of(request, names)?;
    let answer = Answer::new(200).json(&json!({"repositories": page.entries}));
    Ok(page.link(answer, "/v2/_catalog"))
}

pub(super) fn tags(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
) -> Result<Answer, Fault> {
    let layout = request.store.layout(repository);
    if !layout.exists() {
        return Err(Fault::new(Code::NameUnknown, "no such repository"));
    }
    let tags = layout.tags()?.into_iter().map(|tag| tag.to_string());
    let page = Page::of(request, tags.collect())?;
    let name = repository.as_str();
    let answer = Answer::new(200).json(&json!({"name": name, "tags": page.entries}));
    Ok(page.link(answer, &format!("/v2/{repository}/tags/list")))
}

struct Page {
    entries: Vec<String>,
    /// The page's length as asked, where entries are left for another.
    more: Option<usize>,
}

impl Page {
    /// distribution-spec 1.1, "Listing Tags": in lexical order without regard to case, `n` entries
    /// behind `last`, which need not be there.
    fn of(request: &Request<'_, '_, '_>, mut names: Vec<String>) -> Result<Self, Fault> {
        let key = |name: &str| (name.to_ascii_lowercase(), name.to_string());
        names.sort_by_cached_key(|name| key(name));
        if let Some(last) = request.query.get("last") {
            let last = key(last);
            names.retain(|name| key(name) > last);
        }
        let Some(asked) = request.query.get("n") else {
            return Ok(Self {
                entries: names,
                more: None,
            });
        };
        let Ok(limit) = asked.parse::<usize>() else {
            let message = "n is a number of entries";
            return Err(Fault::new(Code::Unsupported, message).status(400));
        };
        let more = (limit > 0 && names.len() > limit).then_some(limit);
        names.truncate(limit);
        Ok(Self {
            entries: names,
            more,
        })
    }

    fn link(&self, answer: Answer, path: &str) -> Answer {
        match (self.more, self.entries.last()) {
            (Some(limit), Some(last)) => {
                let last = encode(last);
                answer.with(
                    "Link",
                    format!("<{path}?n={limit}&last={last}>; rel=\"next\""),
                )
            }
            _ => answer,
        }
    }
}

/// distribution-spec 1.1, "Listing Referrers". No answer is larger than a manifest may be; what is
/// left comes behind `last`.
pub(super) fn referrers(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    subject: &Digest,
) -> Result<Answer, Fault> {
    let layout = request.store.layout(repository);
    let wanted = request.query.get("artifactType").filter(|t| !t.is_empty());
    let last = request.query.get("last").unwrap_or_default();
    let mut entries: Vec<Value> = Vec::new();
    let mut size = 0;
    let mut next = None;
    for digest in layout.referrers(subject)? {
        if digest.as_str() <= last {
            continue;
        }
        let Some(manifest) = layout.manifest(&digest)? else {
            continue;
        };
        let descriptor = describe(&manifest);
        if wanted.is_some_and(|wanted| descriptor.artifact_type.as_deref() != Some(wanted)) {
            continue;
        }
        let entry = serde_json::to_value(&descriptor).map_err(std::io::Error::from)?;
        size += entry.to_string().len() as u64 + 1;
        if !entries.is_empty() && size > MAX_MANIFEST - 1024 {
            next = entries
                .last()
                .and_then(|e| e["digest"].as_str())
                .map(encode);
            break;
        }
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    let mut answer = Answer::new(200).body(OCI_INDEX, index.to_string().into_bytes());
    let mut more = String::new();
    if let Some(wanted) = wanted {
        answer = answer.with("OCI-Filters-Applied", "artifactType");
        more = format!("artifactType={}&", encode(wanted));
    }
    Ok(match next {
        Some(next) => {
            let path = format!("/v2/{repository}/referrers/{subject}");
            answer.with("Link", format!("<{path}?{more}last={next}>; rel=\"next\""))
        }
        None => answer,
    })
}

/// A referrer as its subject's list shows it: with the manifest's own type and annotations.
fn describe(manifest: &Manifest) -> Descriptor {
    #[derive(Default, Deserialize)]
    struct Annotated {
        annotations: Option<BTreeMap<String, String>>,
    }
    let size = manifest.bytes().len() as u64;
    let media_type = manifest.media_type().as_str();
    let mut descriptor = Descriptor::new(media_type, manifest.digest().clone(), size);
    let own_type = manifest.artifact_type().filter(|own| !own.is_empty());
    let config = manifest.blobs().next();
    descriptor.artifact_type = own_type
        .or(config.map(|config| config.media_type.as_str()))
        .map(str::to_string);
    let annotated: Annotated = serde_json::from_slice(manifest.bytes()).unwrap_or_default();
    descriptor.annotations = annotated.annotations.unwrap_or_default();
    descriptor
}
