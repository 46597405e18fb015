//! Proxies that refuse, are none, or are not there: whose fault it is said to be.

use std::net::{SocketAddr, TcpListener};

use super::{config, image, push, pushed, unreachable};
use crate::support::command::Output;
use crate::support::fronts::tinyproxy;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Rule, Scripted, answer, close_after, on, raw};

#[test]
fn refusals_of_a_real_proxy_are_told_as_its_own() {
    let Some(proxy) = tinyproxy("ConnectPort 443\nBasicAuth me secret") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let image = image();
    let free = crate::support::proxy::Proxy::to(proxy.address());
    let nobody = {
        let mut gone = free;
        gone.go_away();
        gone.address()
    };
    let at = proxy.address();
    let named = format!("proxy http://{at} (from \"proxy\")");
    for (userinfo, options, says, hint) in [
        (
            "",
            &["--plain-http"][..],
            "wants a user and a password (407)",
            "in front of the host in \"proxy\"",
        ),
        (
            "me:hunter2@",
            &["--plain-http"],
            "refuses the user me (401)",
            "in front of the host in \"proxy\"",
        ),
        (
            "me:secret@",
            &["--plain-http"],
            "answers 500: it does not reach",
            "\"none\" as \"proxy\", if",
        ),
    ] {
        let config = config(&dir, nobody, &format!("http://{userinfo}{at}"));
        let options = [&["--config", &config][..], options].concat();
        let out = push(&image, nobody, &options).run();
        assert!(!out.stderr.contains("hunter2"), "{out}");
        unreachable(out, &[&named, says], hint);
    }
}

/// What a push over https to `registry.test` says through this proxy.
fn through(
    rules: impl IntoIterator<Item = Rule>,
    url: impl Fn(SocketAddr) -> String,
) -> (Scripted, Output) {
    let proxy = Scripted::start(rules);
    let image = image();
    let out = push(&image, "registry.test", &["-vv"])
        .env("HTTPS_PROXY", url(proxy.address()))
        .run();
    (proxy, out)
}

#[test]
fn a_proxy_that_makes_no_tunnel_is_told_from_the_registry() {
    let page = |status| answer(status).body("<html><title>Blocked by the firewall</title></html>");
    for (rule, says, hint) in [
        (
            on("CONNECT", "").then(page(407)),
            "wants a user and a password (407)",
            "in front of the host in HTTPS_PROXY",
        ),
        (
            on("CONNECT", "").then(page(403)),
            "refuses a tunnel to registry.test:443: 403 Scripted",
            "NO_PROXY=registry.test",
        ),
        (
            on("CONNECT", "").then(page(405)),
            "refuses a tunnel to registry.test:443: 405",
            "NO_PROXY=registry.test",
        ),
        (
            on("CONNECT", "").then(answer(302).header("Location", "http://login.test/")),
            "refuses a tunnel to registry.test:443: 302",
            "NO_PROXY",
        ),
        (
            on("CONNECT", "").then(page(502)),
            "answers 502 Scripted: it does not reach registry.test:443",
            "NO_PROXY=registry.test",
        ),
        (
            on("CONNECT", "").then(page(504)),
            "answers 504 Scripted: it does not reach registry.test:443",
            "NO_PROXY=registry.test",
        ),
        (
            on("CONNECT", "").then(close_after(0)),
            "connection closed instead of a tunnel",
            "check HTTPS_PROXY",
        ),
        (
            on("CONNECT", "").then(raw("SSH-2.0-OpenSSH_9.6\r\n")),
            "it is no http proxy",
            "check HTTPS_PROXY",
        ),
        (
            on("CONNECT", "").then(raw("HTTP/1.1 200 OK\r\n\r\n<html>")),
            "speaks where the host should",
            "check HTTPS_PROXY",
        ),
        (
            on("CONNECT", "").then(raw(format!(
                "HTTP/1.1 200 OK\r\nX: {}\r\n",
                "x".repeat(20_000)
            ))),
            "too long a header",
            "check HTTPS_PROXY",
        ),
        (
            on("CONNECT", "").then(raw("HTTP/1.1 200 OK\r\n\r\n")),
            "closed in the TLS handshake",
            "",
        ),
    ] {
        let (proxy, out) = through([rule], |at| format!("http://{at}/"));
        let named = format!("proxy http://{} (from HTTPS_PROXY)", proxy.address());
        let named = if hint.is_empty() {
            "registry.test".to_owned()
        } else {
            named
        };
        unreachable(
            out,
            &["cannot connect to registry.test: ", &named, says],
            hint,
        );
        assert!(
            proxy
                .requests()
                .iter()
                .all(|seen| seen.target == "registry.test:443")
        );
    }
    let refusal = || [on("CONNECT", "").then(answer(407))];
    let (proxy, out) = through(refusal(), |at| format!("http://me:hunter2@{at}"));
    assert!(!format!("{out}").contains("hunter2"), "{out}");
    unreachable(
        out,
        &["refuses the user me (407)"],
        "in front of the host in HTTPS_PROXY",
    );
    let told = proxy.requests()[0]
        .header("proxy-authorization")
        .map(str::to_owned);
    assert_eq!(told.as_deref(), Some("Basic bWU6aHVudGVyMg=="));
    let (_, plain) = through([on("CONNECT", "").then(answer(403))], |at| {
        format!("https://{at}")
    });
    unreachable(
        plain,
        &["proxy https://", "the answer is not TLS"],
        "check HTTPS_PROXY",
    );
}

