//! Registries that answer badly, or something that is no registry: every push ends with the right
//! code, a sentence that says who answered what, and a report that says the same.

use std::net::TcpListener;
use std::time::Duration;

use hoist::{Destination, Operation, Outcome, Stop};
use tempfile::TempDir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Output, hoist};
use crate::support::proxy::{Down, Fault, Proxy, Up};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{
    Answer, Gate, Rule, Scripted, Then, answer, close_after, early, endless_headers, held, on, raw,
    wrong_length,
};

/// One image with two layers and a config.
fn image() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let spec = ImageSpec::new("app:1").layer(1, 200_000).layer(2, 3_000);
    layout(dir.path(), &[spec]);
    dir
}

/// What a push that fails for one reason has to say.
struct Trouble {
    code: i32,
    kind: &'static str,
    /// Part of the sentence on standard error and of the report's message.
    says: &'static str,
    /// Part of the `try:` line; none is to be there where this is empty.
    hint: &'static str,
}

fn refused(says: &'static str) -> Trouble {
    Trouble {
        code: 1,
        kind: "refused",
        says,
        hint: "",
    }
}

fn auth(says: &'static str, hint: &'static str) -> Trouble {
    Trouble {
        code: 4,
        kind: "auth",
        says,
        hint,
    }
}

fn unreachable(says: &'static str, hint: &'static str) -> Trouble {
    Trouble {
        code: 5,
        kind: "unreachable",
        says,
        hint,
    }
}

