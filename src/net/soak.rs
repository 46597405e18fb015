//! What this room reads, for the mutation loop.

mod answers;

use std::cell::OnceCell;
use std::fs;

use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;

use crate::net::proxy::{NoProxy, Proxies, Proxy};
use crate::net::redact::{hide, redact, secrets_of};
use crate::net::resolve::is_loopback;
use crate::net::tunnel::Heard;
use crate::net::untrusted::explain;
use crate::net::verify::Verifier;
use crate::net::wire::holds_final_answer;
use crate::net::{Secret, certificates, distinguished};
use crate::soak::{CANARY, Outcome, Target};

pub(crate) fn targets() -> Vec<Target> {
    let (pem, der) = certificate();
    vec![
        Target::text("proxy", PROXIES, proxy).words([
            "http://",
            "https://",
            "socks5://",
            "me:$$@",
            "@",
            "[",
            "]",
            ":3128",
            "%",
            "%40",
            "#",
            "?",
        ]),
        Target::text("NO_PROXY", NO_PROXIES, no_proxy).words([
            ",",
            "*.",
            "*",
            "/8",
            "/0",
            "/33",
            "/129",
            ":5000",
            "[::1]",
            "::ffff:10.0.0.0/104",
            ".",
        ]),
        Target::new("answer to CONNECT", CONNECTS, tunnel).words([
            "HTTP/1.1 ",
            "HTTP/1.0 ",
            "200",
            "407",
            "\r\n",
            "\r\n\r\n",
            ": ",
            "100",
        ]),
        Target::new(
            "beginning of an answer",
            CONNECTS,
            |input| match holds_final_answer(input) {
                true => Outcome::accepted(),
                false => Outcome::refused("not yet"),
            },
        )
        .words(["HTTP/1.1 1", "HTTP/1.1 2", "\r\n\r\n", "HTTP/1."]),
        Target::text("text with secrets", TEXTS, secrets).words([
            "@@",
            "Bearer ",
            "Basic ",
            "password=",
            "?",
            "//",
            "@",
            "eyJ",
            "token\":\"",
            "&",
            "%",
        ]),
        Target::text("pem", [pem], pems()).words([
            "-----BEGIN CERTIFICATE-----\n",
            "-----END CERTIFICATE-----\n",
            "-----BEGIN PRIVATE KEY-----\n",
            "-----END PRIVATE KEY-----\n",
            "-----BEGIN",
            "-----",
            "\n",
            "MII",
            "=",
            "Proc-Type: 4,ENCRYPTED",
        ]),
        Target::new("certificate", [der.clone()], server_certificate(der)).words(DER),
        Target::new(
            "name in a certificate",
            [NAME],
            |input| match distinguished::name(input) {
                Some(name) => Outcome::accepted().saying(format!("its issuer {name}")),
                None => Outcome::refused("no name"),
            },
        )
        .words(DER),
        answers::target(),
    ]
}

/// `:$$@` stands for a password.
const PROXIES: [&str; 5] = [
    "http://me:$$@proxy.example:3128",
    "https://[::1]:3128/path?x#y",
    "Proxy.Example",
    "http://m%40e:$$@10.0.0.1",
    "socks5://me:$$@h",
];

const NO_PROXIES: [&str; 3] = [
    "localhost,.example.com, *.corp:8443 10.0.0.0/8,[2001:db8::]/32,[::1]:80",
    "*",
    "192.0.2.1:5000,registry.example",
];

const CONNECTS: [&[u8]; 3] = [
    b"HTTP/1.1 200 Connection established\r\nProxy-Agent: x\r\n\r\n",
    b"HTTP/1.0 407 Who \tare you\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nno.\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 \r\n\r\n",
];

const TEXTS: [&str; 3] = [
    "invalid token Bearer @@ for https://me:@@@registry.example/v2/?sig=@@&x=1",
    r#"{"password":"@@","token":"eyJhbGciOi.eyJzdWIiOi.c2ln","detail":"@@"}"#,
    "wrong password=@@, 'secret': '@@' <b>Basic @@</b>",
];

/// Tags and lengths of X.690, and what names are made of.
const DER: [&[u8]; 12] = [
    b"\x30\x82",
    b"\x30\x81",
    b"\x31\x0b",
    b"\x06\x03\x55\x04\x03",
    b"\x0c\x03abc",
    b"\x1e\x04\0a\0b",
    b"\x13\x02\x1b[",
    b"\x17\x0d500101000000Z",
    b"\x18\x0f99991231235959Z",
    b"\x02\x01",
    b"\xa0\x03",
    b"\x83\xff\xff\xff",
];

/// Common name and organisation.
const NAME: &[u8] = b"\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04Corp\x31\x0d\x30\x0b\x06\x03\x55\x04\x0a\x13\x04Ltd.";

