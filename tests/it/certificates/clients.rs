//! Certificates that clients show: who gets to see them, in which forms they come, what is said when
//! they are refused.

use std::fs;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};

use super::{LOCAL, Scene, assert_unreachable, assert_usage, openssl};
use crate::support::command::hoist;
use crate::support::fronts::nginx;
use crate::support::programs::program;
use crate::support::registry::{Kind, Registry, Setup, Tls};
use crate::support::tls::Authority;

#[test]
fn servers_that_want_a_client_certificate_get_one() {
    let scene = Scene::new();
    let identity = scene.authority.issue(&LOCAL);
    let asking = |version| identity.server_with(&[], Some(&scene.authority), &[version]);
    let year = rcgen::date_time_ymd;
    let client = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let good = scene.authority.issue_with(&["me"], client);
    let strange = Authority::new("stranger").issue_with(&["me"], client);
    let old = scene.authority.issue_with(&["me"], |params| {
        client(params);
        params.not_after = year(2021, 5, 6);
    });
    let (good, strange, old) = (
        scene.write("good", &good),
        scene.write("strange", &strange),
        scene.write("old", &old),
    );
    let both = scene.path("both.pem");
    let text = |path: &str| fs::read_to_string(path).unwrap();
    fs::write(&both, text(&good.1) + &text(&good.0)).unwrap();
    let ca = scene.ca();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = scene.registry(asking(version));
        let push = |pair: &[&str]| {
            let options = [&["--ca-cert", &ca][..], pair].concat();
            scene.push_to(server.address(), &options)
        };
        push(&["--client-cert", &good.0, "--client-key", &good.1])
            .run()
            .expect_code(0);
        push(&["--client-cert", &both]).run().expect_code(0);
        let none = push(&[]).run();
        assert_unreachable(none, "want", "--client-cert FILE and --client-key FILE");
        for ((certificate, key), says) in [
            (&strange, "the server refused the client certificate"),
            (&old, "client certificate: it has expired"),
        ] {
            let out = push(&["--client-cert", certificate, "--client-key", key]).run();
            assert_unreachable(out, says, "--client-cert");
        }

        let local = scene.certs_d(server.address());
        fs::copy(&good.0, local.join("client.cert")).unwrap();
        let half = push(&[]).run();
        assert_usage(half, "client.key is missing beside it");
        fs::copy(&good.1, local.join("client.key")).unwrap();
        push(&[]).run().expect_code(0);
        fs::remove_file(local.join("client.cert")).unwrap();
        assert_usage(push(&[]).run(), "client.cert is missing beside it");
    }
}

