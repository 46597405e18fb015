//! Settings of proxies, row by row.

use super::*;

/// The proxy as shown, and what it is told of us.
fn parsed(text: &str) -> Result<(String, Option<String>), String> {
    let proxy = Proxy::parse(text, "P")?;
    let told = proxy.authorization().map(|value| {
        let encoded = value.expose().strip_prefix("Basic ").unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    });
    assert_eq!(proxy.user().is_some(), told.is_some());
    assert!(!format!("{proxy:?}").contains("secret"), "{proxy:?}");
    Ok((proxy.to_string(), told))
}

#[test]
fn urls_of_proxies() {
    for (text, shown, told) in [
        ("http://proxy:3128", "http://proxy:3128", None),
        (
            "http://Proxy.Example:3128/",
            "http://proxy.example:3128",
            None,
        ),
        ("HTTP://proxy", "http://proxy:80", None),
        ("https://proxy", "https://proxy:443", None),
        ("proxy:3128", "http://proxy:3128", None),
        ("proxy", "http://proxy:80", None),
        (" http://proxy:1 ", "http://proxy:1", None),
        ("http://[::1]:3128", "http://[::1]:3128", None),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80", None),
        (
            "http://10.0.0.1:8080/path?x#y",
            "http://10.0.0.1:8080",
            None,
        ),
        (
            "http://me:secret@proxy:1",
            "http://proxy:1",
            Some("me:secret"),
        ),
        ("me:secret@proxy:1", "http://proxy:1", Some("me:secret")),
        ("http://me@proxy", "http://proxy:80", Some("me:")),
        ("http://:secret@proxy", "http://proxy:80", Some(":secret")),
        ("http://@proxy", "http://proxy:80", None),
        (
            "http://dom%5Cme:se%3Acr%40et%2F@proxy",
            "http://proxy:80",
            Some("dom\\me:se:cr@et/"),
        ),
        (
            "http://me:a:secret@b@proxy",
            "http://proxy:80",
            Some("me:a:secret@b"),
        ),
        (
            "http://me:gr%C3%BC%C3%9F@proxy",
            "http://proxy:80",
            Some("me:grüß"),
        ),
    ] {
        let expected = (format!("{shown} (from P)"), told.map(str::to_owned));
        assert_eq!(parsed(text), Ok(expected), "{text}");
    }
    for (text, why) in [
        ("socks5://me:secret@proxy", "socks is not supported"),
        ("SOCKS5H://proxy:1080", "socks is not supported"),
        ("ftp://me:secret@proxy", "neither http:// nor https://"),
        ("http://", "host is not legal"),
        ("http://:3128", "host is not legal"),
        ("http://a b", "host is not legal"),
        ("http://pro\u{202e}xy", "host is not legal"),
        ("http://[::1", "host is not legal"),
        ("http://[banana]:1", "host is not legal"),
        ("http://proxy:secret", "port is not legal"),
        ("http://proxy:65536", "port is not legal"),
        ("http://proxy:+1", "port is not legal"),
        ("http://me:secret%zz@proxy", "not percent-encoded"),
        ("http://me:secret%@proxy", "not percent-encoded"),
        ("http://me:secret%ff@proxy", "not percent-encoded"),
    ] {
        let problem = parsed(text).unwrap_err();
        assert!(
            problem.starts_with("P names no proxy") && problem.contains(why),
            "{text}: {problem}"
        );
        assert!(!problem.contains("secret"), "{problem}");
    }
}