impl Trouble {
    fn trying(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// Pushes to `server` and looks at everything that comes out.
    #[track_caller]
    fn meets(&self, server: &Scripted, options: &[&str]) -> Output {
        self.meets_at(&server.address().to_string(), options)
    }

    #[track_caller]
    fn meets_at(&self, host: &str, options: &[&str]) -> Output {
        let source = image();
        let target = format!("{host}/t/app:1");
        let first = ["push", "-o", "json", "--retries", "0"];
        let out = hoist(first.iter().chain(options))
            .arg(source.path())
            .arg(&target)
            .run()
            .expect_code(self.code);
        let report = out.json();
        assert_eq!(report["exit_code"], self.code, "{out}");
        assert_eq!(report["outcome"], "failed", "{out}");
        let image = &report["images"][0];
        assert_eq!(image["status"], "failed", "{out}");
        assert_eq!(image["targets"][0]["name"], target.as_str(), "{out}");
        let error = &image["error"];
        assert_eq!(error["kind"], self.kind, "{out}");
        assert_eq!(error["side"], "registry", "{out}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(self.says), "no {:?}: {out}", self.says);

        let sentence = format!("error: push of {target} failed: {message}");
        assert!(out.stderr.contains(&sentence), "{out}");
        let tries: Vec<&str> = out
            .stderr
            .lines()
            .filter(|l| l.starts_with("try: "))
            .collect();
        match self.hint {
            "" => assert_eq!(tries, [""; 0], "{out}"),
            hint => assert!(tries.len() == 1 && tries[0].contains(hint), "{out}"),
        }
        let foul = |c: char| c.is_control() && c != '\n';
        assert!(!out.stderr.contains(foul), "{out}");
        assert!(out.elapsed < Duration::from_secs(30), "{out}");
        out
    }

    /// The same of a server that does one thing to every request.
    #[track_caller]
    fn meets_everywhere(&self, rules: impl IntoIterator<Item = Rule>) {
        self.meets(&Scripted::start(rules), &["--plain-http"]);
    }
}

fn everything(answer: Answer) -> [Rule; 1] {
    [on("*", "/").then(answer)]
}

fn html(status: u16, title: &str) -> Answer {
    let page =
        format!("<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>");
    answer(status)
        .header("Content-Type", "text/html")
        .body(page)
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
    answer(status)
        .header("Content-Type", "application/json")
        .body(body.to_string())
}

#[test]
fn a_web_page_is_no_registry() {
    refused("answered 200 OK where an upload begins, which is none")
        .meets_everywhere(everything(html(200, "Welcome to nginx!")));
    refused("answered 502 Bad Gateway").meets_everywhere(everything(html(502, "502 Bad Gateway")));
    refused("answered 404 Not Found: No such page")
        .meets_everywhere(everything(html(404, "No such page")));
    auth(
        "answered 403 Forbidden: Blocked by the firewall",
        "--username",
    )
    .meets_everywhere(everything(html(403, "Blocked by the firewall")));
}

#[test]
fn refusals_are_told_as_the_registry_says_them() {
    let start = |refusal: Answer| {
        [
            on("POST", "/v2/").then(refusal),
            on("*", "/").then(answer(404)),
        ]
    };
    auth("answered 401 Unauthorized", "--username").meets_everywhere(start(
        answer(401).header("WWW-Authenticate", "Basic realm=\"r\""),
    ));
    auth("the token service it names is neither http nor https", "").meets_everywhere(start(
        answer(401).header("WWW-Authenticate", "Bearer realm=\"ftp://t.invalid/\""),
    ));
    auth("answered 403 Forbidden: DENIED: read only", "--username").meets_everywhere(start(error(
        403,
        "DENIED",
        "read only",
    )));
    refused("answered 404 Not Found: NAME_UNKNOWN: no such project")
        .trying("create the repository or project")
        .meets_everywhere(start(error(404, "NAME_UNKNOWN", "no such project")));
    refused("answered 405 Method Not Allowed: UNSUPPORTED: the registry is read-only")
        .meets_everywhere(start(error(
            405,
            "UNSUPPORTED",
            "the registry is read-only",
        )));
    refused("answered 400 Bad Request: NAME_INVALID: bad [31mname").meets_everywhere(start(error(
        400,
        "NAME_INVALID",
        "bad\u{1b}[31mname",
    )));
    refused("answered 500 Internal Server Error").meets_everywhere(start(answer(500)));
    refused("answered 507 Insufficient Storage: UNKNOWN: no space left")
        .meets_everywhere(start(error(507, "UNKNOWN", "no space left")));
}

#[test]
fn pressure_is_told_as_such() {
    let pressed = |says| Trouble {
        code: 1,
        kind: "pressure",
        says,
        hint: "",
    };
    let for_long = Trouble {
        hint: "again in 60 minutes",
        ..pressed("answered 429 Too Many Requests and asks to wait 3600 s, longer than 5 minutes")
    };
    for_long.meets(
        &Scripted::start(everything(answer(429).header("Retry-After", "3600"))),
        &["--plain-http", "--retries", "2"],
    );
    pressed("answered 503 Service Unavailable").meets_everywhere(everything(answer(503)));
    pressed("answered 503 Service Unavailable (tried 2 times)").meets(
        &Scripted::start(everything(answer(503))),
        &["--plain-http", "--retries", "1"],
    );
}

#[test]
fn what_is_no_http_is_named() {
    unreachable("connection closed without an answer", "")
        .meets_everywhere([on("*", "/").then(close_after(0))]);
    refused("header is larger than").meets_everywhere([on("*", "/").then(endless_headers())]);
    refused("no answer from").meets_everywhere([on("*", "/").then(raw("SSH-2.0-OpenSSH_9.6\r\n"))]);
    refused("no answer from").meets_everywhere([on("*", "/").then(raw(vec![0_u8; 100_000]))]);
    unreachable("no answer from", "")
        .meets_everywhere([on("*", "/").then(wrong_length(answer(500).body("half"), 1000))]);
    let lies = answer(202)
        .header("Location", "/v2/t/app/blobs/uploads/1")
        .header("Content-Length", "banana");
    refused("no answer from").meets_everywhere(everything(lies));
}

#[test]
fn silence_is_cut_off() {
    let gate = Gate::new();
    for method in ["POST", "HEAD"] {
        let server = Scripted::start([
            on(method, "/v2/").then(held(&gate, answer(200))),
            on("HEAD", "/v2/").then(answer(404)),
            on("*", "/").then(answer(500)),
        ]);
        let options = ["--plain-http", "--stall-timeout", "300ms"];
        unreachable("no answer from", "").meets(&server, &options);
    }
    gate.open();
}

#[test]
fn what_no_image_waits_for_any_more_is_not_waited_for_either() {
    let gate = Gate::new();
    let server = Scripted::start([
        on("POST", "/v2/").then(answer(202).header("Location", "/v2/t/app/blobs/uploads/1")),
        on("PUT", "/v2/").nth(1).then(held(&gate, answer(201))),
        on("PUT", "/v2/").then(error(403, "DENIED", "read only")),
        on("*", "/").then(answer(404)),
    ]);
    let source = image();
    let target = format!("{}/t/app:1", server.address());
    let target = Destination::parse(&target, &|_| false).unwrap();
    let operation = Operation {
        linger: Duration::from_millis(200),
        ..Operation::new([source.path()], target)
    };
    let report = operation.run(&mut [], &Stop::default());
    gate.open();
    assert_eq!((report.outcome, report.exit_code), (Outcome::Failed, 4));
    let error = report.images[0].error.as_ref().unwrap().message.clone();
    let says = "answered 403 Forbidden: DENIED: read only";
    assert!(error.contains(says), "{error}");
    // Without an end to the waiting it would be the stall timeout, a minute.
    assert!(report.duration_ms < 30_000, "{}", report.duration_ms);
}

#[test]
fn an_upload_is_followed_only_where_it_may_go() {
    for (location, says) in [
        ("https://elsewhere.invalid/up", "elsewhere.invalid"),
        ("http://elsewhere.invalid/up", "elsewhere.invalid"),
        (
            "javascript:alert(1)",
            "its Location is neither http nor https",
        ),
        (
            "ftp://127.0.0.1/x",
            "its Location is neither http nor https",
        ),
        ("http://[::1", "its Location"),
        ("//", "its Location"),
        ("http://user:secret@elsewhere.invalid/up", "Location"),
        ("", "Location"),
    ] {
        eprintln!("Location: {location}");
        let server = Scripted::start([
            on("POST", "/v2/").then(answer(202).header("Location", location)),
            on("HEAD", "/v2/").then(answer(404)),
        ]);
        let source = image();
        let target = format!("{}/t/app:1", server.address());
        let out = hoist(["push", "-vv", "--retries", "0", "--plain-http"])
            .arg(source.path())
            .arg(&target)
            .run();
        assert!(matches!(out.code(), Some(1 | 5)), "{out}");
        let out = out.expect_stderr(&format!(
            "error: push of {target} failed: upload of sha256:"
        ));
        let last = out.stderr.lines().find(|line| line.starts_with("error: "));
        assert!(last.unwrap().contains(says), "{out}");
        assert!(!out.stderr.contains("secret"), "{out}");
    }
}

#[test]
fn a_location_that_is_nonsense_on_this_host_is_an_answer_like_any_other() {
    let server = Scripted::start([
        on("POST", "/v2/").then(answer(202).header("Location", "no/such place?a=b#c")),
        on("HEAD", "/v2/").then(answer(404)),
        on("*", "/").then(html(404, "No such page")),
    ]);
    refused("upload").meets(&server, &["--plain-http"]);
}

#[test]
fn redirects_end() {
    for status in [301, 302, 303, 307, 308] {
        let around = answer(status).header("Location", "/v2/around");
        refused("redirect").meets_everywhere(everything(around));
    }
    refused("answered 307").meets_everywhere(everything(answer(307)));
    let away = answer(307).header("Location", "https://elsewhere.invalid/");
    let server = Scripted::start(everything(away));
    let out = unreachable("elsewhere.invalid", "check the name").meets(&server, &["--plain-http"]);
    assert!(out.stderr.contains("elsewhere.invalid"), "{out}");
}

#[test]
fn a_proxy_in_the_way_limits_a_body() {
    let registry = Registry::start(Kind::Serve);
    let limit = || html(413, "413 Request Entity Too Large");
    let server = Scripted::before(
        registry.address(),
        [
            on("PUT", "/v2/")
                .containing("/blobs/uploads/")
                .then(early(0, limit(), Then::Close)),
            on("PATCH", "/v2/").then(early(0, limit(), Then::Close)),
        ],
    );
    // One after the other, the biggest first: smaller chunks are no advice for a small blob.
    refused("answered 413 Payload Too Large to")
        .trying("--chunk-size")
        .meets(&server, &["--jobs", "1"]);
    let everything = Scripted::before(
        registry.address(),
        [on("PUT", "/v2/").containing("/manifests/").then(limit())],
    );
    refused("upload of manifest t/app:1: registry answered 413").meets(&everything, &[]);
}

#[test]
fn a_registry_that_dies_is_told_wherever_it_does() {
    let registry = Registry::start(Kind::Serve);
    for (method, part, after) in [
        ("HEAD", "/v2/", 0),
        ("POST", "/v2/", 0),
        ("PUT", "/blobs/uploads/", 0),
        ("PUT", "/blobs/uploads/", 100_000),
        ("PUT", "/blobs/uploads/", u64::MAX),
        ("PUT", "/manifests/", 0),
        ("PUT", "/manifests/", u64::MAX),
    ] {
        eprintln!("{method} {part} {after}");
        let server = Scripted::before(
            registry.address(),
            [on(method, "/v2/").containing(part).then(close_after(after))],
        );
        let out = unreachable("no answer from", "").meets(&server, &["--plain-http"]);
        assert!(out.stderr.contains("connection"), "{out}");
    }
}

#[test]
fn a_registry_that_goes_away_for_good_is_told_once_it_is_gone() {
    let registry = Registry::start(Kind::Serve);
    for after in [0, 300, 50_000] {
        let mut proxy = Proxy::to(registry.address());
        proxy.arm(Fault::cut(Up).after(after).times(usize::MAX));
        let host = proxy.address().to_string();
        unreachable("no answer from", "").meets_at(&host, &[]);
        proxy.go_away();
        unreachable("connection refused", "start the registry here").meets_at(&host, &[]);
    }
    let proxy = Proxy::to(registry.address());
    proxy.arm(Fault::stall(Down).after(10).times(usize::MAX));
    let host = proxy.address().to_string();
    unreachable("no answer from", "").meets_at(&host, &["--stall-timeout", "300ms"]);
}

#[test]
fn nobody_there_and_nobody_known() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    unreachable("connection refused", "start the registry here").meets_at(&free.to_string(), &[]);
    unreachable("nowhere.invalid does not resolve", "check the name")
        .meets_at("nowhere.invalid", &[]);
}
