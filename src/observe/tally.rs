//! What is done so far, for whoever must say so before the report is there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::event::{Event, ImageStatus, Observer};

/// Cheap to clone; clones see the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Done>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) images: usize,
    pub(crate) finished: Vec<Finished>,
    /// Started, and neither pushed nor failed.
    pub(crate) running: Vec<(usize, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) status: ImageStatus,
    /// `host/repository:tag@digest` of each that is in place.
    pub(crate) targets: Vec<String>,
    pub(crate) error: Option<String>,
}

impl Tally {
    pub(crate) fn so_far(&self) -> Done {
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
            Event::Planned { images, .. } => {
                *done = Done {
                    images: *images,
                    ..Done::default()
                };
            }
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
