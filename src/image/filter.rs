//! Which images to take: globs over names, sizes, platforms.

mod glob;
mod platforms;

use std::sync::Arc;

use crate::image::error::{ImageError, legible};
use crate::image::found;
use crate::image::name::{FoundName, repository_of_path, resolve};
use crate::image::platform::Platform;
use crate::image::reference::Tag;
use crate::image::source::{Content, Image, Place, Stored};

pub(crate) use crate::image::filter::platforms::complete;

/// What the user asked for; the default takes everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Globs over `repository:tag`, host removed; `*` stops at `/`, `**` does not.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Stored bytes of the image, both bounds included.
    pub min_size: Option<u64>,
    pub max_size: Option<u64>,
    pub platforms: Vec<Platform>,
    /// Of an index that is not all in its source take what is.
    pub partial_index: bool,
    /// Send layers that are not for registries, where their bytes are here.
    pub push_foreign: bool,
}

/// What became of an image.
#[derive(Clone)]
pub enum Selection {
    /// With the names and the platforms that were asked for, and a sentence about what else was left
    /// out of it.
    Taken { image: Image, note: Option<String> },
    /// Not asked for; the text completes "it was left out: ".
    LeftOut(String),
}

impl Filter {
    /// Whether `pattern` is a glob that can be matched with; the error is a sentence.
    pub fn check_glob(pattern: &str) -> Result<(), String> {
        glob::check(pattern)
    }

    #[cfg(test)]
    pub(crate) fn glob_matches(pattern: &str, repository: &str, tag: &str) -> bool {
        glob::matches(pattern, repository, tag)
    }

    /// What of `image` was asked for: first by name, then by platform, then what there is of that,
    /// then by the size that is left.
    ///
    /// # Errors
    /// An index of which no smaller one can be made.
    pub fn apply(&self, mut image: Image) -> Result<Selection, ImageError> {
        if let Err(why) = self.choose_names(&mut image) {
            return Ok(Selection::LeftOut(legible(&why)));
        }
        if let Err(why) = self.choose_platforms(&mut image)? {
            return Ok(Selection::LeftOut(legible(&why)));
        }
        self.choose_foreign(&mut image);
        let note = self.choose_whole(&mut image)?;
        Ok(match self.refuse_size(image.stored_size()) {
            Some(why) => Selection::LeftOut(why),
            None => Selection::Taken {
                image,
                note: note.as_deref().map(legible),
            },
        })
    }

    /// Decides about layers that are not for registries. One that is nowhere else, having no URL, must
    /// be at the target when it is not sent.
    fn choose_foreign(&self, image: &mut Image) {
        let Content::Found(tree) = &mut image.content else {
            return;
        };
        for node in &mut tree.nodes {
            for (descriptor, stored) in std::mem::take(&mut node.foreign) {
                if self.push_foreign {
                    node.blobs.push((descriptor, stored));
                } else if descriptor.urls.is_empty() {
                    let source = Arc::clone(stored.source());
                    let elsewhere = Stored::new(source, Place::Elsewhere, descriptor.size);
                    node.blobs.push((descriptor, elsewhere));
                }
            }
        }
    }

    /// Cuts an index down to what is in the source; gives the sentence about it.
    fn choose_whole(&self, image: &mut Image) -> Result<Option<String>, ImageError> {
        let Content::Found(tree) = &image.content else {
            return Ok(None);
        };
        if !self.partial_index {
            return Ok(None);
        }
        let smaller =
            complete(tree).map_err(|error| ImageError::broken(image.source.path(), error))?;
        Ok(smaller.map(|(smaller, note)| {
            let name = image.names.first().map(ToString::to_string);
            let name = name.unwrap_or_else(|| image.identity().to_string());
            image.content = Content::Found(smaller);
            format!("{name} {note}")
        }))
    }

