//! Pushes through proxies: real ones, and ones that answer badly. Which one is asked, what it is told,
//! what is said when it refuses.

mod refusals;

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, Output, hoist};
use crate::support::fronts::{nginx, tinyproxy};
use crate::support::pushing::read_back;
use crate::support::registry::{Kind, Registry, Setup, Tls, available};
use crate::support::scripted::{Scripted, answer, on};
use crate::support::tls::Authority;
use crate::support::tunnels::Tunnels;

/// A folder with an image of a 3 MiB layer and a small one.
fn image() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let spec = ImageSpec::new("app:1").layer(1, 3 << 20).layer(2, 3_000);
    layout(dir.path(), &[spec]);
    dir
}

fn push(source: &TempDir, host: impl std::fmt::Display, options: &[&str]) -> Command {
    let first = ["push", "-o", "json", "--retries", "0"];
    hoist(first.iter().chain(options))
        .arg(source.path())
        .arg(format!("{host}/t/app:1"))
}

/// A configuration file in which `host` has this proxy.
fn config(dir: &TempDir, host: impl std::fmt::Display, proxy: &str) -> String {
    let path = dir.path().join("config.json");
    let sections = serde_json::json!({"registries": {host.to_string(): {"proxy": proxy}}});
    fs::write(&path, sections.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn pushed(out: Output) -> Output {
    let out = out.expect_code(0);
    assert_eq!(out.json()["images"][0]["status"], "pushed", "{out}");
    out
}

#[track_caller]
fn unreachable(out: Output, says: &[&str], hint: &str) {
    let out = out.expect_code(5);
    let error = &out.json()["images"][0]["error"];
    assert_eq!(error["kind"], "unreachable", "{out}");
    let message = error["message"].as_str().unwrap();
    for part in says {
        assert!(message.contains(part), "no {part:?}: {out}");
    }
    let tried = error["hint"].as_str().unwrap_or_default();
    assert!(tried.contains(hint), "no {hint:?}: {out}");
}

#[test]
fn plain_http_goes_through_a_proxy_that_passes_requests_on() {
    let Some(proxy) = tinyproxy("ConnectPort 443\nBasicAuth me secret") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let image = image();
    for kind in available() {
        let registry = Registry::start(kind);
        let host = registry.address();
        let url = format!("http://me:se%63ret@{}", proxy.address());
        let config = config(&dir, host, &url);
        let out = pushed(push(&image, host, &["-vv", "--config", &config]).run());
        read_back(&registry, &out.json());
        assert!(
            !out.stderr.contains("secret") && !out.stderr.contains("se%63"),
            "{out}"
        );
        let log = proxy.log();
        assert!(
            log.contains(&format!("PUT http://{host}/v2/t/app/")),
            "{log}"
        );
        assert!(!log.contains("): CONNECT "), "{log}");
        // Nobody is asked but for the host that is named.
        let before = proxy.log().len();
        push(&image, host, &[])
            .env("HTTP_PROXY", &url)
            .run()
            .expect_code(0);
        assert_eq!(proxy.log().len(), before, "{}", proxy.log());
    }
}

#[test]
fn https_goes_through_a_tunnel() {
    let Some(proxy) = tinyproxy("BasicAuth me secret") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("tests");
    let ca = authority.write(dir.path());
    // Not a loopback address, but leads there.
    let (certificate, key) = authority.issue(&["0.0.0.0", "localhost"]).write(dir.path());
    let image = image();
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let setup = Setup {
            tls: Some(Tls {
                certificate: certificate.clone(),
                key: key.clone(),
                ca: ca.clone(),
            }),
            ..Setup::default()
        };
        let registry = Registry::start_with(kind, setup);
        let host = SocketAddr::from(([0, 0, 0, 0], registry.address().port()));
        let ca = ca.to_str().unwrap();
        let url = format!("http://me:secret@{}", proxy.address());
        let push = || push(&image, host, &["--ca-cert", ca]);
        let out = pushed(push().env("HTTPS_PROXY", &url).run());
        read_back(&registry, &out.json());
        assert!(
            proxy.log().contains(&format!("CONNECT {host}")),
            "{}",
            proxy.log()
        );
        let before = proxy.log().len();
        for exception in ["0.0.0.0", "10.0.0.0/8, 0.0.0.0/32", &host.to_string(), "*"] {
            let direct = push()
                .env("HTTPS_PROXY", &url)
                .env("NO_PROXY", exception)
                .run();
            assert_eq!(
                direct.expect_code(0).json()["images"][0]["status"],
                "present"
            );
        }
        push().env("HTTP_PROXY", &url).run().expect_code(0);
        assert_eq!(proxy.log().len(), before, "{}", proxy.log());
    }
}

#[test]
fn a_proxy_that_only_makes_tunnels_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let image = image();
    for kind in available() {
        let tunnels = Tunnels::start(None);
        let registry = Registry::start(kind);
        let host = registry.address();
        let config = config(&dir, host, &format!("me:secret@{}", tunnels.address()));
        let out = pushed(push(&image, host, &["--plain-http", "--config", &config]).run());
        read_back(&registry, &out.json());
        let heads = tunnels.heads();
        let (asked, tunnel) = (&heads[0], &heads[1]);
        assert!(
            asked.starts_with(&format!("HEAD http://{host}/v2/t/app/")),
            "{asked}"
        );
        assert!(
            tunnel.starts_with(&format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n")),
            "{tunnel}"
        );
        for head in [asked, tunnel] {
            assert!(
                head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
                "{head}"
            );
            assert!(head.to_lowercase().contains("user-agent: hoist/"), "{head}");
        }
        let others = heads[1..]
            .iter()
            .filter(|head| !head.starts_with("CONNECT"));
        // Images are looked at in parallel, and each may find out by itself.
        assert!(others.count() < 3, "{heads:?}");
    }
}

#[test]
fn a_proxy_may_speak_tls_itself() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("tests");
    let ca = authority.write(dir.path());
    let ca = ca.to_str().unwrap();
    let identity = authority.issue(&["127.0.0.1", "localhost", "0.0.0.0"]);
    let tunnels = Tunnels::start(Some(identity.server()));
    let image = image();
    // https in https.
    let index = fs::read_to_string(image.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let there = answer(200).header("Docker-Content-Digest", digest);
    let server = Scripted::start_tls(identity.server(), [on("HEAD", "/v2/t/app/").then(there)]);
    let host = SocketAddr::from(([0, 0, 0, 0], server.address().port()));
    let url = format!("https://{}", tunnels.address());
    let push_there = || push(&image, host, &["--ca-cert", ca]).env("https_proxy", &url);
    push_there().run().expect_code(0);
    assert_eq!(tunnels.made(), server.connections());
    // Bodies too.
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let (certificate, key) = identity.write(dir.path());
        let setup = Setup {
            tls: Some(Tls {
                certificate,
                key,
                ca: ca.into(),
            }),
            ..Setup::default()
        };
        let registry = Registry::start_with(kind, setup);
        let far = SocketAddr::from(([0, 0, 0, 0], registry.address().port()));
        let options = ["--ca-cert", ca];
        let out = push(&image, far, &options).env("HTTPS_PROXY", &url).run();
        read_back(&registry, &pushed(out).json());
    }
    // A proxy that nobody vouches for.
    let out = push(&image, host, &[]).env("https_proxy", &url).run();
    unreachable(
        out,
        &[
            "proxy https://",
            "(from https_proxy): certificate is signed by an unknown issuer, tests",
        ],
        "--ca-cert",
    );
}

#[test]
fn nginx_in_front_ends_tls_and_limits_bodies() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["127.0.0.1"]);
    let dir = tempfile::tempdir().unwrap();
    let ca = authority.write(dir.path());
    let image = image();
    for kind in available() {
        let registry = Registry::start(kind);
        for lines in [
            "client_max_body_size 1m;",
            "client_max_body_size 0; proxy_request_buffering off;",
        ] {
            let Some(front) = nginx(&identity, registry.address(), lines) else {
                return;
            };
            let limited = lines.contains("1m");
            let destination = format!(
                "{}/{}/app:1",
                front.address(),
                if limited { "small" } else { "big" }
            );
            let out = hoist(["push", "-o", "json", "--ca-cert", ca.to_str().unwrap()])
                .arg(image.path())
                .arg(destination)
                .run();
            read_back(&registry, &pushed(out).json());
            assert_eq!(front.log().contains("\" 413 "), limited, "{}", front.log());
        }
    }
}