/// In PEM with its key, and in DER.
fn certificate() -> (String, Vec<u8>) {
    let params = CertificateParams::new(vec!["r.example".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    (pem, certificate.der().to_vec())
}

fn proxy(text: &str) -> Outcome {
    let parsed = Proxy::parse(&text.replace(":$$@", &format!(":{CANARY}@")), "HTTPS_PROXY");
    let proxy = match parsed {
        Ok(proxy) => proxy,
        Err(why) => return Outcome::refused(why),
    };
    let shown = proxy.to_string();
    let (url, _) = shown.split_once(" (from").unwrap();
    let again = Proxy::parse(url, "HTTPS_PROXY").unwrap();
    assert_eq!(
        (again.is_tls(), again.host(), again.port()),
        (proxy.is_tls(), proxy.host(), proxy.port())
    );
    assert_eq!(proxy.user().is_some(), proxy.authorization().is_some());
    let value = proxy.authorization().map_or("", Secret::expose);
    assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)));
    assert!(!format!("{proxy:?}").contains(CANARY));
    let outcome = Outcome::accepted().with((proxy.is_tls(), proxy.user().is_some()));
    outcome.saying(shown).saying(proxy.bypass(None))
}

fn no_proxy(text: &str) -> Outcome {
    let no_proxy = NoProxy::parse(text);
    let hosts = [
        "localhost",
        "a.example.com",
        "example.com",
        "10.1.2.3",
        "2001:db8::1",
        "x",
    ];
    let matches = hosts.map(|host| no_proxy.matches(host, 443));
    let setting = Proxies {
        https: Some(Proxy::parse("proxy:3128", "HTTPS_PROXY")),
        no_proxy,
        ..Proxies::default()
    };
    for (host, without) in hosts.iter().zip(matches) {
        let chosen = setting.choose(true, host, 443).unwrap();
        assert_eq!(chosen.is_none(), without || is_loopback(host), "{host}");
    }
    match matches.contains(&true) {
        true => Outcome::accepted().with(matches),
        false => Outcome::refused("none of them"),
    }
}

fn tunnel(input: &[u8]) -> Outcome {
    match Heard::parse(input) {
        Ok(Some(heard)) => Outcome::accepted().saying(format!("proxy answered {}", heard.shown())),
        Ok(None) => {
            assert!(input.len() < 16 << 10);
            Outcome::refused("not the whole of it")
        }
        Err(fault) => Outcome::refused(fault),
    }
}

fn secrets(text: &str) -> Outcome {
    let text = text.replace("@@", CANARY);
    let known = secrets_of(&format!("Bearer {CANARY}"));
    let hidden = hide(&text, &known);
    assert!(!hidden.contains(CANARY), "{hidden}");
    let shown = redact(&text);
    assert!(shown.len() <= text.len() * 4 + 3);
    Outcome::accepted().with(shown.matches("***").count().min(9))
}

/// A file with certificates and a key.
fn pems() -> impl Fn(&str) -> Outcome {
    let folder: OnceCell<TempDir> = OnceCell::new();
    move |text| {
        let folder = folder.get_or_init(|| tempfile::tempdir().unwrap());
        let path = folder.path().join("ca.pem");
        fs::write(&path, text).unwrap();
        let without_folder = |why: String| why.replace(&*folder.path().to_string_lossy(), "");
        let read = certificates::read(&path).map_err(without_folder);
        let peeked = certificates::peek(&path).map_err(without_folder);
        assert!(read.is_err() || peeked.is_ok(), "{peeked:?}");
        let identity = certificates::read_identity(&path, &path).map_err(without_folder);
        let outcome = match identity {
            Ok(_) => Outcome::accepted().with("identity"),
            Err(why) => Outcome::accepted().saying(why),
        };
        match read {
            Ok(found) => outcome.with(found.len().min(5)),
            Err(why) => Outcome::refused(why),
        }
    }
}

/// Certificate and the authority's: the mutated one in either place.
fn server_certificate(der: Vec<u8>) -> impl Fn(&[u8]) -> Outcome {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let good = CertificateDer::from(der);
    let trusting = Verifier::new(
        RootCertStore::empty().into(),
        vec![good.clone()],
        algorithms,
    );
    let other = Verifier::new(RootCertStore::empty().into(), Vec::new(), algorithms);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
    move |input| {
        let mutated = CertificateDer::from(input.to_vec());
        let name = ServerName::try_from("r.example").unwrap();
        let mut outcome: Option<Outcome> = None;
        for (verifier, leaf, above) in [
            (&trusting, &mutated, &[][..]),
            (&other, &mutated, &[good.clone()][..]),
            (&other, &good, &[mutated.clone()][..]),
        ] {
            let verified = verifier.verify_server_cert(leaf, above, &name, &[], now);
            assert!(
                verified.is_err() || *leaf == good,
                "another certificate is trusted"
            );
            let said = match verified {
                Ok(_) => Outcome::accepted(),
                Err(error) => match explain(&error, leaf, above, now) {
                    Some(untrusted) => Outcome::refused(untrusted),
                    None => Outcome::refused(error),
                },
            };
            outcome = Some(match outcome {
                Some(before) => before.with(said.way()),
                None => said,
            });
        }
        outcome.unwrap()
    }
}
