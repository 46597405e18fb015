//! What earlier pushes have left, as far as this one needs it, and what it leaves itself.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::image::reference::Host;
use crate::push::cache::{Blobs, Cache, Findings, Layers, Turn};
use crate::push::holdings::Holdings;
use crate::push::plan::{Compressed, Plan};
use crate::push::schedule::Schedule;
use crate::registry::client::{Client, TokenService};
use crate::registry::clock::Stop;

#[derive(Default)]
pub(crate) struct Memory {
    folder: PathBuf,
    hosts: Option<Cache>,
    blobs: Option<Blobs>,
    layers: Option<Layers>,
}

impl Memory {
    /// Reads what `folder` has of use for pushing `plan` to `host`. With a sentence for each file that is
    /// not to be used.
    pub(crate) fn open(folder: &Path, host: &Host, plan: &Plan) -> (Self, Vec<String>) {
        let (hosts, damage) = Cache::open(folder);
        let (blobs, other_damage) = Blobs::open(folder, host);
        let layers = plan.compresses().then(|| Layers::open(folder));
        let (layers, more_damage) = layers.unzip();
        let memory = Self {
            folder: folder.to_path_buf(),
            hosts: Some(hosts),
            blobs: Some(blobs),
            layers,
        };
        let damage = [damage, other_damage, more_damage.flatten()];
        (memory, damage.into_iter().flatten().collect())
    }

    /// Tells `plan` what layers became the last time.
    pub(crate) fn recall_layers(&self, plan: &mut Plan) {
        if let Some(layers) = &self.layers {
            plan.recall(|diff_id, method| layers.find(diff_id, method));
        }
    }

    pub(crate) fn holdings(&self) -> Holdings {
        let blobs = self.blobs.as_ref();
        let now = SystemTime::now();
        blobs.map(|blobs| blobs.holdings(now)).unwrap_or_default()
    }

    pub(crate) fn token_service(&self, host: &Host) -> Option<TokenService> {
        let hosts = self.hosts.as_ref()?;
        hosts.token_service(host, SystemTime::now())
    }

    /// Takes in what a layer has become, at once: this push may not get to its end.
    pub(crate) fn made(&self, layer: Compressed, stop: &Stop) {
        if let Some(layers) = &self.layers {
            let mut turn = Turn::at(&self.folder).until(stop);
            layers.remember(&mut turn, &[layer], SystemTime::now());
        }
    }

    /// Takes in what a push to `host` has found out. Whoever is stopped waits for no other push.
    pub(crate) fn update(&self, host: &Host, client: &Client, schedule: &Schedule, stop: &Stop) {
        let now = SystemTime::now();
        let mut turn = Turn::at(&self.folder).until(stop);
        if let (Some(hosts), Some(service)) = (&self.hosts, client.token_service()) {
            hosts.remember(&mut turn, host, &service, now);
        }
        if let Some(layers) = &self.layers {
            layers.remember(&mut turn, &schedule.plan.compressed(), now);
        }
        if let Some(blobs) = &self.blobs {
            let findings = Findings {
                seen: schedule.seen(),
                forgotten: schedule.holdings.forgotten().collect(),
                checks: client.looks().filter(|_| client.may_offer_manifests()),
                misled: schedule.is_misled(),
                keeps: client.looks().filter(|_| client.keeps_cut_bodies()),
                loses: client.loses_cut_bodies(),
            };
            blobs.remember(&mut turn, &findings, now);
        }
    }
}
