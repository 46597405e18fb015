//! What this room reads, for the mutation loop.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::cli::args::{self, Args};
use crate::cli::network;
use crate::cli::settings::{Environment, Settings};
use crate::cli::usage::UsageError;
use crate::cli::values;
use crate::image::reference::Host;
use crate::soak::{CANARY, Outcome, Target};

pub(crate) fn targets() -> Vec<Target> {
    let words = "\"jobs\": \"registries\": \"r.example\": \"proxy\": :$$@ \"insecure\":true \"ca-cert\": \"chunk-size\": \
        \"include\":[] \"username\": \"requests-per-second\": \"limit-rate\": \"stall-timeout\": \"platform\": \"log\": \
        \"rename\": \"output\": \"verbose\": \"retries\": null \"16MiB\" 0.5";
    let folder: OnceCell<TempDir> = OnceCell::new();
    let file = Target::text("config file", FILES, move |text| {
        config(
            folder.get_or_init(|| tempfile::tempdir().unwrap()).path(),
            text,
        )
    });
    vec![
        file.words(words.split(' ')),
        Target::text("environment", ENVIRONMENTS, environment)
            .words([
                "\n",
                "=",
                "HOIST_JOBS=",
                "HOIST_LOG=",
                "HOIST_INSECURE=",
                "HTTPS_PROXY=",
                "NO_PROXY=",
                "me:$$@",
                "hoist=debug,",
            ])
            .longest(1 << 10),
        Target::text("command line", LINES, line)
            .words([
                "\n", "--", "-", "=", "--jobs", "--map", "-vv", "--tag", "\n-\n",
            ])
            .longest(1 << 10),
        Target::text("size", ["16MiB", "1.5G", "0", "10MB", "17"], size).words([
            "K",
            "M",
            "G",
            "T",
            "iB",
            "B",
            ".",
            "000",
            "0.000000001",
        ]),
        Target::text("duration", ["60s", "1.5m", "500ms", "2h", "7"], duration)
            .words(["ms", "s", "m", "h", ".", "e9"]),
        Target::text(
            "other values",
            [
                "127.0.0.1:5000",
                "localhost:0",
                "hoist=debug,warn",
                "0.5",
                "5",
            ],
            others,
        )
        .words([
            "[::1]:",
            "localhost:",
            ",",
            "=",
            "hoist::net",
            "off",
            "trace",
        ]),
    ]
}

/// `:$$@` stands for a password.
const FILES: [&str; 3] = [
    r#"{"registries": {"me:$$@r.example": {"plain-http": true}}}"#,
    r#"{"jobs": 4, "insecure": false, "chunk-size": "16MiB", "include": ["a/**", "b"], "verbose": 2,
 "registries": {"r.example": {"proxy": "http://me:$$@proxy:3128", "ca-cert": "ca.pem", "username": "me"}}}"#,
    r#"{"retries": 5, "registries": {"[::1]:5000": {"plain-http": true}, "r.example": {"proxy": "none", "limit-rate": "1MiB"}}}"#,
];

const ENVIRONMENTS: [&str; 2] = [
    "HOIST_JOBS=4\nHOIST_LOG=hoist=debug\nHOIST_INSECURE=1\nHOIST_USERNAME=me",
    "HTTPS_PROXY=http://me:$$@proxy:3128\nNO_PROXY=localhost,10.0.0.0/8\nhttp_proxy=proxy\nSSL_CERT_DIR=/nowhere:/none",
];

const LINES: [&str; 3] = [
    "push\n--jobs=4\n-v\n--tag\n1.2\na.tar\nr.example/",
    "list\n--long\n--platform\nlinux/arm64\n-o\njson\na\nb",
    "serve\n--listen\n127.0.0.1:0\n--\n-dir",
];

/// Where it has its place; elsewhere nobody would look for one.
fn with_password(text: &str) -> String {
    let places = [
        "\"proxy\": \"http://me",
        "HTTPS_PROXY=http://me",
        "registries\": {\"me",
    ];
    places.iter().fold(text.to_owned(), |text, place| {
        text.replace(&format!("{place}:$$@"), &format!("{place}:{CANARY}@"))
    })
}

fn typed(words: &[&str]) -> (Args, Option<UsageError>) {
    args::parse(words.iter().map(OsString::from).collect())
}

fn host() -> Host {
    Host::parse("r.example").unwrap()
}

