//! The model of container images, and the places they come from.
//!
//! Nothing here knows HTTP, registries' behaviour or the terminal. Types are parsed once and are
//! right from then on; a manifest keeps its raw bytes, because its digest is of the bytes.

mod archive;
pub mod compress;
pub(crate) mod config;
pub mod digest;
pub mod discover;
mod docker;
pub mod error;
mod file;
pub mod filter;
pub(crate) mod found;
mod layout;
mod magic;
pub mod manifest;
pub mod media;
mod merge;
pub mod name;
mod oci;
mod packed;
pub mod platform;
pub mod reference;
#[cfg(test)]
pub(crate) mod soak;
pub mod source;
pub mod stdin;
mod tar_index;
