//! Asking a token service: by GET, or by POST with a refresh token, and what its answers mean.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/> and
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::net::{Method, Secret};
use crate::registry::answer::{self, Refusal};
use crate::registry::auth::grant::Grant;
use crate::registry::auth::identity::Identity;
use crate::registry::auth::realm::{self, TokenService};
use crate::registry::auth::scope::Scopes;
use crate::registry::auth::tokens::Fault;
use crate::registry::body::Content;
use crate::registry::call::{Access, Answer, Call};
use crate::registry::classify::{may_do, refused as refused_by};
use crate::registry::client::{Client, MOST_REDIRECTS};
use crate::registry::contact::Contact;
use crate::registry::credentials::Login;
use crate::registry::endpoint::Target;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::retry::{Class, Halt};
use crate::registry::url::Url;

/// Longest answer that is read, in bytes.
const ANSWER_LIMIT: u64 = 1 << 20;
const CLIENT_ID: &str = "hoist";

/// One question to a token service.
struct Question<'a> {
    operation: &'a str,
    service: &'a TokenService,
    identity: Option<&'a Identity>,
    scopes: &'a Scopes,
}

impl Client {
    /// Fetches one token.
    pub(super) fn fetch(
        &self,
        operation: &str,
        service: &TokenService,
        url: Url,
        identity: Option<&Identity>,
        scopes: &Scopes,
    ) -> Result<Grant, Box<Fault>> {
        let contact = self.authority.contact(&url);
        if let Some(error) = contact.dead() {
            return Err(self.fault(error.into(), &contact));
        }
        let question = Question {
            operation,
            service,
            identity,
            scopes,
        };
        let who = format!("token service {}", url.authority());
        let answer = self
            .question(&question, &url)
            .map_err(|halt| self.fault(halt, &contact))?;
        contact.reached();
        self.read(&question, &who, &answer)
            .map_err(|halt| self.fault(halt, &contact))
    }

    fn question(&self, question: &Question<'_>, url: &Url) -> Result<Answer, Halt> {
        let refreshes = matches!(
            question.identity.map(Identity::login),
            Some(Login::IdentityToken(_))
        );
        if refreshes && !self.authority.no_post.load(Ordering::Relaxed) {
            let answer = self.post(question, url)?;
            // 404: old gcr.io; 401: Artifactory; 405: those who never heard of it.
            // https://github.com/containerd/containerd/blob/main/core/remotes/docker/authorizer.go
            if !matches!(answer.status(), 401 | 404 | 405) {
                return Ok(answer);
            }
            let second = self.get(question, url)?;
            if second.status() == 200 {
                self.authority.no_post.store(true, Ordering::Relaxed);
            }
            return Ok(second);
        }
        self.get(question, url)
    }

    fn get(&self, question: &Question<'_>, url: &Url) -> Result<Answer, Halt> {
        let mut query = String::new();
        if let Some(service) = &question.service.service {
            add(&mut query, "service", service);
        }
        for scope in question.scopes.each() {
            add(&mut query, "scope", &scope);
        }
        if let Some(Login::Password { username, .. }) = question.identity.map(Identity::login) {
            add(&mut query, "account", username);
        }
        let target = Target::Elsewhere(url.with_query(&query));
        let mut call = Call::new(Method::Get, target, Access::Host);
        call.authorization = question.identity.map(|who| Arc::new(who.header()));
        self.ask(question, call)
    }

    fn post(&self, question: &Question<'_>, url: &Url) -> Result<Answer, Halt> {
        let refresh = question
            .identity
            .map(Identity::refresh_token)
            .unwrap_or_default();
        let mut form = String::new();
        add(&mut form, "grant_type", "refresh_token");
        add(&mut form, "client_id", CLIENT_ID);
        if let Some(service) = &question.service.service {
            add(&mut form, "service", service);
        }
        if !question.scopes.is_empty() {
            add(&mut form, "scope", &question.scopes.to_string());
        }
        add(&mut form, "refresh_token", refresh.expose());
        let form = Secret::new(form);
        let target = Target::Elsewhere(url.clone());
        let call = Call::new(Method::Post, target, Access::Host)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(
                Content::Document(form.expose().as_bytes()),
                self.http.stall_timeout(),
            );
        let mut answer = self.ask(question, call)?;
        answer.response.carried.push(refresh);
        Ok(answer)
    }

    /// Sends it, and follows redirects: with what is secret on the same origin only.
    fn ask(&self, question: &Question<'_>, mut call: Call<'_>) -> Result<Answer, Halt> {
        let operation = question.operation;
        call.limit = ANSWER_LIMIT;
        let mut redirects = 0;
        loop {
            self.admit(operation)?;
            self.await_turn(operation, &call.target)?;
            let began = self.clock.now();
            let response = self
                .send(&mut call)
                .map_err(|failure| self.failed(operation, &call.target, &failure, began))?;
            let answer = Answer {
                response,
                target: call.target.clone(),
                redirects,
                identity: None,
                denied: None,
                began,
            };
            let Some(next) = next(&call, &answer) else {
                return Ok(answer);
            };
            let next = next.and_then(|next| self.may_follow(&mut call, &next).map(|()| next));
            let next = next.map_err(|why| {
                let who = self.endpoint.host_of(&answer.target);
                let reason = format!("token service {who} sent us on, but the Location {why}");
                Error::new(ErrorKind::Auth, operation, reason)
            })?;
            redirects += 1;
            call.target = Target::Elsewhere(next);
        }
    }