fn refused(outcome: Outcome, error: &UsageError, folder: &Path) -> Outcome {
    let plain = |text: &str| text.replace(&*folder.to_string_lossy(), "");
    let outcome = outcome.saying(plain(&error.message));
    error
        .hint
        .iter()
        .fold(outcome, |outcome, hint| outcome.saying(plain(hint)))
}

fn config(folder: &Path, text: &str) -> Outcome {
    let path = folder.join("config.json");
    fs::write(&path, with_password(text)).unwrap();
    let (args, error) = typed(&[
        "push",
        "--config",
        path.to_str().unwrap(),
        "a.tar",
        "r.example/",
    ]);
    assert!(error.is_none());
    settled(args, &Environment::new(), folder)
}

fn settled(args: Args, env: &Environment, folder: &Path) -> Outcome {
    let failed = Outcome::refused("hoist cannot be run like this");
    let settings = match Settings::gather(args, env) {
        Ok(settings) => settings,
        Err(error) => return refused(failed, &error, folder),
    };
    let mut outcome = Outcome::accepted();
    for host in [None, Some(&host())] {
        match settings.args(host) {
            Ok(settled) => {
                let shown = format!("{settled:?}");
                assert!(!shown.contains(CANARY), "{shown}");
                outcome = outcome.with(shown.len() / 16);
            }
            Err(error) => outcome = refused(outcome, &error, folder),
        }
    }
    outcome
}

/// `NAME=VALUE` on each line.
fn environment(text: &str) -> Outcome {
    let text = with_password(text);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    // A file that it names may be any on this machine.
    let lines = lines.filter(|(name, _)| !name.contains('\0') && !name.contains("CONFIG"));
    let env: Environment = lines
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let nowhere = Path::new("/nowhere-at-all");
    let args = || typed(&["push", "a.tar", "r.example/"]).0;
    let outcome = settled(args(), &env, nowhere);
    match network::settle(&args(), &env, &host()) {
        Ok(settings) => {
            let proxies = &settings.proxies;
            outcome.with((
                proxies.http.is_some(),
                proxies.https.as_ref().map(Result::is_ok),
            ))
        }
        Err(error) => refused(outcome, &error, nowhere),
    }
}

fn line(text: &str) -> Outcome {
    let words: Vec<&str> = text.split('\n').collect();
    let (args, error) = typed(&words);
    let command = args.command.map(|command| command.name());
    match error {
        None => Outcome::accepted().with(command),
        Some(error) => refused(
            Outcome::refused("wrong usage"),
            &error,
            Path::new("/nowhere-at-all"),
        )
        .with(command),
    }
}

fn size(text: &str) -> Outcome {
    let parsed = values::size(text);
    if let Ok(bytes) = parsed {
        assert_eq!(values::size(&bytes.to_string()), Ok(bytes));
    }
    let chunk = values::chunk_size(text);
    assert!(
        chunk
            .as_ref()
            .map_or(true, |chunk| (1 << 10..=1 << 40).contains(chunk))
    );
    let rate = values::limit_rate(text).is_ok();
    Outcome::of(parsed).with((chunk.is_ok(), rate))
}

fn duration(text: &str) -> Outcome {
    let parsed = values::duration(text);
    if let Ok(duration) = parsed {
        let written = format!("{}ms", duration.as_millis());
        assert_eq!(values::duration(&written), Ok(duration));
    }
    let stall = values::stall_timeout(text);
    assert!(stall.is_err() || parsed.is_ok());
    Outcome::of(parsed).with(stall.is_ok())
}

fn others(text: &str) -> Outcome {
    let listen = values::listen(text);
    if let Ok(address) = &listen {
        assert_eq!(values::listen(&address.to_string()).as_ref(), Ok(address));
    }
    let number = values::number(text, 1..=9);
    assert!(
        number
            .as_ref()
            .map_or(true, |number| (1..=9).contains(number))
    );
    let rate = values::requests_per_second(text);
    let filter = values::log_filter(text);
    let agent = values::user_agent(text);
    let taken = (
        listen.is_ok(),
        number.is_ok(),
        rate.is_ok(),
        filter.is_ok(),
        agent.is_ok(),
    );
    let errors = [
        listen.err(),
        number.err(),
        rate.err(),
        filter.err(),
        agent.err(),
    ];
    let outcome = match taken {
        (false, false, false, false, _) => Outcome::refused("none of them"),
        _ => Outcome::accepted(),
    };
    errors
        .into_iter()
        .flatten()
        .fold(outcome, Outcome::saying)
        .with(taken)
}
