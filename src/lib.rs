//! hoist pushes container images to OCI registries: from OCI layouts and docker-save archives, read
//! where they lie, without a daemon.
//!
//! The rooms, lowest first: [`image`] is the model and the sources, [`pool`] threads and buffers,
//! [`net`] HTTP, [`registry`] the distribution protocol, [`push`] the engine, [`observe`] what tells
//! people, [`serve`] a small registry, [`cli`] the command line.

//! # A push
//!
//! From an archive into a registry that runs in the same process:
//!
//! ```
//! use hoist::serve::{Options, Server};
//! use hoist::{Destination, Operation, Outcome, Stop};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let mut options = Options::new(folder.path());
//! options.listen.set_port(0);
//! let registry = Server::start(options, Box::new(|_| {}))?;
//!
//! let prefix = format!("{}/demo/", registry.address());
//! let destination = Destination::parse(&prefix, &|path| path.exists())?;
//! let operation = Operation::new(["fixtures/skopeo.tar"], destination);
//! let report = operation.run(&mut [], &Stop::default());
//!
//! assert_eq!(report.outcome, Outcome::Ok, "{:?}", report.errors);
//! for target in report.images.iter().flat_map(|image| &image.targets) {
//!     println!("{}", target.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An [`Operation`] is settings and nothing else; who wants to hear what happens meanwhile gives it an
//! [`Observer`], who wants to end it keeps a clone of the [`Stop`].

pub mod cli;
pub mod image;
pub mod net;
pub mod observe;
pub mod pool;
pub mod push;
pub mod registry;
pub mod serve;
#[cfg(test)]
mod soak;

pub use image::name::Destination;
pub use observe::event::{Event, Observer};
pub use push::operation::{Compression, Format, Operation};
pub use push::report::{Outcome, Report};
pub use registry::clock::Stop;
