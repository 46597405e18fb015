//! What `--help`, `help` and `--version` say.

use std::ffi::OsString;
use std::fmt::Write;

use crate::cli::args::Command;
use crate::cli::options::{Opt, SECTIONS, Take};
use crate::cli::usage::{UsageError, nearest};
use crate::image::digest::quote;

const WIDTH: usize = 80;
/// Where the explanations of options begin.
const COLUMN: usize = 26;

pub(crate) fn version() -> String {
    concat!("hoist ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

pub(crate) fn overview() -> String {
    "\
hoist pushes container images to OCI registries: from OCI layouts and
docker-save archives, read where they lie, without a daemon.

  hoist push  [OPTIONS] SOURCE... DESTINATION   push images
  hoist list  [OPTIONS] SOURCE...               show what would be pushed
  hoist login [OPTIONS] HOST                    keep a password for a registry
  hoist logout [OPTIONS] HOST                   forget it
  hoist serve [OPTIONS] DIR                     a small registry in a folder
  hoist cache [OPTIONS] [show|prune|clear]      what later pushes make use of
  hoist help  [TOPIC]                           a command, sources,
                                                destinations, credentials,
                                                config, report, exit-codes

  hoist COMMAND --help                          the options of a command
  hoist --version

  hoist push images/ registry.example/team/     a folder of images, names kept
"
    .to_owned()
}

/// `hoist help`, with what stands behind it.
pub(crate) fn topic(operands: &[OsString]) -> Result<String, UsageError> {
    let Some(topic) = operands.first() else {
        return Ok(overview());
    };
    let topic = topic.to_string_lossy();
    if let Some(extra) = operands.get(1) {
        return Err(UsageError::new(format!(
            "one topic at a time: what is {}?",
            quote(&extra.to_string_lossy())
        )));
    }
    let commands = Command::ALL.iter();
    if let Some(found) = commands.clone().find(|command| command.name() == topic) {
        return Ok(command(*found));
    }
    if let Some((_, text)) = TOPICS.iter().find(|(name, _)| *name == topic) {
        return Ok((*text).to_owned());
    }
    let known = commands.map(|command| command.name());
    let known: Vec<&str> = known.chain(TOPICS.iter().map(|(name, _)| *name)).collect();
    let meant = nearest(&topic, known.iter().copied());
    let hint = meant.map_or_else(
        || format!("one of {}", known.join(", ")),
        |meant| format!("hoist help {meant}"),
    );
    Err(UsageError::new(format!("no help on {}", quote(&topic))).hint(hint))
}

/// `hoist COMMAND --help`.
pub(crate) fn command(command: Command) -> String {
    let (usage, after) = match command {
        Command::Push => (PUSH, PUSH_AFTER),
        Command::List => (LIST, LIST_AFTER),
        Command::Serve => (SERVE, SERVE_AFTER),
        Command::Login => (LOGIN, LOGIN_AFTER),
        Command::Logout => (LOGOUT, LOGOUT_AFTER),
        Command::Cache => (CACHE, CACHE_AFTER),
        Command::Help => return overview(),
    };
    let mut text = usage.to_owned();
    for section in SECTIONS {
        let options = section.options.iter();
        let mut options = options
            .filter(|option| option.commands.contains(&command))
            .peekable();
        if options.peek().is_some() {
            _ = writeln!(text, "\n{}:", section.heading);
            options.for_each(|option| describe(option, &mut text));
        }
    }
    text.push_str(after);
    text
}

fn describe(option: &Opt, text: &mut String) {
    let short = option
        .short
        .map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let value = match option.take {
        Take::Flag(_) => String::new(),
        Take::Value { name, .. } => format!(" {name}"),
    };
    let mut line = format!("  {short}--{}{value}", option.long);
    if line.len() + 2 > COLUMN {
        text.push_str(&line);
        text.push('\n');
        line.clear();
    }
    for word in option.help.split(' ') {
        if line.len() + 1 + word.chars().count() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clear();
        }
        if line.len() < COLUMN {
            line = format!("{line:COLUMN$}");
        } else {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

const PUSH: &str = "\
hoist push [OPTIONS] SOURCE... DESTINATION

Pushes every image found in the sources. What the registry has already is not
sent again; a failed image does not stop the others.
";

const PUSH_AFTER: &str = "
Sizes: 64M, 16MiB (by 1024), 10MB (by 1000). Durations: 500ms, 60s, 2m.

Standard output has one line HOST/REPOSITORY:TAG@DIGEST for each target that is
in place; everything else goes to standard error.

Exit codes: 0 all there, 1 an image failed, 2 wrong usage, 3 nothing to push,
4 login refused, 5 registry unreachable, 130 and 143 interrupted (hoist help
exit-codes).

Examples:
  hoist push app.tar registry.example/team/app:1.2     one image, one target
  hoist push images/ registry.example/team/            a folder, names kept
  hoist push -u robot --password-stdin images/ registry.example/ < password
  hoist push --platform linux/arm64 layout/ localhost:5000/edge/
  hoist push --rename quay.io/org=mirror images/ registry.example/

More: hoist help sources, destinations, credentials, config, report
";

const LIST: &str = "\
hoist list [OPTIONS] SOURCE...

Shows what would be pushed: names, platforms, layers, stored size, digest, file.
On a terminal a table; in a pipe the same columns, separated by tabs, several
names or platforms by commas, \"-\" where there is nothing. An image whose
manifest is made while it is pushed has no digest before.
";

const LIST_AFTER: &str = "
Exit codes: 0 all good, 1 a broken image, 2 wrong usage, 3 no image found.

Examples:
  hoist list images/
  hoist list --long images/ | cut -f5 | sort -u       every digest
  hoist list -o json images/ | jq -r '.images[].names[]'
";

const SERVE: &str = "\
hoist serve [OPTIONS] DIR

Runs a small registry without authentication, for trials and for a start where
there is none yet. DIR is made when it is not there, and holds one OCI layout
for each repository: hoist list and hoist push read it like any other folder.

Prints \"listening on http://ADDRESS:PORT\" to standard output when it is ready.
";

const SERVE_AFTER: &str = "
With -v every request is a line on standard error: method, path, status, bytes
received. Ctrl-C and SIGTERM end it: exit code 0.

Examples:
  hoist serve /srv/registry
  hoist serve --listen 0.0.0.0:5000 /srv/registry
";

const LOGIN: &str = "\
hoist login [OPTIONS] HOST

Shows a user and a password, or a token, to a registry and keeps them when it
takes them: in --auth-file FILE or $REGISTRY_AUTH_FILE, else in the first file
that has this registry already, else in docker's (hoist help credentials). Where
that file names a helper for the registry, the helper keeps them.

On a terminal it asks for what is missing; the password is not shown.
";

const LOGIN_AFTER: &str = "
Exit codes: 0 logged in, 1 it could not be kept, 2 wrong usage, 4 refused, 5
registry unreachable. Nothing is kept but with 0.

Examples:
  hoist login registry.example
  hoist login -u robot --password-stdin registry.example < password
";

const LOGOUT: &str = "\
hoist logout [OPTIONS] HOST

Takes all that is kept of a registry and its repositories out of --auth-file
FILE or $REGISTRY_AUTH_FILE, else out of all files in which hoist looks for it,
and out of the helpers that they name. The registry is not asked.
";

const LOGOUT_AFTER: &str = "
Exit codes: 0 nothing is kept any more, 1 something could not be removed, 2
wrong usage.
";

const CACHE: &str = "\
hoist cache [OPTIONS] [show|prune|clear]

Shows what hoist has found out while pushing and keeps for later pushes: where
the tokens of registries come from, what plain layers become, which repositories
of a registry hold which blobs. All of it is a hint, holds no credentials, and
can be done without.

  show    says what there is, as hoist cache alone does
  prune   drops what was not used for 30 days, what cannot be read, and what is
          over the bounds; what a later version of hoist has written stays
  clear   removes all of it
";

const CACHE_AFTER: &str = "
It stays below 4 MiB by itself: what was not used for longest goes first. With
-o json: folder, files (name, kind, hosts, entries, bytes, oldest, newest,
problem), bytes, most_bytes, freed (files, entries, bytes), errors, warnings;
times in seconds since 1970.

Exit codes: 0 done, also when there is nothing; 1 it cannot be read or changed;
2 wrong usage.

Examples:
  hoist cache
  hoist cache prune --older-than 7d
";

const TOPICS: &[(&str, &str)] = &[
    (
        "sources",
        "\
Sources are recognised by what is in them, never by their names:

  an OCI layout    a folder with oci-layout and index.json: one image or many,
                   nested indexes, all platforms
  an OCI archive   such a layout in a tar file
  docker save      a tar archive, from before and since Docker 25, with one
                   image or many; layers plain, gzip or zstd
  a folder         searched for these at any depth
  -                standard input: an archive, redirected or piped; a pipe is
                   kept in $TMPDIR, in a file without a name, until the end

Archives may be compressed as a whole with gzip or zstd. These are decoded from
the start to the end, layer by layer, and again after a cut; zstd windows up to
128 MiB are read. xz, bzip2 and lz4 are refused.

Of an index with platforms that are not there, docker archives push the others,
and so does --partial-index everywhere. Without it, what is missing must be at
the target already. Foreign layers are left out unless --push-foreign is given.

Nothing is unpacked. What has a digest is sent byte for byte and keeps it; plain
layers of archives are compressed while they are sent, always to the same bytes.
Names come from the source: RepoTags of an archive, io.containerd.image.name and
org.opencontainers.image.ref.name of a layout; an image without any is called
like its file or folder.
",
    ),
    (
        "destinations",
        "\
A destination works like a path does for cp:

  HOST/team/app:1.2   this one target
  HOST/team/app       this repository, with the image's own tags, else latest
  HOST/team/          a prefix: every image keeps all its names below it
  HOST                the same as HOST/

Below a prefix the host of a name is left out, and library/ of Docker Hub's:
docker.io/library/nginx:1 goes to HOST/team/nginx:1. Several images need a
prefix. Of one word without a slash, localhost, a name with a dot, an address in
brackets and a name with a port are hosts.

Below a prefix names can become others. They are taken in full, with host and
library/, as hoist list shows them; one without a repository as if it were typed
as its file is called: docker.io/library/FILE.

  --rename FROM=TO    replaces the components that names begin with, before the
                      host is left out; of several rules the longest, once
      docker.io/library/nginx=web          nginx:1 is HOST/team/web:1
      quay.io=quay               quay.io/org/app:2 is HOST/team/quay/org/app:2
  --map FILE          has lines of SOURCE-NAME REPOSITORY[:TAG], and comments
                      behind #; a name without a tag is meant as latest
      quay.io/org/app:2  apps/two          HOST/team/apps/two:2

--include and --exclude look at names as they are found. What the map names goes
where it says and nowhere else; --rename is for the other names, and --tag adds
to all. Two different images that meet under one name both fail. A map with a
line for a name that no source has is wrong, and nothing is sent.

localhost and other names for this machine are tried with http first; all else
is https, but for --plain-http and --insecure.
",
    ),
    (
        "config",
        "\
What is said more than once counts in this order: the command line, the
environment, the configuration file (in there a registry's own section first),
the default. Lists are replaced, not added to.

The file is --config FILE or $HOIST_CONFIG, else hoist/config.json below
$XDG_CONFIG_HOME or ~/.config, where there is one. It is one JSON object of long
options without dashes; paths are relative to the file:

  {
    \"jobs\": 8,
    \"exclude\": [\"**:*-debug\", \"scratch/**\"],
    \"stall-timeout\": \"2m\",
    \"registries\": {
      \"registry.example\": {\"username\": \"robot\", \"ca-cert\": \"ca.pem\"},
      \"old.example:5000\": {\"plain-http\": true, \"jobs\": 2}
    }
  }

Options without a value are true or false. A key that is no option, one that is
there twice, a wrong type: exit code 2, and nothing is sent.

A section is for one registry, written as in the destination, with its port. It
may have: auth-file, ca-cert, chunk-size, client-cert, client-key, insecure,
jobs, limit-rate, password-file, plain-http, proxy (a URL, or none),
requests-per-second, retries, stall-timeout, token-file, user-agent, username.

Variables: HOIST_CONFIG, HOIST_CACHE_DIR, HOIST_STATE_DIR, HOIST_JOBS,
HOIST_USERNAME, HOIST_PASSWORD, HOIST_INSECURE (1 or 0), HOIST_LOG (debug, or
hoist::registry=debug,ureq=warn; -v and -q count more). An empty one is as good
as none.

The cache (--cache-dir, $HOIST_CACHE_DIR, else hoist below $XDG_CACHE_HOME or
~/.cache) remembers where a registry's tokens come from, for a week; which of
its repositories hold which blobs, to mount them from there; and what plain
layers become. It holds no credentials and stays below 4 MiB; without it
everything works as well.

The state (--state-dir, $HOIST_STATE_DIR, else hoist below $XDG_STATE_HOME or
~/.local/state) holds a small file for each upload that is open, so that the
next push goes on with what a killed one was sending. Whoever can read it could
write to these uploads, so nobody else can; it holds no credentials either.
",
    ),
    (
        "credentials",
        "\
A registry that asks who you are gets the first of these that says something
about it; -v says which.

  1  --username with --password-stdin or --password-file; --token-file;
     HOIST_USERNAME with HOIST_PASSWORD
  2  --auth-file FILE, $REGISTRY_AUTH_FILE
  3  $DOCKER_AUTH_CONFIG, which is the text of such a file
  4  containers/auth.json in $XDG_RUNTIME_DIR (else /run/containers/UID) and in
     $XDG_CONFIG_HOME (else ~/.config): podman's
  5  config.json in $DOCKER_CONFIG and in ~/.docker: docker's

Keys may be hosts, URLs as docker has them, or HOST/team as podman has them, for
a part of a registry.
A helper that credHelpers or credsStore names comes before the file's own
entries; it gets 30 s, and one that is missing or fails is a warning.

A damaged file that an option or a variable names is exit code 2. One that was
only found is passed over with a warning; one that everybody can read is used,
with a warning.
",
    ),
    (
        "report",
        "\
With -o json standard output is one JSON document, also after a failure or wrong
usage. Fields are only ever added.

  version, outcome, exit_code    1; ok, partial, failed, nothing, usage or
                                 interrupted; as hoist help exit-codes
  images[]                       source, names, targets[] (name, status, error),
                                 digest, media_type, status, error, blobs[]
    status                       pushed, present, failed, skipped
    error                        kind, side (source, registry, local), message,
                                 hint
    blobs[]                      repository, digest, size, status (uploaded,
                                 mounted, present, failed), from, resumed_at,
                                 sent, verified, read_back
  bytes                          total, uploaded (re-sends included), resumed,
                                 mounted, present, read_back
  requests, retries, duration_ms
  waited_ms                      how much of it went by with waiting
  waited                         what for: pause_ms (the registry asked for it),
                                 requests_ms (--requests-per-second),
                                 bandwidth_ms (--limit-rate), retry_ms (between
                                 tries and looks), other_ms (for another hoist
                                 that sent the same); each moment counts once
  errors[], warnings[]           what concerns no single image
",
    ),
    (
        "exit-codes",
        "\
    0  everything was pushed, or was there already
    1  at least one image failed
    2  wrong usage
    3  nothing to push: no image found, all filtered out, or no source that
       could be read
    4  the registry refused the login, or the user
    5  the registry cannot be reached: name, network, proxy, TLS trust; or its
       connections kept breaking
    6  refused by policy
  130  interrupted (Ctrl-C)
  143  terminated (SIGTERM)

4, 5 and 6 only when nothing is in place and every failure has that reason; else
1. hoist serve ends with 0 on both signals.
",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options;

    #[test]
    fn help_fits_a_terminal_and_names_every_option() {
        for found in Command::ALL {
            let text = command(found);
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
                assert_eq!(line, line.trim_end());
            }
            let here = options::all().filter(|option| option.commands.contains(&found));
            for option in here {
                let name = format!("--{}", option.long);
                assert!(text.split_whitespace().any(|word| word == name), "{name}");
            }
        }
        for (_, text) in TOPICS {
            assert!(
                text.lines().all(|line| line.chars().count() <= WIDTH),
                "{text}"
            );
        }
    }

    #[test]
    fn topics_that_do_not_exist_are_refused_with_a_suggestion() {
        let ask = |words: &[&str]| topic(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(ask(&[]).unwrap(), overview());
        assert_eq!(ask(&["push"]).unwrap(), command(Command::Push));
        let error = ask(&["destination"]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("hoist help destinations"));
        assert!(ask(&["sources", "report"]).is_err());
    }
}
