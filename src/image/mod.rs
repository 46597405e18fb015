//! The model of container images, and the places they come from.
//!
//! Nothing here knows HTTP, registries' behaviour or the terminal. Types are parsed once and are
//! right from then on; a manifest keeps its raw bytes, because its digest is of the bytes.

pub mod archive;
pub mod compress;
pub mod digest;
pub mod discover;
pub mod error;
pub mod filter;
pub mod layout;
pub mod manifest;
pub mod media;
pub mod name;
pub mod platform;
pub mod reference;
pub mod source;
