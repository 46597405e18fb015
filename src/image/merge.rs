//! The two lists of one archive brought together: `manifest.json` and `index.json`.
//!
//! `docker save` writes both since version 25. A manifest that is there with compressed layers is the
//! image as a registry had it, and is pushed as that. One over plain layers (what graph drivers give) is
//! only a description; then the image is made from `manifest.json`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::image::archive::Archive;
use crate::image::digest::Digest;
use crate::image::docker::{Configs, Item};
use crate::image::found::Found;
use crate::image::manifest::Body;
use crate::image::name::{FoundName, Names};
use crate::image::oci::Root;
use crate::image::source::{Content, Image, Node, Tree};

/// Brings the two lists of one archive together: each image once, with the names of both.
pub(crate) struct Merge<'a> {
    archive: &'a Archive<'a>,
    roots: Vec<Root>,
    /// Which roots an item of `manifest.json` stands for as well.
    taken: Vec<bool>,
    /// The roots that have a manifest of a config, in order.
    by_config: HashMap<Digest, Vec<usize>>,
    configs: Configs,
    known: HashMap<Digest, usize>,
    /// Where among those found an image is that came from a root, by that and its config. Thousands of
    /// items may stand for one root, which is large.
    originals: HashMap<(usize, Digest), usize>,
    /// Images that have the names of a root, all of them or those with a repository.
    shared: HashSet<(usize, usize, bool)>,
    /// Of each image that was found.
    names: Vec<Names>,
    /// Names that images with content have.
    pushable: HashSet<String>,
    found: Found,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(archive: &'a Archive<'a>, mut roots: Vec<Root>) -> Self {
        let notes = roots.iter_mut().filter_map(Root::keep_whole);
        let warnings = notes.map(|note| archive.warning(note)).collect();
        Self {
            archive,
            taken: vec![false; roots.len()],
            by_config: by_config(&roots),
            roots,
            configs: Configs::default(),
            known: HashMap::new(),
            originals: HashMap::new(),
            shared: HashSet::new(),
            names: Vec::new(),
            pushable: HashSet::new(),
            found: Found {
                warnings,
                ..Found::default()
            },
        }
    }

    pub(crate) fn add_item(&mut self, item: Result<Item, String>) {
        match item {
            Ok(item) => self.item(&item),
            Err(why) => {
                let broken = self.archive.broken_image(Vec::new(), vec![why]);
                self.found.broken.push(broken);
            }
        }
    }

    fn item(&mut self, item: &Item) {
        let labels = item.names().to_vec();
        match self.image(item) {
            Ok((at, root)) => {
                let names = self.names(item, at, root);
                self.pushable.extend(labels);
                self.name(at, names);
            }
            Err(problems) => {
                let broken = self.archive.broken_image(labels, problems);
                self.found.broken.push(broken);
            }
        }
    }

    /// Where the image of an item is among those found, and the root it stands for.
    fn image(&mut self, item: &Item) -> Result<(usize, Option<usize>), Vec<String>> {
        let config = item
            .read_config(self.archive, &mut self.configs)
            .map_err(|problem| vec![problem])?;
        let root = self.root_with(&config.digest, item);
        if let Some(root) = root {
            self.taken[root] = true;
            let key = (root, config.digest.clone());
            if let Some(at) = self.originals.get(&key) {
                return Ok((*at, Some(root)));
            }
            if let Some(tree) = original(&self.roots[root], &config.digest) {
                let at = self.place(Content::Found(tree));
                self.originals.insert(key, at);
                return Ok((at, Some(root)));
            }
        }
        let parts = item.parts(&config, self.archive)?;
        Ok((self.place(Content::Made(parts)), root))
    }

    /// The root that has a manifest of this config, rather one with a name of the item.
    fn root_with(&self, config: &Digest, item: &Item) -> Option<usize> {
        let roots = self.by_config.get(config)?;
        let named = |at: &&usize| {
            let labels = &self.roots[**at].labels;
            labels.iter().any(|label| item.names().contains(label))
        };
        roots.iter().find(named).or(roots.first()).copied()
    }

    fn names(&mut self, item: &Item, at: usize, root: Option<usize>) -> Vec<FoundName> {
        let mut names = Vec::new();
        for text in item.names() {
            match FoundName::from_reference(text) {
                Ok(name) => names.push(name),
                Err(error) => self.found.warnings.push(
                    self.archive
                        .warning(format!("a name in manifest.json is passed over: {error}")),
                ),
            }
        }
        if let Some(root) = root {
            // A tag alone says less than what is there already, and would be one more name.
            let alone = names.is_empty();
            if self.shared.insert((at, root, alone)) {
                let more = self.roots[root].names.iter();
                names.extend(more.filter(|n| alone || n.repository.is_some()).cloned());
            }
        }
        names
    }

    /// Takes in an image, and says where it is among those found.
    fn place(&mut self, content: Content) -> usize {
        let image = Image {
            source: Arc::clone(self.archive.source()),
            names: Vec::new(),
            content,
        };
        let next = self.found.images.len();
        let at = *self.known.entry(image.identity().clone()).or_insert(next);
        if at == next {
            self.found.images.push(image);
            self.names.push(Names::default());
        }
        at
    }

    fn name(&mut self, at: usize, names: Vec<FoundName>) {
        let known = &mut self.names[at];
        names.into_iter().for_each(|name| known.add(name));
    }

    /// What only `index.json` lists: images of their own, unless they are broken descriptions of
    /// what `manifest.json` gave already (github.com/moby/moby/issues/47065, 47210).
    pub(crate) fn finish(mut self) -> Found {
        let roots = std::mem::take(&mut self.roots);
        for (root, taken) in roots.into_iter().zip(std::mem::take(&mut self.taken)) {
            if taken {
                continue;
            }
            let covered = |label| self.pushable.contains(label);
            let covered = !self.found.images.is_empty() && root.labels.iter().all(covered);
            if covered && !root.is_whole() {
                let problems = root.into_problems().join("; ");
                let message = format!("index.json is passed over for manifest.json: {problems}");
                self.found.warnings.push(self.archive.warning(message));
            } else if root.problems.is_empty() {
                let names = root.names.clone();
                let at = self.place(Content::Found(root.into_tree()));
                self.name(at, names);
            } else {
                root.settle(self.archive.source(), &mut self.found);
            }
        }
        for (image, names) in self.found.images.iter_mut().zip(self.names) {
            image.names = names.into_list();
        }
        self.found
    }
}

