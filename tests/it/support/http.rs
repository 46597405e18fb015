//! Plain HTTP requests for tests, by ureq as it comes: nothing of `hoist::net` is in the way.

use std::fs;
use std::io::Read as _;

use base64::Engine as _;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::access::OWN_AGENT;
use super::registry::Setup;

/// Remembers trust and credentials, nothing else: every request has a connection of its own.
pub(crate) struct Client {
    agent: ureq::Agent,
    authorization: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut tls = TlsConfig::builder();
        if let Some(files) = &setup.tls {
            let ca = Certificate::from_pem(&fs::read(&files.ca).unwrap()).unwrap();
            tls = tls.root_certs(RootCerts::new_with_certs(&[ca]));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(OWN_AGENT)
            .tls_config(tls.build())
            .build();
        let encode = |(user, password): &(String, String)| {
            let pair = format!("{user}:{password}");
            let text = base64::engine::general_purpose::STANDARD.encode(pair);
            format!("Basic {text}")
        };
        Self {
            agent: config.new_agent(),
            authorization: setup.basic.as_ref().map(encode),
        }
    }

    pub(crate) fn request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let given = headers.iter().any(|(name, _)| *name == "authorization");
        if let Some(authorization) = self.authorization.as_ref().filter(|_| !given) {
            request = request.header("authorization", authorization);
        }
        let answer = if matches!(method, "GET" | "HEAD" | "DELETE") {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let (head, answer) = answer
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
            .into_parts();
        let mut bytes = Vec::new();
        answer.into_reader().read_to_end(&mut bytes).unwrap();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: bytes,
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(value.to_str().unwrap().to_string())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The code of the first error in a body of the specification's form.
    pub(crate) fn code(&self) -> String {
        let code = self.json()["errors"][0]["code"].clone();
        code.as_str().unwrap_or_default().to_string()
    }
}
