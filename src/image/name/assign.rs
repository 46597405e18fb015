//! From the names that images have to the targets they go to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use crate::image::digest::Digest;
use crate::image::name::FoundName;
use crate::image::name::destination::Destination;
use crate::image::name::naming::{Naming, source_names};
use crate::image::reference::{Host, Repository, Tag};

/// What naming needs to know of one image.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub names: &'a [FoundName],
    pub identity: &'a Digest,
    /// The file or folder it was found in.
    pub path: &'a Path,
}

/// A repository and a tag on the destination's host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub repository: Repository,
    pub tag: Tag,
}

/// Where one image goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// In the order of its names, each once.
    pub targets: Vec<Target>,
    /// Targets that an earlier image of the same digest brings about: which, and that image's index.
    pub shared: Vec<(Target, usize)>,
}

/// Where each image goes, in the order of `images`; `Err` for an image that cannot have a target (a
/// name that is not legal there, or the same target as an image of another digest: both files are
/// named).
///
/// # Errors
/// A wrong usage: several images and a destination that takes one.
pub fn assign(
    images: &[Named<'_>],
    destination: &Destination,
    naming: &Naming,
) -> Result<Vec<Result<Assigned, String>>, String> {
    let wanted = match destination {
        Destination::Repository {
            repository, tag, ..
        } => {
            refuse_several(images, destination)?;
            let into = |image| tags_for(image, tag.as_ref(), &naming.extra_tags);
            let all = images
                .iter()
                .map(|image| Ok(targets(repository, into(image))));
            all.collect()
        }
        Destination::Prefix { host, path } => below_prefix(
            images,
            &Prefix {
                host,
                path: path.as_ref(),
            },
            naming,
        ),
    };
    Ok(settle(images, destination.host(), wanted))
}

fn refuse_several(images: &[Named<'_>], destination: &Destination) -> Result<(), String> {
    let identities: HashSet<&Digest> = images.iter().map(|image| image.identity).collect();
    let Destination::Repository {
        host, repository, ..
    } = destination
    else {
        return Ok(());
    };
    if identities.len() < 2 {
        return Ok(());
    }
    let count = identities.len();
    Err(format!(
        "{destination} takes one image and there are {count}: add a / to push into it ({host}/{repository}/)"
    ))
}

/// The tags under which an image goes into the one repository that was typed.
fn tags_for(image: &Named<'_>, asked: Option<&Tag>, extra: &[Tag]) -> Vec<Tag> {
    let own = image.names.iter().filter_map(|name| name.tag.as_ref());
    let mut tags: Vec<Tag> = match asked {
        Some(tag) => vec![tag.clone()],
        None => own.cloned().collect(),
    };
    if tags.is_empty() {
        tags.push(Tag::latest());
    }
    tags.extend_from_slice(extra);
    tags
}

#[derive(Clone, Copy)]
struct Prefix<'a> {
    host: &'a Host,
    path: Option<&'a Repository>,
}

/// The repositories at the destination that an image's names mean, in the order of the names, with
/// the tags that they give it there, maybe none.
#[derive(Default)]
struct Places {
    found: Vec<(Repository, Vec<Tag>)>,
    known: HashMap<Repository, usize>,
    /// Where names without a tag would go, had the map not sent them elsewhere: it changes nothing
    /// for the images beside.
    mapped_away: Vec<Repository>,
}

fn below_prefix(
    images: &[Named<'_>],
    prefix: &Prefix<'_>,
    naming: &Naming,
) -> Vec<Result<Vec<Target>, String>> {
    let found = images.iter().map(|image| Places::of(image, prefix, naming));
    let all: Vec<Result<Places, String>> = found.collect();
    let mut untagged: HashMap<(&Path, &Repository), HashSet<&Digest>> = HashMap::new();
    for (image, places) in images.iter().zip(&all) {
        for repository in places.iter().flat_map(Places::untagged) {
            let entry = untagged.entry((image.path, repository)).or_default();
            entry.insert(image.identity);
        }
    }
    let with_tags = |image: &Named<'_>, (repository, tags): &(Repository, Vec<Tag>)| {
        let mut tags = tags.clone();
        if tags.is_empty() {
            let alone = untagged
                .get(&(image.path, repository))
                .is_none_or(|several| several.len() == 1);
            tags.push(if alone {
                Tag::latest()
            } else {
                Tag::of_digest(image.identity)
            });
        }
        tags.extend_from_slice(&naming.extra_tags);
        targets(repository, tags)
    };
    let one = |(image, places): (&Named<'_>, &Result<Places, String>)| {
        let places = &places.as_ref().map_err(Clone::clone)?.found;
        let targets = places.iter().flat_map(|place| with_tags(image, place));
        Ok(targets.collect())
    };
    images.iter().zip(&all).map(one).collect()
}

impl Places {
    fn of(image: &Named<'_>, prefix: &Prefix<'_>, naming: &Naming) -> Result<Self, String> {
        let mut places = Self::default();
        for name in source_names(image.names, image.path)? {
            let renamed = naming.renamed(&name);
            match naming.mapped(&name, image.identity) {
                None => places.add(join(&renamed?, prefix)?, name.tag),
                Some((repository, tag)) => {
                    let usual = renamed.and_then(|usual| join(&usual, prefix));
                    places
                        .mapped_away
                        .extend(usual.ok().filter(|_| name.tag.is_none()));
                    places.add(join(&repository, prefix)?, Some(tag));
                }
            }
        }
        Ok(places)
    }

    fn add(&mut self, repository: Repository, tag: Option<Tag>) {
        let index = *self
            .known
            .entry(repository)
            .or_insert_with_key(|repository| {
                self.found.push((repository.clone(), Vec::new()));
                self.found.len() - 1
            });
        self.found[index].1.extend(tag);
    }

    fn untagged(&self) -> impl Iterator<Item = &Repository> {
        let found = self.found.iter().filter(|(_, tags)| tags.is_empty());
        let found = found.map(|(repository, _)| repository);
        found.chain(&self.mapped_away)
    }
}

fn join(repository: &Repository, prefix: &Prefix<'_>) -> Result<Repository, String> {
    let joined = repository.under(prefix.path);
    let joined = joined.and_then(|below| below.on(prefix.host));
    joined.map_err(|error| format!("{repository} cannot go there: {}", error.message()))
}

fn targets(repository: &Repository, tags: Vec<Tag>) -> Vec<Target> {
    let with = |tag| Target {
        repository: repository.clone(),
        tag,
    };
    tags.into_iter().map(with).collect()
}

/// Gives each target to one image; images of different digests that want the same one all fail.
fn settle(
    images: &[Named<'_>],
    host: &Host,
    wanted: Vec<Result<Vec<Target>, String>>,
) -> Vec<Result<Assigned, String>> {
    let mut claims: HashMap<&Target, Claim> = HashMap::new();
    for (index, targets) in wanted.iter().enumerate() {
        for target in targets.iter().flatten() {
            let claim = claims.entry(target).or_insert(Claim {
                first: index,
                rival: None,
            });
            if images[claim.first].identity != images[index].identity {
                claim.rival.get_or_insert(index);
            }
        }
    }
    let conflict = |index: usize, targets: &[Target]| {
        targets.iter().find_map(|target| {
            let Claim { first, rival } = claims[target];
            let own = images[first].identity == images[index].identity;
            let other = if own { rival? } else { first };
            Some(sentence(
                images[index].path,
                images[other].path,
                &format!("{host}/{target}"),
            ))
        })
    };
    let mut carriers: HashMap<Target, usize> = HashMap::new();
    let settled = wanted.iter().enumerate().map(|(index, targets)| {
        let targets = targets.as_ref().map_err(Clone::clone)?;
        if let Some(sentence) = conflict(index, targets) {
            return Err(sentence);
        }
        let mut assigned = Assigned::default();
        for target in targets {
            match carriers.get(target) {
                None => {
                    carriers.insert(target.clone(), index);
                    assigned.targets.push(target.clone());
                }
                Some(&carrier) if carrier == index => {}
                Some(&carrier) => assigned.share(target, carrier),
            }
        }
        Ok(assigned)
    });
    settled.collect()
}

/// Who wants a target.
#[derive(Clone, Copy)]
struct Claim {
    first: usize,
    /// The first image of another digest.
    rival: Option<usize>,
}

fn sentence(path: &Path, other: &Path, target: &str) -> String {
    // The same order from both sides, so that both failures read alike.
    let paths = BTreeSet::from([path, other]);
    let mut shown = paths.iter().map(|file| file.display());
    match (shown.next(), shown.next()) {
        (Some(one), Some(two)) => {
            format!("{one} and {two} hold different images that both go to {target}")
        }
        _ => format!(
            "{} holds different images that all go to {target}",
            path.display()
        ),
    }
}

impl Assigned {
    fn share(&mut self, target: &Target, carrier: usize) {
        let entry = (target.clone(), carrier);
        if !self.shared.contains(&entry) {
            self.shared.push(entry);
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests;