fn by_config(roots: &[Root]) -> HashMap<Digest, Vec<usize>> {
    let mut found: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (at, node) in
        (roots.iter().enumerate()).flat_map(|(at, r)| r.nodes.iter().map(move |n| (at, n)))
    {
        if let Body::Image { config, .. } = node.manifest.body() {
            let known = found.entry(config.digest.clone()).or_default();
            if known.last() != Some(&at) {
                known.push(at);
            }
        }
    }
    found
}

fn has_config(node: &Node, digest: &Digest) -> bool {
    matches!(node.manifest.body(), Body::Image { config, .. } if config.digest == *digest)
}

/// The manifest of that config as a registry had it, with the whole index around it when that is whole;
/// `None` when its layers are plain.
fn original(root: &Root, config: &Digest) -> Option<Tree> {
    let node = root.nodes.iter().find(|node| has_config(node, config))?;
    let images = root.nodes.iter().filter(|other| is_real(other)).count();
    let whole = root.problems.is_empty();
    if node.has_plain_layers() && !(whole && images > 1) {
        return None;
    }
    let nodes = if whole {
        root.nodes.clone()
    } else {
        vec![node.clone()]
    };
    let elsewhere = match whole {
        true => root.elsewhere.clone(),
        false => Vec::new(),
    };
    Some(Tree { nodes, elsewhere })
}

fn is_real(node: &Node) -> bool {
    let attestation = node.platform.as_ref().is_some_and(|p| p.is_unknown());
    matches!(node.manifest.body(), Body::Image { .. }) && !attestation
}
