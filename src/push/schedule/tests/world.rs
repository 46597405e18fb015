//! A registry that is nothing but a few sets, and small images to push there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::media;
use crate::image::name::Target;
use crate::image::reference::{Host, Repository, Tag};
use crate::image::source::{
    Content, Image, Layer, LayerForm, Node, Parts, Place, Source, Stored, Tree,
};
use crate::observe::event::ImageStatus;
use crate::push::operation::{Compression, Format};
use crate::push::plan::Expectation;
use crate::push::report::{ErrorReport, FailureKind};
use crate::push::schedule::*;
use crate::registry::client::{Arrival, Delivery as BlobDelivery, Presence, Seen};

/// What the registry holds, and a line for everything that was asked of it.
#[derive(Default)]
pub(super) struct World {
    pub(super) manifests: HashSet<(RepositoryName, Digest)>,
    pub(super) tags: BTreeMap<(RepositoryName, String), Digest>,
    pub(super) blobs: HashSet<(RepositoryName, Digest)>,
    pub(super) log: Vec<String>,
    /// Manifests that were put, to be looked at, and the diff_ids that configs hold.
    pub(super) kept: HashMap<Digest, Arc<Manifest>>,
    pub(super) configs: HashMap<Digest, Vec<Digest>>,
    pub(super) refuse_mounts: bool,
    /// Blobs that cannot be uploaded.
    pub(super) broken: HashSet<Digest>,
    /// Digests and tags that are not right when they are read back; those that can be mended.
    pub(super) rotten: HashSet<String>,
    pub(super) mended: HashSet<String>,
    /// Tags that cannot be put.
    pub(super) protected: HashSet<String>,
    /// It takes no manifest that lacks anything, and names so much of it.
    pub(super) names_missing: Option<usize>,
    /// An earlier push has seen that.
    pub(super) is_known_to_check: bool,
}

pub(super) type RepositoryName = String;

impl World {
    /// Runs `schedule` to its end, one task at a time.
    pub(super) fn play(&mut self, schedule: &mut Schedule) {
        while let Some(task) = schedule.next() {
            let how = self.answer(schedule, task);
            let shows = self.names_missing.is_some() && !self.is_known_to_check;
            schedule.allow_offers(shows);
            schedule.allow_recalled_offers(self.is_known_to_check);
            schedule.ended(task, how);
        }
    }

    pub(super) fn answer(&mut self, schedule: &Schedule, task: Task) -> Ended {
        let name = |delivery: usize| {
            schedule.plan.repositories[schedule.deliveries[delivery].repository].to_string()
        };
        match task {
            Task::Hash(blob) => {
                self.log.push(format!("hash {blob}"));
                Ended::Hashed(Digest::of(b"hashed"))
            }
            Task::CheckTag { delivery, tag } => {
                let tag = schedule.deliveries[delivery].tags[tag].0.to_string();
                self.log.push(format!("HEAD {}:{tag}", name(delivery)));
                let found = self.tags.get(&(name(delivery), tag)).cloned();
                Ended::Checked(found.map_or(Presence::Absent, Presence::Present))
            }
            Task::Look { delivery, tag } => {
                let tag = schedule.deliveries[delivery].tags[tag].0.to_string();
                self.log.push(format!("GET {}:{tag}", name(delivery)));
                Ended::Looked(Some(self.look(name(delivery), tag)))
            }
            Task::ReadConfig { delivery, former } => {
                let (digest, _) = schedule.config_of(delivery, former).unwrap();
                self.log.push(format!("CONFIG {}", digest.short()));
                Ended::Read(self.configs.get(&digest).cloned())
            }
            Task::CheckNode { delivery, node } => {
                let digest = schedule.nodes(delivery).unwrap()[node]
                    .manifest
                    .digest()
                    .clone();
                self.log
                    .push(format!("HEAD {}@{}", name(delivery), digest.short()));
                let found = self.manifests.contains(&(name(delivery), digest.clone()));
                Ended::Checked(if found {
                    Presence::Present(digest)
                } else {
                    Presence::Absent
                })
            }
            Task::CheckExpected { delivery, item } => self.expected(schedule, delivery, item),
            Task::Transfer(transfer) => self.transfer(schedule, transfer),
            Task::Offer { delivery, tag } => self.offered(schedule, delivery, tag),
            Task::Put {
                delivery,
                node,
                tag,
            } => {
                let tags = &schedule.deliveries[delivery].tags;
                let tag = tag.map(|tag| tags[tag].0.to_string());
                if let Some(text) = tag.as_ref().filter(|tag| self.protected.contains(*tag)) {
                    self.log.push(format!("REFUSED {}:{text}", name(delivery)));
                    return Ended::Failed(refused());
                }
                let nodes = schedule.nodes(delivery).unwrap();
                let lacks = self.lacks(schedule, delivery, node);
                if !lacks.is_empty() {
                    let digest = nodes[node].manifest.digest();
                    self.log.push(format!("REFUSED {}", digest.short()));
                    return Ended::Lacks(lacks);
                }
                self.put(name(delivery), tag, &nodes[node].manifest);
                Ended::Put(Vec::new())
            }
            Task::Verify(verify) => self.read_back(schedule, verify),
        }
    }

