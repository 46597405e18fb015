//! Whether a registry takes who we are: one question, that needs no repository.
//!
//! distribution-spec 1.1 "Determining Support": `GET /v2/`.

use crate::net::Method;
use crate::registry::call::{Access, Call};
use crate::registry::client::Client;
use crate::registry::endpoint;
use crate::registry::error::Error;

/// What the registry makes of our credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    Accepted,
    /// It answers everybody: whether they are right was not to be found out.
    NotAsked,
}

impl Client {
    /// Shows the credentials to the registry, if it asks for some.
    ///
    /// # Errors
    /// It refuses them, is no registry, or cannot be reached.
    pub fn check_login(&self) -> Result<Checked, Error> {
        let operation = format!("login to {}", self.endpoint.name());
        let answer = self.retry(&mut self.budget(), |_| {
            let call = Call::new(Method::Get, endpoint::ping(), Access::Host);
            let answer = self.exchange(&operation, call)?;
            match answer.status() {
                200..=299 => Ok(answer),
                _ => Err(self.refuse(&operation, &answer)),
            }
        });
        // What to try is what was just tried.
        let answer = answer.map_err(|error| match error.hint {
            Some(hint) if hint == self.login_hint() => Error {
                hint: None,
                ..error
            },
            _ => error,
        });
        answer.map(|answer| match answer.identity {
            Some(_) => Checked::Accepted,
            None => Checked::NotAsked,
        })
    }
}