    fn may_follow(&self, call: &mut Call<'_>, next: &Url) -> Result<(), String> {
        let Target::Elsewhere(from) = &call.target else {
            return Ok(());
        };
        if next.same_origin(from) {
            return Ok(());
        }
        if call.has_body() {
            return Err("leads to another host, which is not to see what we sent".to_owned());
        }
        next.refuse_downgrade(from.scheme())
            .map_err(|why| why.to_string())?;
        realm::check(
            next,
            &self.endpoint.own(self.reach.scheme(), "/".to_owned()),
            false,
        )?;
        call.authorization = None;
        Ok(())
    }

    fn read(&self, question: &Question<'_>, who: &str, answer: &Answer) -> Result<Grant, Halt> {
        let operation = question.operation;
        let status = answer.status();
        if answer.is_pressure() || matches!(status, 408 | 499 | 500..=599) {
            let mut halt = self.refuse(operation, answer);
            let error = match &mut halt {
                Halt::Again(trouble) => &mut trouble.error,
                Halt::Fail(error) => error,
            };
            error.reason = format!("token service {}", error.reason);
            return Err(halt);
        }
        let refused = |reason: String| Error::new(ErrorKind::Auth, operation, reason);
        if (200..300).contains(&status) {
            let grant = Grant::parse(&answer.response.body)
                .map_err(|what| refused(format!("{who} sent {what}{}", page(answer))))?;
            if let (Some(identity), Some(token)) = (question.identity, &grant.refresh) {
                identity.replace_refresh_token(token.clone());
            }
            return Ok(grant);
        }
        let said = answer.refusal().suffix();
        let mut reason = format!("{who} answered {}{said}", answer::status(status));
        if answer.redirects > 0 {
            let _ = write!(reason, " after {} redirects", answer.redirects);
        }
        let (why, hint) = match (status, question.identity) {
            (300..=399, _) => return Err(refused(reason).into()),
            (401, identity) => (refused_by(identity), self.login_hint()),
            (_, Some(identity)) => (
                format!(
                    "to {identity}, for {}",
                    answer::clean(&question.scopes.to_string(), 200)
                ),
                may_do(identity),
            ),
            (_, None) => ("no credentials were given".to_owned(), self.login_hint()),
        };
        let error = refused(format!("{reason} ({why})")).hint(hint);
        let status = Some(status);
        Err(Error { status, ..error }.into())
    }

    /// For all who wait. Where nobody answers for half a minute, nobody is asked any more.
    fn fault(&self, halt: Halt, contact: &Contact) -> Box<Fault> {
        let now = self.clock.now();
        match halt {
            Halt::Fail(error) => Box::new(Fault {
                error: *error,
                class: None,
                began: now,
            }),
            Halt::Again(mut trouble) => {
                let retries = self.settings.retries;
                let over = trouble.class == Class::Unconnected && contact.failed(now, retries);
                if over {
                    if retries > 0 {
                        trouble.error.reason.push_str(", for 30 s");
                    }
                    contact.bury(&trouble.error);
                }
                Box::new(Fault {
                    error: trouble.error,
                    class: Some(trouble.class).filter(|_| !over),
                    began: trouble.began,
                })
            }
        }
    }
}

/// Where a redirect of the token service leads.
fn next(call: &Call<'_>, answer: &Answer) -> Option<Result<Url, String>> {
    let follows = match answer.status() {
        307 | 308 => true,
        301..=303 => call.method == Method::Get,
        _ => false,
    };
    let location = answer.response.header("location")?;
    match &answer.target {
        Target::Elsewhere(url) if follows && answer.redirects < MOST_REDIRECTS => {
            Some(url.join(location).map_err(|why| why.to_string()))
        }
        _ => None,
    }
}

/// The title of a page that came instead of a token: mostly that of a proxy.
fn page(answer: &Answer) -> String {
    match answer.response.body.trim_ascii().first() {
        Some(b'<') => Refusal::read(&answer.response).suffix(),
        _ => String::new(),
    }
}

/// One more pair of a form or a query.
fn add(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                form.push(char::from(byte));
            }
            other => {
                let _ = write!(form, "%{other:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_pairs() {
        let mut form = String::new();
        add(&mut form, "service", "a b&c=d");
        add(&mut form, "scope", "repository:a/b:pull,push");
        add(&mut form, "u", "ü+~");
        let expected = "service=a%20b%26c%3Dd&scope=repository%3Aa%2Fb%3Apull%2Cpush&u=%C3%BC%2B~";
        assert_eq!(form, expected);
    }
}
