//! Which hosts are known, what is sent to them, and what they show of themselves.

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn knows_hosts() {
    for (host, name) in [
        ("ghcr.io", "GitHub Container Registry"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "Amazon ECR"),
        (
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
            "Amazon ECR",
        ),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "Amazon ECR",
        ),
        ("europe-west1-docker.pkg.dev", "Google Artifact Registry"),
        ("eu.gcr.io", "Google Artifact Registry"),
        ("team.azurecr.io", "Azure Container Registry"),
        ("quay.io", "Quay"),
        ("registry-1.docker.io", "registry"),
        ("notghcr.io", "registry"),
        ("ghcr.io.example.com", "registry"),
        (".azurecr.io", "registry"),
        ("localhost", "registry"),
    ] {
        assert_eq!(Profile::of(host).name, name, "{host}");
    }
}

fn sizes<'a>(host: &str, learned: &'a Learned, asked: Option<u64>, least: u64) -> Sizes<'a> {
    Sizes {
        profile: Profile::of(host),
        learned,
        asked,
        least,
    }
}

#[test]
fn chooses_chunks() {
    for (host, asked, least, expected) in [
        ("r.io", None, 0, None),
        ("r.io", None, 5 * MIB, None),
        ("r.io", Some(MIB), 0, Some(MIB)),
        ("r.io", Some(0), 0, Some(1)),
        ("r.io", Some(MIB), 5 * MIB, Some(5 * MIB)),
        ("ghcr.io", Some(16 * MIB), 0, Some(4 * MIB)),
        ("public.ecr.aws", Some(MIB), 0, Some(5 * MIB)),
        ("gcr.io", Some(MIB), 0, None),
    ] {
        let learned = Learned::default();
        assert_eq!(
            sizes(host, &learned, asked, least).chunk(),
            expected,
            "{host} {asked:?}"
        );
    }
}

#[test]
fn chooses_pieces_for_what_has_no_size() {
    for (host, asked, least, piece, unsized_body) in [
        ("r.io", None, 0, 4, true),
        ("r.io", Some(MIB), 0, 1, false),
        ("r.io", Some(64 * MIB), 0, 4, false),
        ("r.io", None, 16 * MIB, 16, true),
        ("public.ecr.aws", None, 0, 5, true),
        ("team.azurecr.io", None, 0, 4, false),
    ] {
        let learned = Learned::default();
        let sizes = sizes(host, &learned, asked, least);
        assert_eq!(sizes.piece(), piece * MIB, "{host} {asked:?}");
        assert_eq!(sizes.takes_unsized(), unsized_body, "{host} {asked:?}");
        learned.unsized_refused();
        assert!(!sizes.takes_unsized());
    }
}

#[test]
fn goes_down_the_ladder_and_remembers() {
    let learned = Learned::default();
    let mut steps = vec![200 * MIB];
    while sizes("r.io", &learned, None, 0).shrink(*steps.last().unwrap()) {
        steps.push(sizes("r.io", &learned, None, 0).chunk().unwrap());
    }
    assert_eq!(steps, [200, 64, 16, 4, 1].map(|m| m * MIB));
    assert_eq!(
        sizes("r.io", &learned, Some(64 * MIB), 0).chunk(),
        Some(MIB)
    );
}

#[test]
fn leaves_the_ladder_where_the_registry_says_so() {
    for (host, sent, least, expected) in [
        ("gcr.io", 200, 0, None),
        ("ghcr.io", 200, 0, Some(4)),
        ("public.ecr.aws", 200, 0, Some(10)),
        ("r.io", 200, 32, Some(64)),
        ("r.io", 64, 32, Some(32)),
        ("r.io", 32, 32, None),
        ("r.io", 1, 0, None),
    ] {
        let learned = Learned::default();
        let sizes = sizes(host, &learned, None, least * MIB);
        assert_eq!(
            sizes.shrink(sent * MIB),
            expected.is_some(),
            "{host} {sent}"
        );
        let chunk = sizes.chunk().map(|chunk| chunk / MIB);
        assert_eq!(chunk, expected, "{host} {sent}");
    }
}