    fn read_back(&mut self, schedule: &Schedule, verify: Verify) -> Ended {
        let (repository, digest, tag) = match verify {
            Verify::Blob { blob, repository } => {
                let (digest, _) = schedule.plan.blobs[blob].resolved.clone().unwrap();
                (repository, digest, None)
            }
            Verify::Manifest {
                delivery,
                node,
                tag,
            } => {
                let nodes = schedule.nodes(delivery).unwrap();
                let state = &schedule.deliveries[delivery];
                let tag = tag.map(|tag| state.tags[tag].0.to_string());
                let digest = nodes[node].manifest.digest().clone();
                (state.repository, digest, tag)
            }
        };
        let name = &schedule.plan.repositories[repository];
        self.log.push(match &tag {
            Some(tag) => format!("READ {name}:{tag}"),
            None => format!("READ {name}@{}", digest.short()),
        });
        match tag.unwrap_or_else(|| digest.to_string()) {
            what if self.rotten.contains(&what) => Ended::Failed(refused()),
            what if self.mended.contains(&what) => {
                Ended::Verified(Verified::Mended("is missing".to_owned()))
            }
            _ => Ended::Verified(Verified::Right),
        }
    }

    fn look(&self, repository: RepositoryName, tag: String) -> Seen {
        match self.tags.get(&(repository, tag)) {
            None => Seen {
                presence: Presence::Absent,
                manifest: None,
            },
            Some(found) => Seen {
                presence: Presence::Present(found.clone()),
                manifest: self.kept.get(found).cloned(),
            },
        }
    }

    fn put(&mut self, repository: RepositoryName, tag: Option<String>, manifest: &Arc<Manifest>) {
        let digest = manifest.digest().clone();
        self.kept.insert(digest.clone(), Arc::clone(manifest));
        let line = match &tag {
            None => format!("PUT {repository}@{}", digest.short()),
            Some(tag) => format!("PUT {repository}:{tag}"),
        };
        self.log.push(line);
        self.manifests.insert((repository.clone(), digest.clone()));
        if let Some(tag) = tag {
            self.tags.insert((repository, tag), digest);
        }
    }

    fn offered(&mut self, schedule: &Schedule, delivery: usize, tag: usize) -> Ended {
        let state = &schedule.deliveries[delivery];
        let name = schedule.plan.repositories[state.repository].to_string();
        let tag = state.tags[tag].0.to_string();
        self.log.push(format!("OFFER {name}:{tag}"));
        if self.protected.contains(&tag) {
            return Ended::Failed(refused());
        }
        let lacks = self.lacks(schedule, delivery, 0);
        if !lacks.is_empty() {
            return Ended::Lacks(lacks);
        }
        let digest = schedule.nodes(delivery).unwrap()[0]
            .manifest
            .digest()
            .clone();
        self.manifests.insert((name.clone(), digest.clone()));
        self.tags.insert((name, tag), digest);
        Ended::Put(Vec::new())
    }

