//! The rules, each with what shows it.

/// One push and what comes of it.
pub(super) struct Row {
    pub(super) rule: &'static str,
    pub(super) sources: Sources,
    /// Options and destination; `@` is the registry.
    pub(super) line: &'static str,
    /// What the file `map` holds.
    pub(super) map: &'static str,
    pub(super) code: i32,
    /// What is in place then, without the host.
    pub(super) targets: &'static str,
    /// Parts of the report.
    pub(super) said: &'static [&'static str],
}

/// Paths below the one source, and the images there: a content and names each.
type Sources = &'static [(&'static str, &'static [(&'static str, Names)])];
type Names = &'static [&'static str];

const fn row(
    rule: &'static str,
    sources: Sources,
    line: &'static str,
    targets: &'static str,
) -> Row {
    Row {
        rule,
        sources,
        line,
        map: "",
        code: 0,
        targets,
        said: &[],
    }
}

impl Row {
    const fn map(mut self, map: &'static str) -> Self {
        self.map = map;
        self
    }

    /// With that exit code and these words.
    const fn fails(mut self, code: i32, said: &'static [&'static str]) -> Self {
        self.code = code;
        self.said = said;
        self
    }

    const fn says(self, said: &'static [&'static str]) -> Self {
        self.fails(0, said)
    }
}

const APP: Sources = &[("x.tar", &[("a", &["q.io/team/app:1", "nginx:2"])])];
const TWO: Sources = &[("x.tar", &[("a", &["q.io/team/app:1"]), ("b", &["nginx:2"])])];
const UNNAMED: Sources = &[("My App (1).oci/", &[("a", &[])])];
const SEVERAL: Sources = &[("l/", &[("a", &[]), ("b", &[])])];
/// Three names of one image, as `--include` sees them.
const DEEP: Sources = &[("x.tar", &[("a", &["a/b/c:1", "a/c:1", "q.io/a/d:2"])])];