#[test]
fn learns_whether_mounts_tell() {
    let learned = Learned::default();
    assert!(!learned.mounts_tell());
    learned.look_at_location("/u/1?x=y");
    assert!(!learned.mounts_tell());
    learned.look_at_location("/u/1?_state=abc");
    assert!(learned.mounts_tell());
    let other = Learned::default();
    other.mount_told();
    assert!(other.mounts_tell());
    let harbor = r#"Bearer realm="https://h/service/token",service="harbor-registry""#;
    assert!(learned.may_mount());
    learned.look_for_harbor(&crate::registry::challenge::parse([harbor].into_iter()));
    assert!(!learned.may_mount());
}

#[test]
fn offers_manifests_only_to_those_that_are_sure_to_look_at_them() {
    for (host, location, service, expected) in [
        ("r.io", Some("/u/1?_state=abc"), None, true),
        ("registry-1.docker.io", Some("/u/1?_state=abc"), None, true),
        ("r.io", None, None, false),
        ("r.io", Some("/u/1"), None, false),
        (
            "r.io",
            Some("/u/1?_state=abc"),
            Some("harbor-registry"),
            false,
        ),
        ("team.azurecr.io", Some("/u/1?_state=abc"), None, false),
        ("ghcr.io", Some("/u/1?_state=abc"), None, false),
    ] {
        let learned = Learned::default();
        location
            .into_iter()
            .for_each(|location| learned.look_at_location(location));
        learned.look_at_service(service);
        let offers = learned.may_offer(Profile::of(host));
        assert_eq!(offers, expected, "{host} {location:?} {service:?}");
    }
}

#[test]
fn what_was_shown_before_counts_for_who_looks_the_same() {
    let answer = |headers: &[(&str, &str)]| Response {
        status: 404,
        headers: (headers.iter())
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        body: Vec::new(),
        body_sent: 0,
        proxy: None,
        carried: Vec::new(),
    };
    let api = ("docker-distribution-api-version", "registry/2.0");
    let seen = |headers: &[(&str, &str)], location: Option<&str>| {
        let learned = Learned::default();
        learned.look_at_answer(&answer(headers));
        location
            .into_iter()
            .for_each(|location| learned.look_at_location(location));
        learned
    };
    let before = seen(&[api], None);
    let looks = before.looks().unwrap();
    for (headers, location, host, expected) in [
        (&[api][..], None, "r.io", true),
        (&[api, ("date", "today")], None, "r.io", true),
        (&[api], Some("/u/1?_state=abc"), "r.io", true),
        (&[api], Some("/u/1"), "r.io", false),
        (&[api], None, "ghcr.io", false),
        (&[], None, "r.io", false),
        (&[api, ("server", "other")], None, "r.io", false),
    ] {
        let found = seen(headers, location).may_offer_as_before(Profile::of(host), looks);
        assert_eq!(found, expected, "{headers:?} {location:?} {host}");
    }
    let unseen = Learned::default();
    assert!(!unseen.may_offer_as_before(Profile::of("r.io"), looks));
    before.look_at_service(Some("harbor-registry"));
    assert!(!before.may_offer_as_before(Profile::of("r.io"), looks));
}

#[test]
fn who_kept_cut_bodies_before_does_until_it_loses_one() {
    let learned = Learned::default();
    learned.looks.set("abc".into()).unwrap();
    assert!(learned.keeps_cut_bodies_as_before("abc"));
    assert!(!learned.keeps_cut_bodies_as_before("abd"));
    assert!(!learned.keeps_cut_bodies());
    learned.cut_body_lost();
    assert!(learned.loses_cut_bodies() && !learned.keeps_cut_bodies_as_before("abc"));
    // One that was cut before anything arrived says nothing.
    learned.cut_body_kept();
    assert!(!learned.loses_cut_bodies() && learned.keeps_cut_bodies_as_before("abc"));
}
