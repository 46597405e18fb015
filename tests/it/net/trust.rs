//! Certificates: whom to trust, and what is said when one is not trusted.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hoist::net::{Failure, FailureKind, Http, Response, Roots, Settings};
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use super::{assert_failure, get, http, impatient, trusting};
use crate::support::scripted::{Scripted, answer, on};
use crate::support::tls::{Authority, Identity};

#[test]
fn trust_comes_from_files_with_any_number_of_certificates() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let both = dir.path().join("both.pem");
    fs::write(&both, format!("# mine\n{}\n{}", one.pem(), two.pem())).unwrap();
    let http = trusting(vec![both]);
    for authority in [&one, &two] {
        let config = authority.issue(&["127.0.0.1", "localhost"]).server();
        let server = Scripted::start_tls(config, [on("GET", "/").then(answer(200).body("hi"))]);
        let port = server.address().port();
        for host in ["127.0.0.1", "localhost"] {
            for _ in 0..3 {
                let response = get(&http, &format!("https://{host}:{port}/")).unwrap();
                assert_eq!(response.body, b"hi");
            }
        }
        assert_eq!(server.connections(), 2);
    }
}

/// The sessions of a server, and how often one was taken up again.
#[derive(Debug)]
struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    resumed: AtomicUsize,
}

impl Sessions {
    fn count(&self, found: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let resumed = usize::from(found.is_some());
        self.resumed.fetch_add(resumed, Ordering::SeqCst);
        found
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.kept.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.count(self.kept.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.count(self.kept.take(key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[test]
fn later_connections_take_up_the_session_of_earlier_ones() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("tests");
    let identity = authority.issue(&["127.0.0.1"]);
    for version in [&TLS12, &TLS13] {
        let sessions = Arc::new(Sessions {
            kept: ServerSessionMemoryCache::new(64),
            resumed: AtomicUsize::new(0),
        });
        let mut config = (*identity.server_with(&[], None, &[version])).clone();
        config.session_storage = Arc::clone(&sessions) as Arc<dyn StoresServerSessions>;
        let server = Scripted::start_tls(Arc::new(config), [on("GET", "/").then(answer(200))]);
        let http = trusting(vec![authority.write(dir.path())]);
        for _ in 0..4 {
            assert_eq!(get(&http, &server.url("/")).unwrap().status, 200);
            server.hang_up();
        }
        let resumed = sessions.resumed.load(Ordering::SeqCst);
        assert_eq!((server.connections(), resumed), (4, 3), "{version:?}");
    }
}

#[test]
fn roots_are_read_when_a_host_needs_them_and_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("roots.pem");
    let authority = Authority::new("tests");
    let identity = authority.issue(&["127.0.0.1"]);
    let plain = Scripted::start([on("GET", "/").then(answer(200))]);
    for named in [false, true] {
        fs::write(&path, Authority::new("stranger").pem()).unwrap();
        let settings = Settings {
            roots: match named {
                true => Roots::named(Some(path.clone()), Vec::new()),
                false => Roots::found(vec![path.clone()], Vec::new()),
            },
            ..Settings::default()
        };
        let checked = Http::new(&settings).unwrap();
        checked.check(&plain.url("/")).unwrap();
        get(&checked, &plain.url("/")).unwrap();
        fs::write(&path, authority.pem()).unwrap();
        let used = Http::new(&settings.clone()).unwrap();
        assert_eq!(ask(&identity, &used).unwrap().status, 200);
        fs::remove_file(&path).unwrap();
        for http in [checked, Http::new(&settings).unwrap()] {
            assert_eq!(ask(&identity, &http).unwrap().status, 200);
        }
    }
}

fn ask(identity: &Identity, http: &Http) -> Result<Response, Failure> {
    let server = Scripted::start_tls(identity.server(), [on("GET", "/").then(answer(200))]);
    get(http, &server.url("/"))
}

#[test]
fn a_certificate_that_is_not_trusted_says_why() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("tests");
    let http = trusting(vec![authority.write(dir.path())]);
    let year = rcgen::date_time_ymd;
    let local = ["127.0.0.1"];
    let cases = [
        (
            Authority::new("stranger").issue(&local),
            "certificate is signed by an unknown issuer, stranger",
        ),
        (
            Identity::self_signed(&local),
            "certificate is self-signed, by server, and not trusted",
        ),
        (
            authority.issue_with(&local, |params| params.not_after = year(2021, 5, 6)),
            "certificate has expired on Thu, 06 May 2021 00:00:00 GMT, ",
        ),
        (
            authority.issue_with(&local, |params| params.not_before = year(3021, 5, 6)),
            "certificate is not valid before Sun, 06 May 3021",
        ),
        (
            authority.issue(&["other.example", "10.1.2.3"]),
            "certificate is for other.example, 10.1.2.3, not for 127.0.0.1",
        ),
        (authority.issue(&[]), "certificate names no host"),
    ];
    for (identity, sentence) in cases {
        assert_failure(ask(&identity, &http), FailureKind::Trust, sentence);
        let careless = Settings {
            insecure: true,
            ..Settings::default()
        };
        assert_eq!(
            ask(&identity, &Http::new(&careless).unwrap())
                .unwrap()
                .status,
            200
        );
    }
}

#[test]
fn a_self_signed_certificate_can_be_trusted_as_it_is() {
    let dir = TempDir::new().unwrap();
    let identity = Identity::self_signed(&["127.0.0.1"]);
    let (certificate, _) = identity.write(dir.path());
    let http = trusting(vec![certificate]);
    assert_eq!(ask(&identity, &http).unwrap().status, 200);
    let elsewhere = Identity::self_signed(&["other.example"]);
    let (other, _) = elsewhere.write(dir.path());
    let strict = trusting(vec![other]);
    assert_failure(
        ask(&elsewhere, &strict),
        FailureKind::Trust,
        "not for 127.0.0.1",
    );
}

#[test]
fn http_and_https_are_told_apart() {
    let plain = Scripted::start([on("GET", "/").then(answer(200))]);
    let url = format!("https://{}/", plain.address());
    assert_failure(get(&http(), &url), FailureKind::Tls, "not TLS");
    let config = Authority::new("tests").issue(&["127.0.0.1"]).server();
    let secure = Scripted::start_tls(config, [on("GET", "/").then(answer(200))]);
    let wrong = format!("http://{}/", secure.address());
    assert_failure(
        get(&http(), &wrong),
        FailureKind::Malformed,
        "the answer is TLS",
    );
}

#[test]
fn a_silent_handshake_ends_in_time() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    assert_failure(
        get(&impatient(), &url),
        FailureKind::Connect,
        "TLS handshake",
    );
}

#[test]
fn a_ca_file_that_is_none_is_named() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let broken = "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n";
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (path, part) in [
        (dir.path().join("missing.pem"), "no such file"),
        (dir.path().to_owned(), "is a directory"),
        (write("empty.pem", ""), "holds no certificate"),
        (write("text.pem", "hello\n"), "holds no certificate"),
        (write("broken.pem", broken), "not readable as PEM"),
        (write("wrong.pem", wrong), "holds no usable certificate"),
        (Path::new("/dev/zero").to_owned(), "larger than"),
    ] {
        let settings = Settings {
            ca_certs: vec![path.clone()],
            ..Settings::default()
        };
        let problem = Http::new(&settings).err().unwrap();
        assert!(problem.contains(part), "{problem}");
        assert!(problem.contains(path.to_str().unwrap()), "{problem}");
    }
}