    /// What a refusal of that manifest names.
    fn lacks(&self, schedule: &Schedule, delivery: usize, node: usize) -> Vec<Digest> {
        let repository = schedule.deliveries[delivery].repository;
        let name = schedule.plan.repositories[repository].to_string();
        let nodes = schedule.nodes(delivery).unwrap();
        let digests = nodes[node].blobs.iter().filter_map(|&blob| {
            let (digest, _) = schedule.plan.blobs[blob].resolved.clone()?;
            (!self.blobs.contains(&(name.clone(), digest.clone()))).then_some(digest)
        });
        digests
            .take(self.names_missing.unwrap_or_default())
            .collect()
    }

    fn expected(&mut self, schedule: &Schedule, delivery: usize, item: usize) -> Ended {
        let state = &schedule.deliveries[delivery];
        let name = schedule.plan.repositories[state.repository].to_string();
        let (digest, found) = match &schedule.plan.images[state.image].expected[item].at {
            Expectation::Manifest(digest) => {
                let found = self.manifests.contains(&(name, digest.clone()));
                (digest.clone(), found)
            }
            Expectation::Blob(blob) => {
                let (digest, _) = schedule.plan.blobs[*blob].resolved.clone().unwrap();
                let found = self.blobs.contains(&(name, digest.clone()));
                (digest, found)
            }
        };
        self.log.push(format!("EXPECT {}", digest.short()));
        Ended::Checked(match found {
            true => Presence::Present(digest),
            false => Presence::Absent,
        })
    }

    fn transfer(&mut self, schedule: &Schedule, transfer: Transfer) -> Ended {
        let repository = schedule.plan.repositories[transfer.repository].to_string();
        let from = transfer
            .from
            .map(|id| schedule.plan.repositories[id].clone())
            .or_else(|| schedule.recalled_source(&transfer).cloned());
        let blob = &schedule.plan.blobs[transfer.blob];
        let (digest, size) = match &blob.resolved {
            Some(resolved) => resolved.clone(),
            None => (compressed(transfer.blob), 3),
        };
        if self.broken.contains(&digest) {
            self.log
                .push(format!("FAIL {repository} {}", digest.short()));
            return Ended::Failed(ErrorReport::source("cannot be read"));
        }
        let mounted = !self.refuse_mounts
            && from
                .as_ref()
                .is_some_and(|r| self.blobs.contains(&(r.to_string(), digest.clone())));
        let arrival = if !self.blobs.insert((repository.clone(), digest.clone())) {
            Arrival::Present
        } else if mounted {
            Arrival::Mounted
        } else {
            Arrival::Uploaded
        };
        self.log
            .push(format!("{arrival:?} {repository} {}", digest.short()));
        let mount_refused = from.is_some() && !mounted;
        let from = from.filter(|_| mounted);
        let delivery = BlobDelivery {
            arrival,
            from,
            resumed_at: None,
            mount_refused,
        };
        Ended::Delivered(delivery, digest, size)
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.log
            .iter()
            .filter(|line| line.starts_with(what))
            .count()
    }
}

/// What the blob of that number becomes when it is compressed.
pub(super) fn compressed(blob: BlobId) -> Digest {
    Digest::of(format!("compressed {blob}").as_bytes())
}

pub(super) fn refused() -> ErrorReport {
    ErrorReport {
        kind: FailureKind::Refused,
        ..ErrorReport::source("no")
    }
}

pub(super) struct Nowhere;

impl Source for Nowhere {
    fn path(&self) -> &Path {
        Path::new("nowhere")
    }

