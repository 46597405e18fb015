//! As much of HTTP/1.1 as a registry needs, on a blocking socket. It knows nothing of registries.
//!
//! RFC 9110 and 9112: keep-alive, `Content-Length` and chunked bodies, `Expect: 100-continue`, HEAD.
//! Whatever could be read in two ways is refused and the connection closed.

pub(super) mod answer;
pub(super) mod body;
pub(super) mod connection;
pub(super) mod request;
#[cfg(test)]
pub(super) mod soak;