#[test]
fn a_proxy_that_passes_nothing_on_is_told_from_the_registry() {
    let gone = answer(502).body("<html>");
    for (rule, says, hint) in [
        (
            on("*", "http://").then(answer(407)),
            "wants a user and a password (407)",
            "in front of the host in http_proxy",
        ),
        (
            on("*", "http://").then(gone),
            "answers 502: it does not reach registry.test:80",
            "NO_PROXY=registry.test",
        ),
    ] {
        let proxy = Scripted::start([rule]);
        let image = image();
        let at = proxy.address();
        let out = push(&image, "registry.test", &["--plain-http"])
            .env("http_proxy", at.to_string())
            .run();
        unreachable(
            out,
            &[&format!("proxy http://{at} (from http_proxy)"), says],
            hint,
        );
        let seen = &proxy.requests()[0];
        assert!(
            seen.target
                .starts_with("http://registry.test:80/v2/t/app/manifests/"),
            "{seen:?}"
        );
    }
    // The registry's own words stay its own.
    let proxy = Scripted::start([
        on("CONNECT", "").then(answer(403)),
        on("*", "http://").then(answer(403).body("no")),
    ]);
    let image = image();
    let out = push(&image, "registry.test", &["--plain-http"])
        .env("http_proxy", proxy.address().to_string())
        .run()
        .expect_code(4);
    out.expect_stderr(&format!(
        "registry answered 403 Forbidden through proxy http://{} (from http_proxy): no",
        proxy.address()
    ));
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let image = image();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let out = push(&image, "registry.test", &[])
        .env("ALL_PROXY", nobody.to_string())
        .run();
    let named = format!("proxy http://{nobody} (from ALL_PROXY): {nobody}: connection refused");
    unreachable(out, &[&named], "check ALL_PROXY");
    let unknown = push(&image, "registry.test", &[])
        .env("https_proxy", "nowhere.invalid:3128")
        .run();
    unreachable(
        unknown,
        &["(from https_proxy): nowhere.invalid does not resolve"],
        "check https_proxy",
    );
}

#[test]
fn settings_that_name_no_proxy_are_wrong_where_they_are_needed() {
    let dir = tempfile::tempdir().unwrap();
    let image = image();
    for (value, says) in [
        (
            "socks5://me:hunter2@127.0.0.1:1080",
            "socks is not supported",
        ),
        ("http://me:hunter2@127.0.0.1:port", "its port is not legal"),
        (
            "ftp://me:hunter2@host",
            "its URL begins with neither http:// nor https://",
        ),
    ] {
        let out = push(&image, "registry.test", &[])
            .env("HTTPS_PROXY", value)
            .run();
        assert!(!format!("{out}").contains("hunter2"), "{out}");
        out.expect_code(2).expect_stderr(&format!(
            "HTTPS_PROXY names no proxy that can be used: {says}"
        ));
        let file = config(&dir, "registry.test", value);
        let filed = push(&image, "registry.test", &["--config", &file]).run();
        assert!(!format!("{filed}").contains("hunter2"), "{filed}");
        filed.expect_code(2).expect_stderr(says);
        let registry = Registry::start(Kind::Serve);
        pushed(
            push(&image, registry.address(), &[])
                .env("ALL_PROXY", value)
                .run(),
        );
    }
    let none = config(&dir, "registry.test", "none");
    let out = push(&image, "registry.test", &["--config", &none])
        .env("HTTPS_PROXY", "socks5://x")
        .run();
    unreachable(out, &["registry.test does not resolve"], "");
}

#[test]
fn a_proxy_of_one_registry_is_bypassed_where_it_was_set() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let closed = Scripted::start([on("CONNECT", "").then(close_after(0))]);
    let settings = config(
        &dir,
        "registry.test",
        &format!("http://{}", closed.address()),
    );
    let out = push(&image, "registry.test", &["--config", &settings]).run();
    let hint = "check \"proxy\", or set \"none\" as \"proxy\" if it can be reached";
    unreachable(out, &["(from \"proxy\")"], hint);
}