    fn open(&self, _place: &Place, _offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A source that has to be read from front to back.
pub(super) struct Tape;

impl Source for Tape {
    fn path(&self) -> &Path {
        Path::new("tape")
    }

    fn open(&self, _place: &Place, _offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn is_sequential(&self) -> bool {
        true
    }
}

pub(super) fn stored(text: &str) -> Stored {
    sized(text, text.len() as u64)
}

fn sized(text: &str, size: u64) -> Stored {
    let place = Place::Blob(Digest::of(text.as_bytes()));
    Stored::new(Arc::new(Nowhere), place, size)
}

pub(super) fn node(blobs: &[&str]) -> Node {
    let sizes = blobs.iter().map(|text| (*text, text.len() as u64));
    sized_node(&sizes.collect::<Vec<_>>())
}

/// With blobs that are said to be of these sizes.
pub(super) fn sized_node(blobs: &[(&str, u64)]) -> Node {
    let descriptor = |&(text, size): &(&str, u64)| {
        let digest = Digest::of(text.as_bytes());
        Descriptor::new(media::OCI_LAYER_GZIP, digest, size)
    };
    let described: Vec<Descriptor> = blobs.iter().map(descriptor).collect();
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": described[0], "layers": described[1..],
    });
    let manifest = Manifest::parse(serde_json::to_vec(&json).unwrap(), None, None).unwrap();
    let blobs = described
        .into_iter()
        .zip(blobs.iter().map(|(text, size)| sized(text, *size)))
        .collect();
    Node {
        manifest: Arc::new(manifest),
        blobs,
        foreign: Vec::new(),
        platform: None,
    }
}

pub(super) fn index(children: &[Node]) -> Node {
    let entries: Vec<Descriptor> = (children.iter())
        .map(|child| {
            let manifest = &child.manifest;
            let size = manifest.bytes().len() as u64;
            Descriptor::new(media::OCI_MANIFEST, manifest.digest().clone(), size)
        })
        .collect();
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries,
    });
    let manifest = Manifest::parse(serde_json::to_vec(&json).unwrap(), None, None).unwrap();
    Node {
        manifest: Arc::new(manifest),
        blobs: Vec::new(),
        foreign: Vec::new(),
        platform: None,
    }
}

pub(super) fn image(nodes: Vec<Node>) -> Image {
    Image {
        source: Arc::new(Nowhere),
        names: Vec::new(),
        content: Content::Found(Tree {
            nodes,
            elsewhere: Vec::new(),
        }),
    }
}

/// `image` as it is when its source lacks what is said.
pub(super) fn without(mut image: Image, manifests: &[&Node], blobs: &[&str]) -> Image {
    let Content::Found(tree) = &mut image.content else {
        panic!("a manifest is to be made")
    };
    let digest = |node: &Node| node.manifest.digest().clone();
    let gone: Vec<Digest> = manifests.iter().map(|node| digest(node)).collect();
    tree.nodes.retain(|node| !gone.contains(&digest(node)));
    let describe = |lost: &Digest| Descriptor::new(media::OCI_MANIFEST, lost.clone(), 9);
    tree.elsewhere = gone.iter().map(describe).collect();
    for (descriptor, stored) in tree.nodes.iter_mut().flat_map(|node| &mut node.blobs) {
        let named = |text: &&str| Digest::of(text.as_bytes()) == descriptor.digest;
        if blobs.iter().any(named) {
            *stored = Stored::new(Arc::new(Nowhere), Place::Elsewhere, descriptor.size);
        }
    }
    image
}

pub(super) fn docker(layers: &[(&str, LayerForm)]) -> Image {
    let layer = |&(text, form): &(&str, LayerForm)| Layer {
        stored: stored(text),
        diff_id: Digest::of(text.as_bytes()),
        form,
    };
    let config: Arc<[u8]> = Arc::from(b"config".as_slice());
    let parts = Parts {
        config_digest: Digest::of(&config),
        config,
        platform: None,
        layers: layers.iter().map(layer).collect(),
    };
    Image {
        source: Arc::new(Nowhere),
        names: Vec::new(),
        content: Content::Made(parts),
    }
}

pub(super) fn schedule(images: &[(Image, &[&str])]) -> Schedule {
    let mut plan = Plan::new(Format::Oci, Host::parse("registry.test").unwrap());
    for (image, targets) in images {
        let targets: Vec<Target> = (targets.iter())
            .map(|target| {
                let (repository, tag) = target.split_once(':').unwrap();
                let repository = Repository::parse(repository).unwrap();
                Target {
                    repository,
                    tag: Tag::parse(tag).unwrap(),
                }
            })
            .collect();
        plan.add(image, &targets, Compression::Gzip { level: 2 });
    }
    Schedule::new(
        plan,
        Limits {
            images: 8,
            fail_fast: false,
            force: false,
            verify: false,
        },
    )
}

pub(super) fn statuses(schedule: &Schedule) -> Vec<ImageStatus> {
    (0..schedule.images.len())
        .map(|image| schedule.image_status(image).0)
        .collect()
}
