//! A token service that signs real JWTs, for registries that verify them.
//!
//! <https://distribution.github.io/distribution/spec/auth/jwt/>: ES256, with the certificate of the key in
//! the header.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair, SigningKey as _};
use serde_json::json;
use tempfile::TempDir;

use super::registry::TokenAuth;
use super::scripted::{Answer, Scripted, Seen, answer, computed, on};

pub(crate) const SERVICE: &str = "registry.test";
const NAME: &str = "issuer.test";

/// What the service gives to whom.
#[derive(Clone)]
pub(crate) struct Terms {
    /// As it is said; nothing is said where there is none.
    pub(crate) expires_in: Option<u64>,
    /// When the tokens really expire, in seconds from now; distribution adds 60 s of grace.
    pub(crate) lives: i64,
    /// User and password, where not everybody gets tokens; an identity token for POST is the password.
    pub(crate) login: Option<(String, String)>,
    /// Nothing is given but for the first repository that is asked for.
    pub(crate) one_repository: bool,
    /// Actions that are not given though they are asked for, by the repository they are asked on.
    pub(crate) narrowed: Vec<(String, String)>,
    /// Status of the answer to a request that asks for anything on this repository.
    pub(crate) refused: Option<(String, u16)>,
    /// Status of the answer to every POST.
    pub(crate) no_post: Option<u16>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            expires_in: Some(300),
            lives: 300,
            login: None,
            one_repository: false,
            narrowed: Vec::new(),
            refused: None,
            no_post: None,
        }
    }
}

/// A running token service at `/token`.
pub(crate) struct Issuer {
    server: Scripted,
    signer: Arc<Signer>,
    given: Arc<Mutex<Vec<Given>>>,
    dir: TempDir,
}

/// One token that was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) at: Instant,
    /// What was asked for, scopes separated by blanks.
    pub(crate) asked: String,
}

struct Signer {
    key: KeyPair,
    /// DER in base64.
    certificate: String,
    pem: String,
}

impl Issuer {
    pub(crate) fn start(terms: Terms) -> Self {
        let signer = Arc::new(Signer::new());
        let given = Arc::new(Mutex::new(Vec::new()));
        let (signs, gives) = (Arc::clone(&signer), Arc::clone(&given));
        let no_post = terms.no_post;
        let make = move |seen: &Seen| reply(&terms, &signs, &gives, seen);
        let make = Arc::new(make);
        let makes_too = Arc::clone(&make);
        let post = move |seen: &Seen| no_post.map_or_else(|| makes_too(seen), answer);
        let server = Scripted::start([
            on("GET", "/token").then(computed(move |seen| make(seen))),
            on("POST", "/token").then(computed(post)),
        ]);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bundle.pem"), &signer.pem).unwrap();
        Self {
            server,
            signer,
            given,
            dir,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What makes a registry take the tokens.
    pub(crate) fn auth(&self) -> TokenAuth {
        TokenAuth {
            realm: self.server.url("/token"),
            service: SERVICE.to_owned(),
            issuer: NAME.to_owned(),
            bundle: self.dir.path().join("bundle.pem"),
        }
    }

    pub(crate) fn given(&self) -> Vec<Given> {
        self.given.lock().unwrap().clone()
    }

    /// What was asked for with each token, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.given().into_iter().map(|given| given.asked).collect()
    }

    /// Every request, also those that got nothing.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.server.requests()
    }

    /// The value of `Authorization` for a test's own look at a repository.
    pub(crate) fn pass_for(&self, repository: &str) -> String {
        let access = [json!({"type": "repository", "name": repository, "actions": ["pull"]})];
        format!("Bearer {}", self.signer.sign(&access, 300))
    }
}

fn reply(terms: &Terms, signer: &Signer, given: &Mutex<Vec<Given>>, seen: &Seen) -> Answer {
    let form = match seen.method.as_str() {
        "POST" => String::from_utf8(seen.body.clone()).unwrap(),
        _ => seen
            .target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .to_owned(),
    };
    let values = |name: &str| -> Vec<String> {
        let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        let named = pairs.filter(|(key, _)| *key == name);
        named.map(|(_, value)| decoded(value)).collect()
    };
    assert_eq!(values("service"), [SERVICE]);
    if let Some((user, password)) = &terms.login {
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let known = match seen.method.as_str() {
            "POST" => values("refresh_token") == [password.as_str()],
            _ => seen.header("authorization") == Some(&basic),
        };
        if !known {
            let body = r#"{"details":"incorrect username or password"}"#;
            return answer(401).body(body);
        }
    }
    let asked = values("scope").join(" ");
    let mut access = Vec::new();
    for scope in asked.split_whitespace() {
        let (resource, actions) = scope.rsplit_once(':').unwrap();
        let (kind, name) = resource.split_once(':').unwrap();
        if let Some((repository, status)) = &terms.refused
            && repository == name
        {
            return answer(*status).body(r#"{"details":"no such repository"}"#);
        }
        let withheld = |action: &&str| {
            let pair = (name.to_owned(), (*action).to_owned());
            terms.narrowed.contains(&pair) || (terms.one_repository && !access.is_empty())
        };
        let actions: Vec<&str> = actions.split(',').filter(|a| !withheld(a)).collect();
        access.push(json!({"type": kind, "name": name, "actions": actions}));
    }
    given.lock().unwrap().push(Given {
        at: Instant::now(),
        asked,
    });
    let mut body = json!({"access_token": signer.sign(&access, terms.lives)});
    if let Some(seconds) = terms.expires_in {
        body["expires_in"] = seconds.into();
    }
    answer(200).body(body.to_string())
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = [rest.next().unwrap(), rest.next().unwrap()];
        let hex = std::str::from_utf8(&hex).unwrap();
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

impl Signer {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, NAME);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: STANDARD.encode(certificate.der()),
            pem: certificate.pem(),
            key,
        }
    }

    fn sign(&self, access: &[serde_json::Value], lives: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": NAME,
            "sub": "tests",
            "aud": SERVICE,
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + lives,
            "jti": format!("{now}-{}", access.len()),
            "access": access,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(fixed(&signature)))
    }
}

/// RFC 7518 section 3.4 wants both numbers side by side, 32 bytes each; in DER they are two integers.
fn fixed(der: &[u8]) -> Vec<u8> {
    let (mut at, mut both) = (2, Vec::new());
    for _ in 0..2 {
        let length = usize::from(der[at + 1]);
        let number = &der[at + 2..at + 2 + length];
        let digits = &number[number.len().saturating_sub(32)..];
        both.resize(both.len() + 32 - digits.len(), 0);
        both.extend_from_slice(digits);
        at += 2 + length;
    }
    both
}
