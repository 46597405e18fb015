//! Tables: names found, a destination, and where the images go.

use super::*;

/// `(file, content, names)`; a name that begins with `:` is a tag alone.
type Case<'a> = (&'a str, &'a str, &'a [&'a str]);

struct Outcome(Result<Vec<Result<Assigned, String>>, String>);

fn go(images: &[Case<'_>], destination: &str, extra: &[&str]) -> Outcome {
    let destination = Destination::parse(destination, &|_| false).unwrap();
    let extra: Vec<Tag> = extra.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
    let name = |text: &&str| match text.strip_prefix(':') {
        Some(tag) => FoundName {
            repository: None,
            tag: Some(Tag::parse(tag).unwrap()),
        },
        None => FoundName::from_reference(text).unwrap(),
    };
    let owned: Vec<(Vec<FoundName>, Digest, &Path)> = images
        .iter()
        .map(|(path, content, names)| {
            let names = names.iter().map(name).collect();
            (names, Digest::of(content.as_bytes()), Path::new(*path))
        })
        .collect();
    let named: Vec<Named<'_>> = owned
        .iter()
        .map(|(names, identity, path)| Named {
            names,
            identity,
            path,
        })
        .collect();
    let naming = Naming {
        extra_tags: extra,
        ..Naming::default()
    };
    Outcome(assign(&named, &destination, &naming))
}

impl Outcome {
    /// The targets of each image, those it shares in brackets behind.
    fn shown(&self) -> Vec<String> {
        let all = self.0.as_ref().unwrap();
        all.iter()
            .map(|image| {
                let assigned = image.as_ref().unwrap();
                let own = assigned.targets.iter().map(Target::to_string);
                let shared = assigned
                    .shared
                    .iter()
                    .map(|(target, of)| format!("[{target} of {of}]"));
                own.chain(shared).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    fn errors(&self) -> Vec<&str> {
        let all = self.0.as_ref().unwrap();
        let error = |image: &'_ Result<Assigned, String>| image.as_ref().err().cloned();
        assert_eq!(all.iter().filter_map(error).count(), all.len());
        all.iter()
            .map(|image| image.as_ref().unwrap_err().as_str())
            .collect()
    }
}

fn hex(content: &str) -> String {
    Digest::of(content.as_bytes()).short().to_owned()
}

#[test]
fn one_image_goes_where_it_is_sent() {
    for (names, destination, extra, expected) in [
        (
            &["nginx:1.25"][..],
            "h.example/team/app:2",
            &[][..],
            "team/app:2",
        ),
        (
            &["nginx:1.25"],
            "h.example/team/app:2",
            &["x", "y"],
            "team/app:2 team/app:x team/app:y",
        ),
        (
            &["nginx:1.25"],
            "h.example/team/app:2",
            &["2"],
            "team/app:2",
        ),
        (&["nginx:1.25"], "h.example/team/app", &[], "team/app:1.25"),
        (
            &["nginx:1.25"],
            "h.example/team/app",
            &["x"],
            "team/app:1.25 team/app:x",
        ),
        (&["nginx"], "h.example/team/app", &[], "team/app:latest"),
        (
            &[],
            "h.example/team/app",
            &["x"],
            "team/app:latest team/app:x",
        ),
        (&[":3"], "h.example/team/app", &[], "team/app:3"),
        (
            &["a:1", "b.example/c:2", "b.example/d:1"],
            "h.example/team/app",
            &[],
            "team/app:1 team/app:2",
        ),
        (&["nginx:1"], "docker.io/mine", &[], "library/mine:1"),
    ] {
        let outcome = go(&[("a.tar", "a", names)], destination, extra);
        assert_eq!(
            outcome.shown(),
            [expected],
            "{names:?} {destination} {extra:?}"
        );
    }
}

#[test]
fn below_a_prefix_every_name_is_kept() {
    for (names, destination, extra, expected) in [
        (&["nginx:1"][..], "h.example/", &[][..], "nginx:1"),
        (&["nginx:1"], "h.example/team/", &[], "team/nginx:1"),
        (
            &["docker.io/library/nginx:1"],
            "h.example/team/",
            &[],
            "team/nginx:1",
        ),
        (
            &["docker.io/bitnami/nginx:1"],
            "h.example/team/",
            &[],
            "team/bitnami/nginx:1",
        ),
        (
            &["q.example/library/nginx:1"],
            "h.example/team/",
            &[],
            "team/library/nginx:1",
        ),
        (&["localhost/a/b:1"], "h.example/", &[], "a/b:1"),
        (
            &["nginx:1", "nginx:2", "q.example/x/y:3"],
            "h.example/t/",
            &[],
            "t/nginx:1 t/nginx:2 t/x/y:3",
        ),
        (
            &["nginx:1", "q.example/nginx:1"],
            "h.example/t/",
            &[],
            "t/nginx:1",
        ),
        (&["nginx"], "h.example/t/", &[], "t/nginx:latest"),
        (&["nginx", "nginx:1"], "h.example/t/", &[], "t/nginx:1"),
        (
            &["nginx:1", ":2"],
            "h.example/t/",
            &[],
            "t/nginx:1 t/nginx:2",
        ),
        (
            &["nginx:1", "b:2"],
            "h.example/",
            &["x"],
            "nginx:1 nginx:x b:2 b:x",
        ),
        (&[], "h.example/t/", &[], "t/my-app:latest"),
        (&[":7"], "h.example/t/", &[], "t/my-app:7"),
        (&[":7"], "h.example/t/", &["x"], "t/my-app:7 t/my-app:x"),
        (&["nginx:1"], "docker.io/", &[], "library/nginx:1"),
        (&["nginx:1"], "docker.io/team/", &[], "team/nginx:1"),
    ] {
        let outcome = go(&[("dir/My App.tar.gz", "a", names)], destination, extra);
        assert_eq!(
            outcome.shown(),
            [expected],
            "{names:?} {destination} {extra:?}"
        );
    }
}

/// Below the prefix `h.example/`, without extra tags.
fn below(images: &[Case<'_>]) -> Outcome {
    go(images, "h.example/", &[])
}

#[test]
fn several_without_a_tag_in_one_source_are_told_apart_by_digest() {
    let (a, b) = (hex("a"), hex("b"));
    let layouts = [
        ("x/l", "a", &[][..]),
        ("x/l", "b", &[]),
        ("x/l", "c", &[":3"]),
        ("y/m", "d", &[]),
    ];
    let expected = [&format!("l:{a}"), &format!("l:{b}"), "l:3", "m:latest"];
    assert_eq!(below(&layouts).shown(), expected);

    let same_repository = [("l", "a", &["nginx"][..]), ("l", "b", &["nginx"])];
    let by_digest = [format!("nginx:{a}"), format!("nginx:{b}")];
    assert_eq!(below(&same_repository).shown(), by_digest);

    // The same image twice is one, and two files are two sources.
    let outcome = below(&[("l", "a", &[]), ("l", "a", &[]), ("m", "b", &[])]);
    assert_eq!(outcome.shown(), ["l:latest", "[l:latest of 0]", "m:latest"]);
}

#[test]
fn the_same_digest_is_carried_by_the_first() {
    let outcome = below(&[
        ("a.tar", "a", &["x:1", "x:2"]),
        ("b.tar", "a", &["x:2", "x:3", "q.example/x:2"]),
    ]);
    assert_eq!(outcome.shown(), ["x:1 x:2", "x:3 [x:2 of 0]"]);

    let twice = [("a.tar", "a", &["x:1"][..]), ("b.tar", "a", &[])];
    let expected = ["app:9", "[app:9 of 0]"];
    assert_eq!(go(&twice, "h.example/app:9", &[]).shown(), expected);
}

#[test]
fn different_digests_for_one_target_both_fail() {
    let two = [
        ("b.tar", "b", &["x:1"][..]),
        ("a.tar", "a", &["q.example/x:1"]),
    ];
    let expected = "a.tar and b.tar hold different images that both go to h.example/t/x:1";
    let outcome = go(&two, "h.example/t/", &[]);
    assert_eq!(outcome.errors(), [expected, expected]);

    let in_one_file = [("a.tar", "b", &["x:1"][..]), ("a.tar", "a", &["x:1"])];
    let within = "a.tar holds different images that all go to h.example/x:1";
    assert_eq!(below(&in_one_file).errors(), [within, within]);
}

#[test]
fn a_tag_for_all_clashes_within_a_repository() {
    let apart = [("a", "a", &["x:1"][..]), ("b", "b", &["y:1"])];
    let outcome = go(&apart, "h.example/", &["new"]);
    assert_eq!(outcome.shown(), ["x:1 x:new", "y:1 y:new"]);

    let together = [("a", "a", &["x:1"][..]), ("b", "b", &["x:2"])];
    for error in go(&together, "h.example/", &["new"]).errors() {
        assert!(error.contains("h.example/x:new"), "{error}");
    }
}

#[test]
fn the_rest_goes_on_after_a_clash() {
    let outcome = go(
        &[
            ("a.tar", "a", &["x:1", "x:2"]),
            ("b.tar", "b", &["x:1"]),
            ("c.tar", "a", &["x:2"]),
            ("d.tar", "d", &["y:1"]),
        ],
        "h.example/",
        &[],
    );
    let all = outcome.0.unwrap();
    assert!(all[0].is_err() && all[1].is_err());
    // The image that would have carried x:2 fails, so the next one does.
    assert_eq!(all[2].as_ref().unwrap().targets[0].to_string(), "x:2");
    assert_eq!(all[3].as_ref().unwrap().targets[0].to_string(), "y:1");
}

#[test]
fn several_images_need_a_prefix() {
    for destination in ["h.example/team/app", "h.example/team/app:1"] {
        let outcome = go(
            &[("a", "a", &["x:1"]), ("b", "b", &["y:1"])],
            destination,
            &[],
        );
        let usage = outcome.0.unwrap_err();
        assert!(
            usage.contains("add a / to push into it (h.example/team/app/)"),
            "{usage}"
        );
        assert!(usage.contains("there are 2"), "{usage}");
    }
    assert_eq!(go(&[], "h.example/app", &[]).shown(), [""; 0]);
}

#[test]
fn a_name_that_is_not_legal_there_fails_alone() {
    let long = format!("{}:1", "n".repeat(200));
    let destination = format!("h.example/{}/", "p".repeat(60));
    let outcome = go(
        &[("a", "a", &[&long]), ("b", "b", &["y:1"])],
        &destination,
        &[],
    );
    let all = outcome.0.unwrap();
    let error = all[0].as_ref().unwrap_err();
    assert!(
        error.contains("cannot go there") && error.contains("longer than 255"),
        "{error}"
    );
    assert!(all[1].is_ok());
}

#[test]
fn an_image_that_nothing_names_fails() {
    for path in ["-", "_", "/"] {
        let outcome = go(&[(path, "a", &[":1"])], "h.example/t/", &[]);
        assert!(outcome.errors()[0].contains("gives it a name"), "{path}");
    }
    assert_eq!(
        go(&[("-", "a", &[":1"])], "h.example/t", &[]).shown(),
        ["t:1"]
    );
}
