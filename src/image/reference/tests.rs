//! Tables of what is a host, a repository, a tag, a name, and what is not.

use super::*;

fn long(length: usize) -> String {
    "a".repeat(length)
}

#[test]
fn takes_hosts() {
    for (text, name, port) in [
        ("localhost", "localhost", None),
        ("registry", "registry", None),
        ("registry:5000", "registry", Some(5000)),
        ("Registry.Example:65535", "Registry.Example", Some(65535)),
        ("10.0.0.1:1", "10.0.0.1", Some(1)),
        ("[::1]", "[::1]", None),
        ("[2001:DB8::1]:5000", "[2001:DB8::1]", Some(5000)),
        ("a-b.c0:05000", "a-b.c0", Some(5000)),
    ] {
        let host = Host::parse(text).unwrap();
        assert_eq!((host.as_str(), host.name()), (text, name));
        assert_eq!(host.port(), port, "{text}");
    }
}

#[test]
fn the_hub_has_one_spelling() {
    for text in ["docker.io", "index.docker.io", "Docker.IO"] {
        let host = Host::parse(text).unwrap();
        assert_eq!((host.as_str(), host.is_docker_hub()), ("docker.io", true));
    }
    for text in [
        "docker.io:443",
        "registry-1.docker.io",
        "docker.io.example",
        "hub.docker.io",
    ] {
        let host = Host::parse(text).unwrap();
        assert_eq!((host.as_str(), host.is_docker_hub()), (text, false));
    }
}