    /// Keeps the names that match. An image without a name is matched by the one it would get.
    fn choose_names(&self, image: &mut Image) -> Result<(), String> {
        if self.include.is_empty() && self.exclude.is_empty() {
            return Ok(());
        }
        let mut names = resolve(&image.names);
        let unnamed = FoundName {
            repository: None,
            tag: None,
        };
        let candidates = if names.is_empty() {
            vec![unnamed]
        } else {
            names.clone()
        };
        let spellings: Vec<Vec<(String, String)>> = candidates
            .iter()
            .map(|name| spellings(name, image))
            .collect();
        let any = |globs: &[String], spelled: &[(String, String)]| {
            let hit = |glob: &String| spelled.iter().any(|(r, t)| glob::matches(glob, r, t));
            globs.iter().any(hit)
        };
        let included = |s: &Vec<_>| self.include.is_empty() || any(&self.include, s);
        let kept: Vec<bool> = spellings
            .iter()
            .map(|s| included(s) && !any(&self.exclude, s))
            .collect();
        if !kept.contains(&true) {
            let excluded = spellings.iter().any(included);
            let option = if excluded {
                "is left after --exclude"
            } else {
                "matches --include"
            };
            let shown = spellings.iter().filter_map(|s| s.first());
            let shown: Vec<String> = shown.take(3).map(|(r, t)| format!("{r}:{t}")).collect();
            return Err(format!(
                "no name of it {option} (it has {})",
                shown.join(", ")
            ));
        }
        let mut kept = kept.into_iter();
        names.retain(|_| kept.next().unwrap_or(true));
        image.names = names;
        Ok(())
    }

    /// Cuts the image down to the platforms; the inner error says why nothing is left.
    fn choose_platforms(&self, image: &mut Image) -> Result<Result<(), String>, ImageError> {
        if self.platforms.is_empty() {
            return Ok(Ok(()));
        }
        if let Content::Found(tree) = &image.content
            && tree.root().manifest.media_type().is_index()
        {
            let chosen = platforms::choose(tree, &self.platforms)
                .map_err(|error| ImageError::broken(image.source.path(), error))?;
            return Ok(match chosen {
                Some(smaller) => {
                    image.content = Content::Found(smaller);
                    Ok(())
                }
                None => Err(self.no_platform(image)),
            });
        }
        let found = image.platforms();
        let accepted = found
            .iter()
            .any(|found| self.platforms.iter().any(|asked| asked.accepts(found)));
        Ok(if accepted {
            Ok(())
        } else {
            Err(self.no_platform(image))
        })
    }

    fn no_platform(&self, image: &Image) -> String {
        let list = |platforms: &mut dyn Iterator<Item = &Platform>| {
            found::list(platforms.map(Platform::shown).collect())
        };
        let asked = list(&mut self.platforms.iter());
        match list(&mut image.platforms().into_iter()) {
            found if found.is_empty() => format!("it does not say that it is for {asked}"),
            found => format!("it is for {found}, not for {asked}"),
        }
    }

    fn refuse_size(&self, size: u64) -> Option<String> {
        if self.min_size.is_some_and(|least| size < least) {
            return Some(format!("its {size} bytes are fewer than --min-size"));
        }
        if self.max_size.is_some_and(|most| size > most) {
            return Some(format!("its {size} bytes are more than --max-size"));
        }
        None
    }
}

/// How a name can be written without its host: the hub's images with and without `library/`, an
/// image without a tag as `latest` and, since it may be one of several, as the start of its digest.
fn spellings(name: &FoundName, image: &Image) -> Vec<(String, String)> {
    let repositories = match &name.repository {
        Some((host, repository)) => vec![repository.familiar(host), repository.clone()],
        None => repository_of_path(image.source.path())
            .into_iter()
            .collect(),
    };
    let tags = match &name.tag {
        Some(tag) => vec![tag.clone()],
        None => vec![Tag::latest(), Tag::of_digest(image.identity())],
    };
    let mut all: Vec<(String, String)> = Vec::new();
    for repository in &repositories {
        all.extend(
            tags.iter()
                .map(|tag| (repository.to_string(), tag.to_string())),
        );
    }
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
