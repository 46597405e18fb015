//! hoist pushes container images to OCI registries: from OCI layouts and docker-save archives, read
//! where they lie, without a daemon.
//!
//! The rooms, lowest first: [`image`] is the model and the sources, [`pool`] threads and buffers,
//! [`net`] HTTP, [`registry`] the distribution protocol, [`push`] the engine, [`observe`] what tells
//! people, [`serve`] a small registry, [`cli`] the command line.

pub mod cli;
pub mod image;
pub mod net;
pub mod observe;
pub mod pool;
pub mod push;
pub mod registry;
pub mod serve;
