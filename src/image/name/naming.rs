//! What names become below a prefix: the map first, else the longest rule, then the host is removed.

use std::collections::HashSet;
use std::path::Path;

use crate::image::digest::Digest;
use crate::image::found::Broken;
use crate::image::name::map::Map;
use crate::image::name::rename::{Rename, rename};
use crate::image::name::{FoundName, Named, SourceName, repository_of_path, resolve};
use crate::image::reference::{DOCKER_HUB, Host, Repository, Tag};
use crate::image::stdin::subject;

/// What the user wants names to become, besides where they go. The default keeps them.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    pub renames: Vec<Rename>,
    pub map: Option<Map>,
    /// Tags besides the ones the images have.
    pub extra_tags: Vec<Tag>,
}

/// Which lines of the map are about something that was found.
#[derive(Clone, Debug, Default)]
pub struct KnownNames {
    lines: HashSet<usize>,
}

impl Naming {
    /// Where the map sends a name, if it does.
    pub(super) fn mapped(&self, name: &SourceName, identity: &Digest) -> Option<(Repository, Tag)> {
        self.map.as_ref()?.target(name, Some(identity))
    }

    /// The repository that a name means below a prefix, where the map does not say.
    pub(super) fn renamed(&self, name: &SourceName) -> Result<Repository, String> {
        let (host, repository) = rename(&self.renames, &name.host, &name.repository)?;
        Ok(repository.familiar(&host))
    }

    /// A sentence for each rule that is about none of `images`.
    pub fn idle_renames(&self, images: &[Named<'_>]) -> Vec<String> {
        if self.renames.is_empty() {
            return Vec::new();
        }
        let names = images
            .iter()
            .map(|image| source_names(image.names, image.path));
        let names: Vec<SourceName> = names.flatten().flatten().collect();
        let fits = |rule: &Rename, name: &SourceName| rule.fits(&name.host, &name.repository);
        let idle = self.renames.iter();
        let idle = idle.filter(|rule| !names.iter().any(|name| fits(rule, name)));
        let sentence = |rule: &Rename| {
            let sentence = format!("--rename {rule} has no effect: no name begins with that");
            let library = rule
                .in_library()
                .filter(|longer| names.iter().any(|name| fits(longer, name)));
            match library {
                Some(longer) => format!("{sentence} (did you mean {longer}?)"),
                None => sentence,
            }
        };
        idle.map(sentence).collect()
    }

    /// A sentence about lines of the map for names that nothing has.
    pub fn unknown_names(&self, known: &KnownNames) -> Option<String> {
        let map = self.map.as_ref()?;
        map.unknown(&|line| known.lines.contains(&line))
    }
}

impl KnownNames {
    /// Takes note of an image that was found.
    pub fn add(&mut self, naming: &Naming, image: &Named<'_>) {
        if let Some(map) = &naming.map {
            let names = source_names(image.names, image.path).unwrap_or_default();
            let lines = names
                .iter()
                .filter_map(|name| map.line_number(name, Some(image.identity)));
            self.lines.extend(lines);
        }
    }

    /// Takes note of one that is broken, of which only the labels are known.
    pub fn add_broken(&mut self, naming: &Naming, image: &Broken) {
        let Some(map) = &naming.map else {
            return;
        };
        let names = image.names.iter().flat_map(|label| {
            let name = FoundName::from_reference(label).ok();
            let tag = FoundName::from_annotations(None, Some(label))
                .ok()
                .flatten();
            [name, tag]
        });
        let names: Vec<FoundName> = names.flatten().collect();
        let names = source_names(&names, &image.path).unwrap_or_default();
        let lines = names.iter().filter_map(|name| map.line_number(name, None));
        self.lines.extend(lines);
    }
}

/// The names of an image, in order, each once; where none says a repository the one of its file or
/// folder, as if somebody had typed that.
pub(super) fn source_names(names: &[FoundName], path: &Path) -> Result<Vec<SourceName>, String> {
    let whole = |name: FoundName| {
        let (host, repository) = match name.repository {
            Some(known) => known,
            None => own_repository(path)?,
        };
        Ok(SourceName {
            host,
            repository,
            tag: name.tag,
        })
    };
    let mut names = resolve(names);
    if names.is_empty() {
        names.push(FoundName {
            repository: None,
            tag: None,
        });
    }
    names.into_iter().map(whole).collect()
}

fn own_repository(path: &Path) -> Result<(Host, Repository), String> {
    let found = repository_of_path(path).and_then(|repository| {
        let hub = Host::parse(DOCKER_HUB).ok()?;
        let normalised = repository.on(&hub).unwrap_or(repository);
        Some((hub, normalised))
    });
    found.ok_or_else(|| {
        format!(
            "neither the image nor {} gives it a name: name its repository, as in host/repository",
            subject(path)
        )
    })
}