#[test]
fn refuses_hosts_with_a_reason() {
    let too_long = format!("{}.example", long(250));
    for (text, why) in [
        ("", "empty"),
        (":5000", "empty"),
        ("host:", "no port"),
        ("host:0", "no port from 1 to 65535"),
        ("host:65536", "\"65536\" is no port"),
        ("host:+80", "no port"),
        ("host:80:80", "no port"),
        ("host:http", "no port"),
        ("my_host:80", "'_' cannot be"),
        ("ho st", "' ' cannot be"),
        ("user@host", "it has a user name in front"),
        ("höst", "'ö' cannot be"),
        ("-host", "begins and ends"),
        ("host-.example", "begins and ends"),
        ("host..example", "begins and ends"),
        (".", "begins and ends"),
        ("host.", "begins and ends"),
        ("::1", "empty"),
        ("[::1", "brackets"),
        ("[::1]x", "brackets"),
        ("[::1]x:80", "brackets"),
        ("[fe80::1%eth0]", "zone"),
        ("[1.2.3.4]", "IPv6"),
        ("[]:80", "IPv6"),
        (too_long.as_str(), "longer than 255"),
    ] {
        let message = Host::parse(text).unwrap_err().to_string();
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn takes_repositories() {
    let longest = long(255);
    for text in [
        "app",
        "team/app",
        "a.b/c_d/e__f/g-h/i---j",
        "0/1",
        longest.as_str(),
    ] {
        assert_eq!(Repository::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn refuses_repositories_with_a_reason() {
    let too_long = long(256);
    for (text, why) in [
        ("", "empty"),
        ("/app", "between slashes is empty"),
        ("app/", "between slashes is empty"),
        ("a//b", "between slashes is empty"),
        ("Team/app", "must be lower-case"),
        ("team/appÄ", "must be lower-case"),
        ("a..b", "\"..\" cannot join"),
        ("a___b", "\"___\" cannot join"),
        ("a._b", "\"._\" cannot join"),
        ("a-_b", "\"-_\" cannot join"),
        ("_", "begins and ends"),
        ("-a", "begins and ends"),
        ("a.", "begins and ends"),
        ("..", "begins and ends"),
        ("a/../b", "begins and ends"),
        ("a b", "' ' cannot be"),
        ("a:b", "':' cannot be"),
        ("a\u{1b}[31m", "'\\u{1b}' cannot be"),
        (too_long.as_str(), "longer than 255"),
    ] {
        let message = Repository::parse(text).unwrap_err().to_string();
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn a_path_below_a_prefix_keeps_the_limit() {
    let prefix = Repository::parse(&long(200)).unwrap();
    let name = |length| Repository::parse(&long(length)).unwrap();
    assert_eq!(
        name(54).under(Some(&prefix)).unwrap().as_str().len(),
        MAX_REPOSITORY
    );
    assert!(name(55).under(Some(&prefix)).is_err());
    assert_eq!(name(55).under(None).unwrap(), name(55));
}

#[test]
fn takes_and_refuses_tags() {
    let longest = long(128);
    for text in ["latest", "1.2", "_", "V1.0-rc.1__x", longest.as_str()] {
        assert_eq!(Tag::parse(text).unwrap().as_str(), text);
    }
    let too_long = long(129);
    for (text, why) in [
        ("", "empty"),
        (".1", "begins with"),
        ("-1", "begins with"),
        ("1+build", "'+' cannot be"),
        ("a/b", "'/' cannot be"),
        ("é", "'é' cannot be"),
        (too_long.as_str(), "longer than 128"),
    ] {
        let message = Tag::parse(text).unwrap_err().to_string();
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn fills_in_what_a_name_leaves_out() {
    for (text, host, repository, tag) in [
        ("nginx", "docker.io", "library/nginx", None),
        ("nginx:1.25", "docker.io", "library/nginx", Some("1.25")),
        ("team/app", "docker.io", "team/app", None),
        (
            "index.docker.io/nginx:a",
            "docker.io",
            "library/nginx",
            Some("a"),
        ),
        (
            "docker.io/library/nginx",
            "docker.io",
            "library/nginx",
            None,
        ),
        ("localhost", "docker.io", "library/localhost", None),
        ("localhost/app", "localhost", "app", None),
        ("localhost:5000/app:1", "localhost:5000", "app", Some("1")),
        ("host.example/app", "host.example", "app", None),
        ("Host/app", "Host", "app", None),
        ("[::1]:5000/a/b:c", "[::1]:5000", "a/b", Some("c")),
        ("host:5000/a", "host:5000", "a", None),
    ] {
        let found = Reference::parse(text).unwrap();
        assert_eq!(found.host.as_str(), host, "{text}");
        assert_eq!(found.repository.as_str(), repository, "{text}");
        assert_eq!(found.tag.as_ref().map(Tag::as_str), tag, "{text}");
        assert_eq!(found.digest, None, "{text}");
    }
}

#[test]
fn a_digest_stands_behind_the_name() {
    let digest = Digest::of(b"");
    let found = Reference::parse(&format!("nginx:1.25@{digest}")).unwrap();
    assert_eq!(found.tag.unwrap().as_str(), "1.25");
    assert_eq!(found.digest, Some(digest));
}

#[test]
fn refuses_names_with_a_reason() {
    let id = Digest::of(b"").encoded().to_owned();
    let digest = Digest::of(b"").to_string();
    for (text, why) in [
        ("", "empty"),
        ("Nginx", "must be lower-case"),
        ("docker.io/Team/app", "must be lower-case"),
        (id.as_str(), "64 hex digits"),
        (digest.as_str(), "it is a digest"),
        ("nginx:", "is not a tag: it is empty"),
        ("nginx@", "no digest"),
        ("nginx@sha256:abc", "64 lower-case hex"),
        ("host.example/", "repository: it is empty"),
        ("host.example:99999/a", "no port"),
        ("<none>:<none>", "'<' cannot be"),
        ("a/b:c/d", "':' cannot be"),
    ] {
        let message = Reference::parse(text).unwrap_err().to_string();
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn a_login_before_a_host_is_not_repeated() {
    for text in ["me:secret@r.example:5000", "secret@[::1]", "[::1:secret@00"] {
        let message = Host::parse(text).unwrap_err().to_string();
        assert!(message.contains("user name in front"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn what_is_quoted_is_bounded_and_harmless() {
    let message = Repository::parse(&"\u{1b}".repeat(5000))
        .unwrap_err()
        .to_string();
    assert!(message.len() < 1000, "{}", message.len());
    assert!(!message.chars().any(char::is_control), "{message}");
}

#[test]
fn the_hub_keeps_single_names_in_library() {
    let hub = Host::parse("docker.io").unwrap();
    let other = Host::parse("localhost").unwrap();
    let repository = |text| Repository::parse(text).unwrap();
    for (host, text, on, familiar) in [
        (&hub, "nginx", "library/nginx", "nginx"),
        (&hub, "library/nginx", "library/nginx", "nginx"),
        (&hub, "library/a/b", "library/a/b", "library/a/b"),
        (&hub, "team/app", "team/app", "team/app"),
        (&other, "nginx", "nginx", "nginx"),
        (&other, "library/nginx", "library/nginx", "library/nginx"),
    ] {
        assert_eq!(repository(text).on(host).unwrap(), repository(on));
        assert_eq!(repository(text).familiar(host), repository(familiar));
    }
}
