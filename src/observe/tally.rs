//! What is done so far, for whoever must say so before the report is there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::event::{Event, ImageStatus, Observer};

/// Cheap to clone; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Done>>);

#[derive(Clone, Debug, Default)]
pub struct Done {
    pub images: usize,
    pub finished: Vec<Finished>,
    /// Started, and neither pushed nor failed.
    pub running: Vec<(usize, String)>,
}

#[derive(Clone, Debug)]
pub struct Finished {
    pub name: String,
    pub status: ImageStatus,
    /// `host/repository:tag@digest` of each that is in place.
    pub targets: Vec<String>,
    pub error: Option<String>,
}

impl Tally {
    pub fn so_far(&self) -> Done {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Observer for Tally {
    fn observe(&mut self, event: &Event) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { images, .. } => done.images = *images,
            Event::ImageStarted { image, name } => done.running.push((*image, name.clone())),
            Event::ImageFinished {
                image,
                status,
                targets,
                error,
            } => {
                let place = done.running.iter().position(|(number, _)| number == image);
                let name = place.map(|place| done.running.swap_remove(place).1);
                done.finished.push(Finished {
                    name: name.unwrap_or_default(),
                    status: *status,
                    targets: targets.clone(),
                    error: error.clone(),
                });
            }
            _ => {}
        }
    }
}
