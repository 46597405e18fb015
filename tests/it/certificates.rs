//! Certificates of servers and of clients, good ones and every kind of bad one: what a push says, with
//! which code it ends, and where certificates come from.

mod clients;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command as Spawn, Stdio};
use std::sync::Arc;

use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};
use rustls::ServerConfig;
use tempfile::TempDir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, Output, hoist};
use crate::support::programs::program;
use crate::support::scripted::{Scripted, answer, on};
use crate::support::tls::{Authority, Identity, server_showing};

const LOCAL: [&str; 2] = ["127.0.0.1", "localhost"];

/// A folder with one image, an authority, and its certificate as a file.
struct Scene {
    dir: TempDir,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = ImageSpec::new("app:1").layer(1, 2_000);
        layout(&dir.path().join("image"), &[image]);
        let authority = Authority::new("tests");
        authority.write(dir.path());
        Self { dir, authority }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn ca(&self) -> String {
        self.path("authority.pem")
    }

    /// `hoist push -o json --retries 0 OPTIONS… image HOST:PORT/t/app:1`, at home in this folder.
    fn push_to(&self, address: SocketAddr, options: &[&str]) -> Command {
        let first = ["push", "-o", "json", "--retries", "0"];
        hoist(first.iter().chain(options))
            .arg(self.path("image"))
            .arg(format!("{address}/t/app:1"))
            .env("HOME", self.dir.path())
    }