#[test]
fn keys_are_read_in_every_form() {
    if program("openssl").is_none() {
        return;
    }
    let scene = Scene::new();
    let server = scene.registry(scene.authority.issue(&LOCAL).server_with(
        &[],
        Some(&scene.authority),
        rustls::ALL_VERSIONS,
    ));
    let ca = scene.ca();
    let push = |certificate: &str, key: &str| {
        let options = [
            "--ca-cert",
            &ca,
            "--client-cert",
            certificate,
            "--client-key",
            key,
        ];
        scene.push_to(server.address(), &options).run()
    };
    for (name, algorithm) in [
        ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        ("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        ("ed", "-algorithm ED25519"),
    ] {
        let key = scene.path(&format!("{name}.key"));
        openssl(&scene, &format!("genpkey {algorithm} -out {name}.key"));
        let made = KeyPair::from_pem(&fs::read_to_string(&key).unwrap()).unwrap();
        let (certificate, _) = scene.write(name, &scene.authority.issue_for(&["me"], made));
        push(&certificate, &key).expect_code(0);
        if name == "ed" {
            continue;
        }
        openssl(
            &scene,
            &format!("pkey -in {name}.key -traditional -out {name}.old"),
        );
        let old = scene.path(&format!("{name}.old"));
        assert!(
            fs::read_to_string(&old)
                .unwrap()
                .contains(&format!("BEGIN {} PRIVATE", name.to_uppercase()))
        );
        push(&certificate, &old).expect_code(0);
        openssl(
            &scene,
            &format!("pkey -in {name}.key -aes256 -passout pass:x -out {name}.secret"),
        );
        let secret = scene.path(&format!("{name}.secret"));
        assert_usage(push(&certificate, &secret), "the key is encrypted");
    }
    let (rsa, ec) = (scene.path("rsa/server.pem"), scene.path("ec.key"));
    assert_usage(push(&rsa, &ec), "its key is another one than");
    assert_usage(push(&rsa, &rsa), "holds no private key");
    assert_usage(push(&ec, &ec), "holds no certificate");
    assert_usage(push("/nonexistent", &ec), "/nonexistent: no such file");
    let key_only = scene
        .push_to(server.address(), &["--client-key", &ec])
        .run();
    assert_usage(key_only, "--client-key is half of a pair");
}

#[test]
fn a_registry_with_its_own_authority_and_client_certificates_is_pushed_to() {
    let scene = Scene::new();
    let (certificate, key) = scene.authority.issue(&LOCAL).write(scene.dir.path());
    let clients = Authority::new("clients");
    let client_ca = scene.path("clients.pem");
    fs::write(&client_ca, clients.pem()).unwrap();
    let (mine, mine_key) = scene.write("me", &clients.issue(&["me"]));
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let setup = Setup {
            tls: Some(Tls {
                certificate: certificate.clone(),
                key: key.clone(),
                ca: scene.ca().into(),
            }),
            client_ca: Some(client_ca.clone().into()),
            ..Setup::default()
        };
        let registry = Registry::start_with(kind, setup);
        let ca = scene.ca();
        let push = |options: &[&str]| {
            let options = [&["--ca-cert", &ca][..], options].concat();
            scene.push_to(registry.address(), &options).run()
        };
        let pair = ["--client-cert", &mine, "--client-key", &mine_key];
        let out = push(&pair).expect_code(0);
        assert_eq!(out.json()["images"][0]["status"], "pushed", "{out}");
        let again = push(&pair).expect_code(0);
        assert_eq!(again.json()["images"][0]["status"], "present", "{again}");
        assert_unreachable(push(&[]), "a client certificate", "--client-cert FILE");
        let stranger = scene.write("stranger", &scene.authority.issue(&["me"]));
        let refused = push(&["--client-cert", &stranger.0, "--client-key", &stranger.1]);
        assert_unreachable(
            refused,
            "the server refused the client certificate",
            "--client-cert",
        );
    }
}

#[test]
fn nginx_says_only_in_a_page_that_it_wants_a_client_certificate() {
    let scene = Scene::new();
    let registry = Registry::start(Kind::Serve);
    let ca = scene.ca();
    let lines = format!("ssl_client_certificate {ca}; ssl_verify_client on;");
    let identity = scene.authority.issue(&LOCAL);
    let Some(front) = nginx(&identity, registry.address(), &lines) else {
        return;
    };
    let push = |options: &[&str]| {
        let options = [&["--ca-cert", &ca][..], options].concat();
        scene.push_to(front.address(), &options).run()
    };
    assert_unreachable(
        push(&[]),
        "answered 400 Bad Request: 400 No required SSL certificate was sent",
        "--client-cert FILE and --client-key FILE",
    );
    let strange = scene.write("strange", &Authority::new("stranger").issue(&["me"]));
    assert_unreachable(
        push(&["--client-cert", &strange.0, "--client-key", &strange.1]),
        "answered 400 Bad Request: 400 The SSL certificate error",
        "that the registry's CA has issued",
    );
    let good = scene.write("good", &scene.authority.issue(&["me"]));
    push(&["--client-cert", &good.0, "--client-key", &good.1]).expect_code(0);
}

/// Names in `certs.d` are those that people type.
#[test]
fn the_folder_for_docker_hub_has_the_name_that_is_typed_or_the_one_that_is_asked() {
    for name in [
        "docker.io",
        "docker.io:443",
        "registry-1.docker.io",
        "registry-1.docker.io:443",
    ] {
        let scene = Scene::new();
        let folder = scene.home_certs_d().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("client.cert"), "half").unwrap();
        let out = hoist(["push", "-o", "json", &scene.path("image")])
            .arg("docker.io/t/app:1")
            .env("HOME", scene.dir.path())
            .run();
        let half = format!("{name}/client.key is missing beside it");
        assert_usage(out, &half);
    }
}