pub(super) const ROWS: &[Row] = &[
    // DESTINATION
    row(
        "host/team/app:1.2 is that one target",
        APP,
        "@/t/one:9",
        "t/one:9",
    ),
    row("… plus --tag", APP, "--tag x @/t/one:9", "t/one:9 t/one:x"),
    row(
        "host/team/app takes the image's own tags",
        APP,
        "@/t/one",
        "t/one:1 t/one:2",
    ),
    row("… else latest", UNNAMED, "@/t/one", "t/one:latest"),
    row(
        "host/team/ is a prefix: every name, host removed, library/ too",
        APP,
        "@/t/",
        "t/team/app:1 t/nginx:2",
    ),
    row(
        "library/ is removed only when it came from docker.io",
        &[(
            "x.tar",
            &[(
                "a",
                &[
                    "q.io/library/x:1",
                    "docker.io/library/y:1",
                    "docker.io/z/y:1",
                ],
            )],
        )],
        "@/t/",
        "t/library/x:1 t/y:1 t/z/y:1",
    ),
    row(
        "one word is a host, meant as WORD/",
        APP,
        "@",
        "team/app:1 nginx:2",
    ),
    row("one word that is no host is wrong", APP, "nginx:80", "")
        .fails(2, &["names no registry", "docker.io/library/nginx:80"]),
    row(
        "what exists as a local path is no destination",
        APP,
        "in",
        "",
    )
    .fails(2, &["a file or folder of that name is here"]),
    row("several images need a prefix", TWO, "@/t/one", "")
        .fails(2, &["there are 2: add a / to push into it (@/t/one/)"]),
    row(
        "names come from RepoTags, io.containerd.image.name, ref.name",
        &[
            ("a.tar", &[("a", &["one:1"])]),
            ("b/", &[("b", &["q.io/two:2"])]),
            ("c/", &[("c", &["=q.io/three:3"])]),
        ],
        "@/t/",
        "t/one:1 t/two:2 t/three:3",
    ),
    row(
        "a ref.name without / or : is a tag",
        &[("l/", &[("a", &["=3.1"])])],
        "@/t/",
        "t/l:3.1",
    ),
    row(
        "a file's base name, endings off, lower-case, runs as -",
        UNNAMED,
        "@/t/",
        "t/my-app-1:latest",
    ),
    row(
        "… for archives too",
        &[("A_b.docker.tar.gz", &[("a", &[])])],
        "@/t/",
        "t/a_b:latest",
    ),
    row(
        "several without a tag take digits of their digests",
        SEVERAL,
        "@/t/",
        "t/l:{a} t/l:{b}",
    ),
    row(
        "the same digest for one target is pushed once",
        &[
            ("a/", &[("a", &["app:1"])]),
            ("b/", &[("a", &["q.io/app:1"])]),
        ],
        "@/t/",
        "t/app:1",
    ),
    row(
        "different digests for one target both fail, the rest goes on",
        &[
            ("a/", &[("a", &["app:1"])]),
            ("b/", &[("b", &["q.io/app:1"])]),
            ("c/", &[("c", &["c:1"])]),
        ],
        "@/t/",
        "t/c:1",
    )
    .fails(
        1,
        &["in/a and in/b hold different images that both go to @/t/app:1"],
    ),
    row(
        "what has a subject is no image",
        &[("l/", &[("a", &["app:1", "+sig"])])],
        "@/t/",
        "t/app:1",
    ),
    row(
        "the unnamed beside the named is none",
        &[("l/", &[("a", &["app:1"]), ("b", &[])])],
        "@/t/",
        "t/app:1",
    ),
    // The grammar of names
    row(
        "a port and an address are a host",
        &[("x.tar", &[("a", &["h:5000/a:1", "[::1]:5000/b:2"])])],
        "@/t/",
        "t/a:1 t/b:2",
    ),
    row(
        "upper case is refused with the reason, the other name stays",
        &[("x.tar", &[("a", &["Team/App:1", "ok:1"])])],
        "@/t/",
        "t/ok:1",
    )
    .says(&[
        "a name in manifest.json is passed over",
        "must be lower-case",
    ]),
    row(
        "of tag and digest the tag names",
        &[(
            "x.tar",
            &[(
                "a",
                &["ok:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            )],
        )],
        "@/t/",
        "t/ok:1",
    ),
    row(
        "a name that is a digest is none",
        &[(
            "l/",
            &[(
                "a",
                &["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            )],
        )],
        "@/t/",
        "t/l:latest",
    ),
    row(
        "a ref.name with spaces is a warning",
        &[("l/", &[("a", &["=my app"])])],
        "@/t/",
        "t/l:latest",
    )
    .says(&[
        "a name in index.json is passed over",
        "' ' cannot be part of it",
    ]),
    row(
        "upper case in a destination is refused with a hint",
        APP,
        "@/Team/App",
        "",
    )
    .fails(2, &["must be lower-case", "@/team/app"]),
    row(
        "a destination ends in no digest",
        APP,
        "@/app@@sha256:00",
        "",
    )
    .fails(2, &["images keep the digest"]),
    // Choosing
    row(
        "--include matches repository:tag, * stops at /",
        DEEP,
        "--include a/*:* @/t/",
        "t/a/c:1 t/a/d:2",
    ),
    row(
        "… ** does not",
        DEEP,
        "--include a/**:1 @/t/",
        "t/a/b/c:1 t/a/c:1",
    ),
    row(
        "--exclude wins",
        DEEP,
        "--include a/** --exclude **:2 @/t/",
        "t/a/b/c:1 t/a/c:1",
    ),
    row(
        "--min-size looks at stored bytes",
        &[("x.tar", &[("a", &["s:1"]), ("huge", &["l:1"])])],
        "--min-size 100K @/t/",
        "t/l:1",
    ),
    row(
        "--max-size too",
        &[("x.tar", &[("a", &["s:1"]), ("huge", &["l:1"])])],
        "--max-size 100K @/t/",
        "t/s:1",
    ),
    row(
        "--platform takes what is for it",
        &[("x.tar", &[("a", &["x:1"]), ("arm", &["y:1"])])],
        "--platform linux/arm64 @/t/",
        "t/y:1",
    ),
    row(
        "what is left out is no failure, all left out is",
        APP,
        "--exclude ** @/t/",
        "",
    )
    .fails(3, &["left out"]),
    // Renaming
    row(
        "--rename replaces leading components, host included",
        APP,
        "--rename docker.io/library/nginx=web @/t/",
        "t/team/app:1 t/web:2",
    ),
    row(
        "… before the host is removed",
        APP,
        "--rename q.io=r.io/mirror @/t/",
        "t/mirror/team/app:1 t/nginx:2",
    ),
    row(
        "… keeps a host as a path",
        APP,
        "--rename q.io=quay @/t/",
        "t/quay/team/app:1 t/nginx:2",
    ),
    row(
        "… whole ones only",
        APP,
        "--rename q.io/te=x @/t/",
        "t/team/app:1 t/nginx:2",
    )
    .says(&["--rename q.io/te=x has no effect: no name begins with that"]),
    row(
        "the longest rule counts",
        APP,
        "--rename q.io=a --rename q.io/team=b @/t/",
        "t/b/app:1 t/nginx:2",
    ),
    row(
        "… once",
        APP,
        "--rename q.io/team=q.io/c --rename q.io/c=d @/t/",
        "t/c/app:1 t/nginx:2",
    ),
    row(
        "a name without library/ is asked back for",
        APP,
        "--rename docker.io/nginx=web @/t/",
        "t/team/app:1 t/nginx:2",
    )
    .says(&["did you mean docker.io/library/nginx=web?"]),
    row(
        "what has no name is renamed like a typed one",
        UNNAMED,
        "--rename docker.io/library=base @/t/",
        "t/base/my-app-1:latest",
    ),
    row(
        "--include sees names as found, not renamed",
        APP,
        "--include nginx:* --rename docker.io/library/nginx=web @/t/",
        "t/web:2",
    ),
    row(
        "renaming makes collisions like names do",
        TWO,
        "--rename q.io/team/app=x/y --rename docker.io/library/nginx=x/y --tag z @/t/",
        "",
    )
    .fails(
        1,
        &["in/x.tar holds different images that all go to @/t/x/y:z"],
    ),
    row(
        "a rule that leaves no name fails that image alone",
        TWO,
        "--rename q.io/team/app=q.io @/t/",
        "t/nginx:2",
    )
    .fails(1, &["leaves of q.io/team/app nothing but a host"]),
    row(
        "a rule begins with a host",
        APP,
        "--rename nginx=web @/t/",
        "",
    )
    .fails(
        2,
        &[
            "FROM begins with the host",
            "--rename docker.io/library/nginx=…",
        ],
    ),
    row(
        "rules do not contradict each other",
        APP,
        "--rename q.io=a --rename q.io=b @/t/",
        "",
    )
    .fails(
        2,
        &["--rename q.io=a and --rename q.io=b contradict each other"],
    ),
    row(
        "--rename needs a prefix",
        APP,
        "--rename q.io=a @/t/one",
        "",
    )
    .fails(
        2,
        &["--rename needs a destination that ends in /", "@/t/one/"],
    ),
    // The map
    row(
        "--map says where a name goes, below the destination",
        APP,
        "--map map @/t/",
        "t/x/y:5 t/nginx:2",
    )
    .map("# names\n\nq.io/team/app:1 x/y:5\n"),
    row(
        "… the name normalised, the tag kept",
        APP,
        "--map map @/t/",
        "t/team/app:1 t/web:2",
    )
    .map("nginx:2 web"),
    row(
        "… and nothing else renames it",
        APP,
        "--map map --rename q.io=a --rename docker.io=b @/t/",
        "t/x:1 t/b/library/nginx:2",
    )
    .map("q.io/team/app:1 x:1"),
    row(
        "a name without a tag is latest",
        &[("x.tar", &[("a", &["nginx"])])],
        "--map map @/t/",
        "t/web:latest",
    )
    .map("nginx:latest web"),
    row(
        "what has no name goes by its file",
        UNNAMED,
        "--map map @/t/",
        "t/web:1",
    )
    .map("my-app-1 web:1"),
    row(
        "… of several each by its digest",
        SEVERAL,
        "--map map @/t/",
        "t/web:{a} t/l:{b}",
    )
    .map("l:{a} web"),
    row(
        "--tag adds to what is mapped",
        APP,
        "--map map --tag z @/t/",
        "t/x:5 t/x:z t/nginx:2 t/nginx:z",
    )
    .map("q.io/team/app:1 x:5"),
    row(
        "the map makes collisions like names do",
        TWO,
        "--map map @/t/",
        "",
    )
    .map("q.io/team/app:1 x:5\nnginx:2 x:5")
    .fails(1, &["holds different images that all go to @/t/x:5"]),
    row(
        "names that --exclude leaves out are known",
        APP,
        "--map map --exclude nginx:* @/t/",
        "t/x:5",
    )
    .map("q.io/team/app:1 x:5\nnginx:2 y"),
    row(
        "a name that nothing has is wrong, and nothing is sent",
        APP,
        "--map map @/t/",
        "",
    )
    .map("nginx:2 web\n\nnginx:3 web\n")
    .fails(
        2,
        &["map line 3: no image in the sources is called docker.io/library/nginx:3"],
    ),
    row("a name is in the map once", APP, "--map map @/t/", "")
        .map("nginx:2 web\ndocker.io/library/nginx:2 web\n")
        .fails(
            2,
            &["--map map line 2: docker.io/library/nginx:2 is in line 1 already"],
        ),
    row("never another host", APP, "--map map @/t/", "")
        .map("nginx:2 h.io/web\n")
        .fails(2, &["map line 1: ", "begins with a registry's host"]),
    row("a line is a name and a target", APP, "--map map @/t/", "")
        .map("nginx:2\n")
        .fails(2, &["map line 1: ", "has no target behind it"]),
    row(
        "a map that is not there is wrong",
        APP,
        "--map nowhere @/t/",
        "",
    )
    .fails(2, &["--map nowhere: No such file"]),
    row("--map needs a prefix", APP, "--map map @/t/one", "")
        .map("nginx:2 web")
        .fails(2, &["--map needs a destination that ends in /", "@/t/one/"]),
    // Tags
    row(
        "--tag adds tags, to every name",
        APP,
        "--tag y --tag z @/t/",
        "t/team/app:1 t/team/app:y t/team/app:z t/nginx:2 t/nginx:y t/nginx:z",
    ),
    row("--tag is a tag", APP, "--tag a+b @/t/", "")
        .fails(2, &["--tag: ", "'+' cannot be part of it"]),
];