    /// As little of a registry as a push of an image that is there already needs.
    fn registry(&self, config: Arc<ServerConfig>) -> Scripted {
        let index = fs::read_to_string(self.path("image/index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        let there = answer(200).header("Docker-Content-Digest", digest);
        Scripted::start_tls(config, [on("HEAD", "/v2/t/app/manifests/").then(there)])
    }

    fn push(&self, config: Arc<ServerConfig>, options: &[&str]) -> Output {
        let server = self.registry(config);
        self.push_to(server.address(), options).run()
    }

    /// In the folder `name`, so that several can lie beside one another.
    fn write(&self, name: &str, identity: &Identity) -> (String, String) {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = identity.write(&folder);
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        (text(certificate), text(key))
    }

    /// The folder of `certs.d` for this registry, in the user's home.
    fn certs_d(&self, address: SocketAddr) -> PathBuf {
        let folder = self.home_certs_d().join(address.to_string());
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn home_certs_d(&self) -> PathBuf {
        self.dir.path().join(".config/containers/certs.d")
    }
}

#[track_caller]
fn assert_unreachable(out: Output, says: &str, hint: &str) -> Output {
    let out = out.expect_code(5);
    let report = out.json();
    let error = &report["images"][0]["error"];
    assert_eq!(error["kind"], "unreachable", "{out}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(says), "no {says:?}: {out}");
    let tried = error["hint"].as_str().unwrap_or_default();
    assert!(tried.contains(hint), "no {hint:?}: {out}");
    assert!(
        out.stderr.contains(&format!("try: {tried}\n")) || hint.is_empty(),
        "{out}"
    );
    out
}

#[track_caller]
fn assert_usage(out: Output, says: &str) {
    let out = out.expect_code(2).expect_stderr(says);
    assert_eq!(out.json()["outcome"], "usage", "{out}");
}

#[test]
fn every_fault_of_a_certificate_has_its_sentence() {
    let scene = Scene::new();
    let year = rcgen::date_time_ymd;
    let issue = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let identity = scene.authority.issue_with(&LOCAL, |params| change(params));
        identity.server()
    };
    let between = Authority::new("far root").delegate("in between");
    let behind = between.issue(&LOCAL);
    let below = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let out = scene.authority.delegate_with("old one", change);
        out.issue(&LOCAL)
            .server_with(&[out.der()], None, rustls::ALL_VERSIONS)
    };
    let cases = [
        (
            Authority::new("stranger").issue(&LOCAL).server(),
            "signed by an unknown issuer, stranger",
            "--ca-cert FILE",
        ),
        (
            behind.server_with(&[between.der()], None, rustls::ALL_VERSIONS),
            "signed by an unknown issuer, far root",
            "--ca-cert FILE",
        ),
        (
            behind.server(),
            "signed by an unknown issuer, in between",
            "--ca-cert FILE",
        ),
        (
            Identity::self_signed(&LOCAL).server(),
            "certificate is self-signed, by server, and not trusted",
            "--ca-cert FILE",
        ),
        // The name of one we know, the key of another.
        (
            Authority::new("tests").issue(&LOCAL).server(),
            "certificate is",
            "--insecure",
        ),
        (
            issue(&|params| params.not_after = year(2021, 5, 6)),
            ": certificate has expired on Thu, 06 May 2021 00:00:00 GMT, ",
            "renew it, or set this machine's clock, which says ",
        ),
        (
            issue(&|params| params.not_before = year(3021, 5, 6)),
            "certificate is not valid before Sun, 06 May 3021",
            "clock, which says ",
        ),
        (
            below(&|params| params.not_after = year(2021, 5, 6)),
            ": certificate of its issuer old one has expired on Thu, 06 May 2021",
            "renew it",
        ),
        (
            below(&|params| params.not_before = year(3021, 5, 6)),
            ": certificate of its issuer old one is not valid before Sun, 06 May 3021",
            "clock, which says ",
        ),
        (
            scene
                .authority
                .issue(&["registry.example", "10.1.2.3"])
                .server(),
            "certificate is for registry.example, 10.1.2.3, not for 127.0.0.1",
            "registry.example as the registry's name",
        ),
        (
            scene
                .authority
                .issue(&["a.b", "b.b", "c.b", "d.b", "e.b", "f.b", "g.b"])
                .server(),
            "e.b and 2 more, not for 127.0.0.1",
            "",
        ),
        (
            scene.authority.issue(&[]).server(),
            "certificate names no host (it has no subjectAltName), so is not for 127.0.0.1",
            "a certificate with 127.0.0.1 as subjectAltName",
        ),
        (
            issue(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "certificate is not meant for servers",
            "server authentication",
        ),
        (
            issue(&|params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }),
            "certificate is not acceptable: ",
            "a new certificate",
        ),
        (
            server_showing(b"no certificate".to_vec()),
            "certificate is not acceptable: it cannot be read",
            "a new certificate",
        ),
    ];
    for (config, says, hint) in cases {
        let ca = scene.ca();
        let out = scene.push(Arc::clone(&config), &["--ca-cert", &ca]);
        let out = assert_unreachable(out, says, hint);
        assert!(out.elapsed.as_secs() < 20, "{out}");
    }
}

/// Runs openssl in the scene's folder.
#[track_caller]
fn openssl(scene: &Scene, line: &str) {
    let program = program("openssl").unwrap();
    let ran = Spawn::new(program)
        .args(line.split_whitespace())
        .current_dir(scene.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn certificates_that_openssl_makes_are_judged_too() {
    if program("openssl").is_none() {
        return;
    }
    let scene = Scene::new();
    openssl(
        &scene,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /O=Corp/CN=Old",
    );
    for (options, says) in [
        ("-days 2", "X.509 version 3"),
        (
            "-days 2 -sha1 -extfile names.cnf",
            "certificate is not acceptable",
        ),
    ] {
        fs::write(scene.path("names.cnf"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        openssl(
            &scene,
            "req -newkey rsa:2048 -nodes -keyout s.key -out s.csr -subj /CN=server",
        );
        openssl(
            &scene,
            &format!(
                "x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -outform der -out s.der {options}"
            ),
        );
        let config = server_showing(fs::read(scene.path("s.der")).unwrap());
        let out = scene.push(config, &["--ca-cert", &scene.path("ca.pem")]);
        assert_unreachable(out, says, "a new certificate");
    }
}

#[test]
fn authorities_come_from_options_variables_and_certs_d() {
    let scene = Scene::new();
    let config = scene.authority.issue(&LOCAL).server();
    let folder = scene.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(scene.path("folder/readme"), "not a certificate").unwrap();
    fs::copy(scene.ca(), scene.path("folder/5ed36f99.0")).unwrap();
    fs::write(scene.path("authority.der"), scene.authority.der()).unwrap();
    let other = Authority::new("other").pem();
    fs::write(scene.path("other.pem"), other).unwrap();

    let der = scene.path("authority.der");
    for options in [["--ca-cert", &scene.ca()], ["--ca-cert", &der]] {
        scene.push(Arc::clone(&config), &options).expect_code(0);
    }
    let server = scene.registry(config);
    let push = |options: &[&str]| scene.push_to(server.address(), options);
    push(&[])
        .env("SSL_CERT_FILE", scene.ca())
        .run()
        .expect_code(0);
    push(&[]).env("SSL_CERT_DIR", &folder).run().expect_code(0);
    let both = push(&[]).env("SSL_CERT_FILE", scene.path("other.pem"));
    both.clone()
        .env("SSL_CERT_DIR", format!(":{folder}"))
        .run()
        .expect_code(0);
    assert_unreachable(both.clone().run(), "unknown issuer, tests", "--ca-cert");
    both.args(["--ca-cert", &scene.ca()]).run().expect_code(0);

    assert_unreachable(push(&[]).run(), "unknown issuer, tests", "--ca-cert");
    let local = scene.certs_d(server.address());
    fs::write(local.join("broken.crt"), "-----BEGIN CERTIFICATE-----\n!").unwrap();
    fs::copy(scene.ca(), local.join("ca.crt")).unwrap();
    push(&["-v"])
        .run()
        .expect_code(0)
        .expect_stderr("broken.crt");
    fs::rename(local.join("ca.crt"), local.join("ca.pem")).unwrap();
    assert_unreachable(push(&[]).run(), "unknown issuer, tests", "--ca-cert");
}

#[test]
fn files_that_were_named_and_are_of_no_use_are_wrong_usage() {
    let scene = Scene::new();
    let free = SocketAddr::from(([127, 0, 0, 1], 9));
    fs::write(scene.path("text"), "hello").unwrap();
    fs::write(
        scene.path("broken"),
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
    )
    .unwrap();
    fs::create_dir(scene.path("empty")).unwrap();
    for (name, says) in [
        ("text", "holds no certificate"),
        ("broken", "not readable as PEM"),
        ("missing", "no such file"),
    ] {
        let path = scene.path(name);
        let out = scene.push_to(free, &[]).env("SSL_CERT_FILE", &path).run();
        assert_usage(out, &format!("SSL_CERT_FILE {path}: {says}"));
        let option = scene.push_to(free, &["--ca-cert", &path]).run();
        assert_usage(option, &format!("CA file {path}: {says}"));
    }
    for (name, says) in [
        ("empty", "holds no certificate"),
        ("missing", "no such file"),
    ] {
        let path = scene.path(name);
        let out = scene.push_to(free, &[]).env("SSL_CERT_DIR", &path).run();
        assert_usage(out, &format!("SSL_CERT_DIR {path}: {says}"));
    }
}

#[test]
fn damage_behind_the_first_root_is_found_before_a_host_is_asked_that_needs_them() {
    let scene = Scene::new();
    let damage = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----";
    let damaged = scene.path("damaged");
    fs::write(&damaged, scene.authority.pem() + damage).unwrap();
    // Longer than a label may be: no resolver asks anybody.
    let far = hoist(["push", "-o", "json", &scene.path("image")])
        .arg(format!("{}.example/t/app:1", "a".repeat(64)))
        .env("SSL_CERT_FILE", &damaged);
    let says = format!("SSL_CERT_FILE {damaged}: not readable as PEM");
    assert_usage(far.clone().run(), &says);
    // Whoever speaks http only reads no further than to the first.
    let plain = far.args(["--plain-http", "--retries", "0"]);
    plain.run().expect_code(5).expect_stderr("does not resolve");
}
