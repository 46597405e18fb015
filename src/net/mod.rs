//! HTTP as hoist wants it: one agent with its own connections, roots, resolver and time limits.
//!
//! Redirects are not followed here, statuses are no errors, and an answer that comes while a body
//! is still being sent is seen. Knows nothing of registries.

mod buffers;
mod certificates;
mod channel;
mod connect;
mod dial;
mod distinguished;
mod exchange;
mod failure;
mod http;
mod intake;
mod liveness;
mod metered;
mod proxy;
mod redact;
mod request;
mod resolve;
mod roots;
mod secret;
#[cfg(test)]
pub(crate) mod soak;
mod stash;
mod switch;
mod tls;
mod tunnel;
mod untrusted;
mod verify;
mod wire;

pub use failure::{Failure, FailureKind};
pub use http::Http;
pub use intake::{Intake, Sink};
pub use proxy::{HostProxy, NoProxy, Proxies, Proxy};
pub use redact::redact;
pub use request::{FilePart, Method, Pace, Payload, Request, Response, Settings};
pub use resolve::is_loopback;
pub use roots::Roots;
pub use secret::Secret;
pub use tls::ClientCertificate;
