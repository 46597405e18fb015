//! The wire: the distribution protocol's push side, on one host.
//!
//! `client` sends; `blobs`, `transfer`, `stream` and `manifests` say what; the rest is without I/O or
//! about one thing only.

mod answer;
mod auth;
mod blobs;
mod body;
mod call;
mod challenge;
mod classify;
pub mod client;
pub mod clock;
mod contact;
mod credentials;
mod endpoint;
pub mod error;
pub mod keychain;
mod limit;
mod login;
mod manifests;
mod patience;
mod profile;
mod reach;
mod read;
mod readback;
mod retry;
pub mod sessions;
mod settle;
#[cfg(test)]
pub(crate) mod soak;
mod stream;
mod transfer;
mod upload;
mod url;
mod waiting;