#[test]
fn hosts_that_need_no_proxy() {
    for (setting, host, expected) in [
        ("", "a.example:443", false),
        (" , ,", "a.example:443", false),
        ("*", "a.example:443", true),
        ("b.example, *", "a.example:443", true),
        ("example.com", "example.com:443", true),
        ("example.com", "EXAMPLE.com.:443", true),
        ("Example.COM.", "example.com:443", true),
        ("example.com", "a.b.example.com:443", true),
        ("example.com", "notexample.com:443", false),
        ("example.com", "example.com.evil:443", false),
        (".example.com", "a.example.com:443", true),
        (".example.com", "example.com:443", true),
        (".example.com", "aexample.com:443", false),
        ("*.example.com", "a.b.example.com:443", true),
        ("*.example.com", "notexample.com:443", false),
        ("*example.com", "a.example.com:443", true),
        ("a.example,b.example", "b.example:443", true),
        (" a.example ,  b.example ", "b.example:443", true),
        ("a.example b.example", "b.example:443", true),
        ("example.com:5000", "example.com:5000", true),
        ("example.com:5000", "a.example.com:5000", true),
        ("example.com:5000", "example.com:443", false),
        ("example.com:banana", "example.com:443", false),
        ("example.com:", "example.com:443", false),
        ("10.1.2.3", "10.1.2.3:443", true),
        ("10.1.2.3", "10.1.2.30:443", false),
        ("10.1.2.3:5000", "10.1.2.3:5000", true),
        ("10.1.2.3:5000", "10.1.2.3:443", false),
        ("10.0.0.0/8", "10.200.3.4:443", true),
        ("10.0.0.0/8", "11.0.0.1:443", false),
        ("10.0.0.0/8", "10.example:443", false),
        ("192.168.1.64/26", "192.168.1.127:443", true),
        ("192.168.1.64/26", "192.168.1.128:443", false),
        ("0.0.0.0/0", "8.8.8.8:443", true),
        ("0.0.0.0/0", "[2001:db8::1]:443", false),
        ("10.0.0.0/33", "10.0.0.1:443", false),
        ("10.0.0.0/x", "10.0.0.1:443", false),
        ("10.0.0.0/8", "[::ffff:10.0.0.1]:443", true),
        ("2001:db8::1", "[2001:db8:0::1]:443", true),
        ("[2001:db8::1]", "[2001:db8::1]:443", true),
        ("[2001:db8::1]:5000", "[2001:db8::1]:5000", true),
        ("[2001:db8::1]:5000", "[2001:db8::1]:443", false),
        ("2001:db8::/32", "[2001:db8:ffff::1]:443", true),
        ("2001:db8::/32", "[2001:db9::1]:443", false),
        ("::/0", "[2001:db8::1]:443", true),
        ("registry", "registry:5000", true),
        ("registry", "registry.local:5000", false),
        ("local", "registry.local:5000", true),
        (".", "registry.local:5000", false),
        ("http://example.com", "example.com:443", false),
    ] {
        let (host, port) = split_port(host).unwrap();
        let found = NoProxy::parse(setting).matches(host, port.unwrap());
        assert_eq!(found, expected, "NO_PROXY={setting:?} {host}");
    }
}

#[test]
fn each_scheme_has_its_proxy() {
    let proxy = |name: &str| Proxy::parse(name, name);
    let mut proxies = Proxies {
        http: Some(proxy("one")),
        https: Some(proxy("two")),
        no_proxy: NoProxy::parse("inside.example"),
        explicit: None,
    };
    let chosen = |all: &Proxies, tls, host: &str| {
        let found = all.choose(tls, host, 443)?;
        Ok::<_, String>(found.map(|one| one.origin().to_owned()))
    };
    let ok = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(chosen(&proxies, false, "a.example"), ok("one"));
    assert_eq!(chosen(&proxies, true, "a.example"), ok("two"));
    for host in [
        "inside.example",
        "localhost",
        "a.localhost",
        "127.0.0.1",
        "::1",
    ] {
        assert_eq!(chosen(&proxies, true, host), Ok(None), "{host}");
    }

    for (host, name) in [
        ("localhost", "localhost"),
        ("[::1]", "::1"),
        ("Inside.Example", "inside.example"),
    ] {
        let proxy = Some(proxy("three").unwrap());
        let host = host.to_owned();
        proxies.explicit = Some(HostProxy { host, proxy });
        assert_eq!(chosen(&proxies, false, name), ok("three"));
        assert_eq!(chosen(&proxies, true, "a.example"), ok("two"));
    }
    let host = "a.example".to_owned();
    proxies.explicit = Some(HostProxy { host, proxy: None });
    assert_eq!(chosen(&proxies, true, "a.example"), Ok(None));
    assert_eq!(chosen(&proxies, true, "b.example"), ok("two"));

    // What is wrong is no trouble where it is not needed.
    proxies.https = Some(proxy("socks5://x"));
    assert!(
        chosen(&proxies, true, "b.example")
            .unwrap_err()
            .contains("socks")
    );
    assert_eq!(chosen(&proxies, true, "localhost"), Ok(None));
    assert_eq!(chosen(&proxies, false, "b.example"), ok("one"));
    proxies.http = None;
    assert_eq!(chosen(&proxies, false, "b.example"), Ok(None));
}
