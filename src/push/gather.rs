//! From what the user typed to images with targets, and a word about everything that is left out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use crate::image::digest::Digest;
use crate::image::discover::{self, Broken, Found, News, Watch};
use crate::image::error::{ErrorKind, ImageError};
use crate::image::filter::Selection;
use crate::image::name::{self, Assigned, FoundName, KnownNames, Named, Target};
use crate::image::source::{Content, Image, LayerForm};
use crate::image::stdin;
use crate::observe::event::Event;
use crate::push::operation::Operation;
use crate::push::report::ErrorReport;
use crate::registry::clock::Stop;

/// Everything that was found: the broken ones first, each sort in the order found.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) candidates: Vec<Candidate>,
    /// Sources that gave nothing, and usage that turned out to be wrong.
    pub(crate) errors: Vec<ErrorReport>,
    pub(crate) warnings: Vec<String>,
}

/// An image that was found, and what is to become of it.
pub(crate) struct Candidate {
    /// The file or folder it was found in.
    pub(crate) source: String,
    pub(crate) names: Vec<String>,
    pub(crate) fate: Fate,
    /// Targets that an earlier candidate of the same digest brings about, and which one that is.
    pub(crate) shared: Vec<(Target, usize)>,
}

pub(crate) enum Fate {
    /// Without targets of its own when they are all shared.
    Push {
        image: Image,
        targets: Vec<Target>,
    },
    Fail(ErrorReport),
}

/// A SOURCE whose images have no targets yet.
struct Chosen {
    broken: Vec<Broken>,
    images: Vec<Image>,
    /// Why images were left out on request.
    left_out: Vec<String>,
    /// Whatever became of them.
    known: KnownNames,
}

impl Chosen {
    fn is_empty(&self) -> bool {
        self.broken.is_empty() && self.images.is_empty()
    }
}

impl Operation {
    /// Looks through the sources until `stop`, chooses, names. `tell` gets what observers should hear.
    pub(crate) fn gather(&self, stop: &Stop, tell: &mut dyn FnMut(Event)) -> Gathered {
        let mut gathered = Gathered::default();
        let mut chosen = Chosen {
            broken: Vec::new(),
            images: Vec::new(),
            left_out: Vec::new(),
            known: KnownNames::default(),
        };
        for path in &self.sources {
            let discovered = self.discover(path, stop, tell);
            if stop.is_stopped() {
                // What was found of it may be half of what it holds.
                break;
            }
            match discovered {
                Err(error) => gathered.errors.push((&error).into()),
                Ok(found) => {
                    let images = found.images.len() + found.broken.len();
                    tell(Event::Discovered {
                        path: stdin::subject(path),
                        images,
                    });
                    if images == 0 {
                        let message = "holds no image that could be pushed";
                        let error = ImageError::new(ErrorKind::NotAnImage, path, message);
                        gathered.errors.push((&error).into());
                    }
                    gathered
                        .warnings
                        .extend(found.warnings.iter().map(ToString::to_string));
                    for broken in &found.broken {
                        chosen.known.add_broken(&self.naming, broken);
                    }
                    chosen.broken.extend(found.broken);
                    self.choose(found.images, &mut chosen, &mut gathered);
                }
            }
        }
        gathered
            .warnings
            .extend(self.without_effect(&chosen.images));
        if let Some(message) = self.naming.unknown_names(&chosen.known) {
            gathered.errors.push(ErrorReport::usage(message));
        }
        for message in &gathered.warnings {
            tell(Event::Warning {
                message: message.clone(),
            });
        }
        if let (true, Some(first)) = (chosen.is_empty(), chosen.left_out.first()) {
            let count = chosen.left_out.len();
            let message = format!("{count} found and left out, as asked: {first}");
            gathered.errors.push(ErrorReport::source(message));
        }
        gathered
            .candidates
            .extend(chosen.broken.into_iter().map(Candidate::broken));
        self.name(chosen.images, &mut gathered);
        gathered
    }

