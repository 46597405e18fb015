//! Names that do not resolve, for a while or at all.
#![cfg(target_os = "linux")]

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::Path;

use tempfile::tempdir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, hoist};
use crate::support::names::{Names, Service};
use crate::support::proxy::{Proxy, Up};
use crate::support::pushing::read_back;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Scripted, answer, on};
use crate::support::waiting::wait_until;

const HOST: &str = "registry.test";

/// To a registry that goes by a name.
fn push(names: &Names, source: &Path, port: impl Display) -> Command {
    let push = hoist(["push", "-o", "json", "--plain-http", "--progress", "plain"])
        .arg(source)
        .arg(format!("{HOST}:{port}/app:1"));
    names.given_to(push)
}

fn refused(service: Service) -> &'static str {
    match service {
        Service::Knows => "registry.test does not resolve: name or service not known",
        Service::Away => "registry.test does not resolve: temporary failure in name resolution",
    }
}

#[test]
fn a_name_that_does_not_resolve_yet_is_waited_for() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 5_000)]);
    for service in Service::ALL {
        let Some(names) = Names::new(service) else {
            return;
        };
        let registry = Registry::start(Kind::Serve);
        let mut running = push(&names, dir.path(), registry.address().port()).spawn();
        running.wait_for_stderr(refused(service));
        names.know(HOST, Ipv4Addr::LOCALHOST);
        let output = running.wait().expect_code(0);
        read_back(&registry, &output.json());
    }
}

/// As long as connections are made nobody asks for the name again.
#[test]
fn a_name_that_is_gone_in_the_middle_is_waited_for() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 3_000_000)]);
    let Some(names) = Names::new(Service::Away) else {
        return;
    };
    names.know(HOST, Ipv4Addr::LOCALHOST);
    let registry = Registry::start(Kind::Serve);
    let mut proxy = Proxy::to(registry.address());
    proxy.slow_down(2_000_000);
    let mut running = push(&names, dir.path(), proxy.address().port()).spawn();
    wait_until(|| proxy.bytes(Up) >= 500_000);
    names.forget();
    proxy.go_away();
    proxy.hang_up();
    running.wait_for_stderr(refused(Service::Away));
    proxy.slow_down(0);
    proxy.come_back();
    names.know(HOST, Ipv4Addr::LOCALHOST);
    let output = running.wait().expect_code(0);
    let report = output.json();
    read_back(&registry, &report);
    // What arrived before is not sent again.
    assert!(report["bytes"]["resumed"].as_u64().unwrap() > 0, "{output}");
}

#[test]
fn a_token_service_whose_name_does_not_resolve_yet_is_waited_for() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 5_000)]);
    let Some(names) = Names::new(Service::Away) else {
        return;
    };
    names.know(HOST, Ipv4Addr::LOCALHOST);
    let registry = Registry::start(Kind::Serve);
    let token = answer(200).body(r#"{"token": "t", "expires_in": 300}"#);
    let service = Scripted::start([on("GET", "/token").then(token)]);
    let port = service.address().port();
    let realm = format!("Bearer realm=\"http://tokens.test:{port}/token\",service=\"s\"");
    let challenge = answer(401).header("WWW-Authenticate", realm);
    let first = on("*", "/v2/").times(1).then(challenge);
    let server = Scripted::before(registry.address(), [first]);
    let mut running = push(&names, dir.path(), server.address().port()).spawn();
    running.wait_for_stderr("tokens.test does not resolve: temporary failure");
    names.know("registry.test tokens.test", Ipv4Addr::LOCALHOST);
    let output = running.wait().expect_code(0);
    read_back(&registry, &output.json());
    assert_eq!(service.requests().len(), 1, "{output}");
}

#[test]
fn a_name_that_never_resolves_is_named() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 5_000)]);
    for service in Service::ALL {
        let Some(names) = Names::new(service) else {
            return;
        };
        let push = push(&names, dir.path(), 5000).args(["--retries", "0"]);
        let output = push.run().expect_code(5);
        let error = &output.json()["images"][0]["error"];
        assert_eq!(error["kind"], "unreachable", "{output}");
        let message = error["message"].as_str().unwrap();
        let expected = format!("cannot connect to {HOST}:5000: {}", refused(service));
        assert!(message.ends_with(&expected), "{message}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.starts_with("check the name and"), "{hint}");
    }
}