    fn discover(
        &self,
        path: &Path,
        stop: &Stop,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Found, ImageError> {
        let tell = RefCell::new(tell);
        let telling = |news: News<'_>| tell.borrow_mut()(news.into());
        let watch = Watch {
            stopped: &|| stop.is_stopped(),
            telling: &telling,
        };
        if let (true, Some(stdin)) = (path == Path::new(stdin::NAME), &self.stdin) {
            return stdin.discover(watch);
        }
        let options = discover::Options {
            follow_links: self.follow_links,
        };
        discover::discover_watched(path, options, watch)
    }

    /// What was asked for manifests that hoist makes, where it makes none.
    fn without_effect(&self, images: &[Image]) -> Vec<String> {
        let parts = images.iter().filter_map(|image| match &image.content {
            Content::Made(parts) => Some(parts),
            Content::Found(_) => None,
        });
        let makes_one = parts.clone().next().is_some();
        let mut layers = parts.flat_map(|parts| &parts.layers);
        let compresses = layers.any(|layer| layer.form == LayerForm::Plain);
        let mut idle = Vec::new();
        if self.format.is_some() && !makes_one {
            idle.push("--format has no effect: every image has its manifest, sent as it is".into());
        }
        if self.compression.is_some() && !compresses {
            let why = "there is no plain layer whose manifest is made here";
            idle.push(format!("--compression has no effect: {why}"));
        }
        let named: Vec<Named<'_>> = images.iter().map(as_named).collect();
        idle.extend(self.naming.idle_renames(&named));
        idle
    }

    fn choose(&self, images: Vec<Image>, chosen: &mut Chosen, gathered: &mut Gathered) {
        for image in images {
            chosen.known.add(&self.naming, &as_named(&image));
            let path = image.source.path().to_path_buf();
            let names = image.names.iter().map(ToString::to_string).collect();
            match self.filter.apply(image) {
                Ok(Selection::Taken { image, note }) => {
                    let warning = note.map(|note| ImageError::broken(&path, note).to_string());
                    gathered.warnings.extend(warning);
                    chosen.images.push(image);
                }
                Ok(Selection::LeftOut(why)) => {
                    log::info!("{} left out: {why}", path.display());
                    chosen.left_out.push(format!("{}: {why}", path.display()));
                }
                Err(error) => {
                    let broken = Broken {
                        path,
                        names,
                        problems: vec![error],
                    };
                    gathered.candidates.push(Candidate::broken(broken));
                }
            }
        }
    }

    fn name(&self, mut images: Vec<Image>, gathered: &mut Gathered) {
        complement(&mut images);
        let named: Vec<Named<'_>> = images.iter().map(as_named).collect();
        let assigned = match name::assign(&named, &self.destination, &self.naming) {
            Ok(assigned) => assigned,
            Err(message) => return gathered.errors.push(ErrorReport::usage(message)),
        };
        let before = gathered.candidates.len();
        for (image, place) in images.into_iter().zip(assigned) {
            let source = image.source.path().display().to_string();
            let names = image.names.iter().map(FoundName::to_string).collect();
            let (fate, shared) = match place {
                Ok(Assigned { targets, shared }) => (Fate::Push { image, targets }, shared),
                Err(message) => (Fate::Fail(ErrorReport::source(message)), Vec::new()),
            };
            let shared = shared
                .into_iter()
                .map(|(target, with)| (target, before + with))
                .collect();
            gathered.candidates.push(Candidate {
                source,
                names,
                fate,
                shared,
            });
        }
    }
}

/// An image that lacks something and lies whole in another source is pushed from there.
fn complement(images: &mut [Image]) {
    if !images.iter().any(Image::lacks_something) {
        return;
    }
    let whole = images.iter().filter(|image| !image.lacks_something());
    let whole: HashMap<Digest, Content> = whole
        .map(|image| (image.identity().clone(), image.content.clone()))
        .collect();
    for image in images.iter_mut().filter(|image| image.lacks_something()) {
        if let Some(content) = whole.get(image.identity()) {
            image.content = content.clone();
        }
    }
}

impl Candidate {
    fn broken(broken: Broken) -> Self {
        let messages: Vec<String> = match broken.problems.split_first() {
            None => Vec::new(),
            // The file is named once.
            Some((first, others)) => std::iter::once(first.to_string())
                .chain(others.iter().map(|other| other.within(first.path())))
                .collect(),
        };
        Self {
            source: broken.path.display().to_string(),
            names: broken.names,
            fate: Fate::Fail(ErrorReport::source(messages.join("; "))),
            shared: Vec::new(),
        }
    }
}

fn as_named(image: &Image) -> Named<'_> {
    Named {
        names: &image.names,
        identity: image.identity(),
        path: image.source.path(),
    }
}

impl From<News<'_>> for Event {
    fn from(news: News<'_>) -> Self {
        match news {
            News::Reading { path, read, size } => Self::Reading {
                path: stdin::subject(path),
                read,
                size,
            },
            News::Spooled { folder, size } => Self::Spooled {
                folder: folder.display().to_string(),
                size,
            },
        }
    }
}
