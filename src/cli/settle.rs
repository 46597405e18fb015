//! From what was typed to what a command needs: here choices are checked against each other, and
//! files, environment and standard input are looked at, once.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::cli::args::{Args, Codec, Progress};
use crate::cli::settings::Settings;
use crate::cli::usage::UsageError;
use crate::cli::{Surroundings, folders, identity, limits, logging, naming, network};
use crate::image::digest::quote;
use crate::image::filter::Filter;
use crate::image::name::Destination;
use crate::image::stdin::{self, Input, StandardInput};
use crate::net;
use crate::observe::progress::Detail;
use crate::push::operation::{Compression, Format, Operation};
use crate::registry::client;

const COLUMNS: usize = 80;

/// A push that can be run.
pub(crate) struct Push {
    pub(crate) operation: Operation,
    pub(crate) display: Display,
    pub(crate) digest_file: Option<PathBuf>,
    pub(crate) log: Option<logging::Filter>,
    /// What is done otherwise than asked, or should not be as it is.
    pub(crate) warnings: Vec<String>,
}

/// What is shown on standard error while a push runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    Nothing,
    Bar { width: usize },
    Lines(Detail),
}

pub(crate) fn push(settings: &Settings, around: &mut Surroundings) -> Result<Push, UsageError> {
    let typed = settings.typed();
    let (sources, destination) = operands(typed.operands.clone(), typed.password_stdin)?;
    let args = settings.args(Some(destination.host()))?;
    let filter = filter(&args)?;
    let compression = compression(&args)?;
    let display = display(&args, around);
    let log = logging::Filter::of(&args);
    let net = network::settle(&args, &around.env, destination.host())?;
    let cache = folders::cache(&args, &around.env);
    let state = folders::state(&args, &around.env);
    let mut warnings = Vec::new();
    let keychain = identity::keychain(&args, around, destination.host(), &mut warnings)?;
    let naming = naming::settle(args.renames, args.map.as_deref(), args.tags, &destination)?;
    args.digest_file.as_deref().map_or(Ok(()), digest_file)?;
    let standard = Operation::new(sources, destination);
    let wanted = args.jobs.unwrap_or(standard.jobs as u32);
    let open_files = limits::open_files();
    let jobs = limits::bearable(wanted, open_files);
    let stdin = stdin(&standard.sources, around)?;
    let operation = Operation {
        stdin,
        filter,
        follow_links: args.follow_links,
        naming,
        format: args.format,
        compression,
        jobs: jobs as usize,
        images: args
            .images
            .map_or(standard.images, |images| images as usize),
        fail_fast: args.fail_fast,
        force: args.force,
        verify: args.verify,
        cache,
        state,
        state_is_named: args.state_dir.is_some(),
        registry: client::Settings {
            keychain,
            known_service: None,
            sessions: None,
            retries: args.retries.unwrap_or(standard.registry.retries),
            chunk_size: args.chunk_size,
            plain_http: args.plain_http,
            insecure: args.insecure,
            limits: client::Limits {
                requests: args.requests_per_second,
                bytes: args.limit_rate,
            },
        },
        net: net::Settings {
            connections: jobs as usize,
            ..net
        },
        ..standard
    };
    if let Some(most) = open_files.filter(|_| jobs < wanted) {
        warnings.push(format!("--jobs {jobs} instead of {wanted}: no more than {most} files may be open at once (ulimit -n)"));
    }
    Ok(Push {
        operation,
        display,
        digest_file: args.digest_file,
        log,
        warnings,
    })
}

pub(crate) fn filter(args: &Args) -> Result<Filter, UsageError> {
    if let (Some(least), Some(most)) = (args.min_size, args.max_size)
        && least > most
    {
        return Err(UsageError::new(format!(
            "--min-size {least} is above --max-size {most}: no image has such a size"
        )));
    }
    Ok(Filter {
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        min_size: args.min_size,
        max_size: args.max_size,
        platforms: args.platforms.clone(),
        partial_index: args.partial_index,
        push_foreign: args.push_foreign,
    })
}

/// Paths to look through; `-` is standard input.
pub(crate) fn sources(operands: Vec<OsString>) -> Result<Vec<PathBuf>, UsageError> {
    for operand in &operands {
        if operand.is_empty() {
            return Err(UsageError::new("\"\" is no source: it is empty"));
        }
    }
    if operands.iter().filter(|operand| *operand == "-").count() > 1 {
        let message = "standard input can be read once: - is a source twice";
        return Err(UsageError::new(message));
    }
    Ok(operands.into_iter().map(PathBuf::from).collect())
}

/// Standard input, when it is among `sources`.
pub(crate) fn stdin(
    sources: &[PathBuf],
    around: &mut Surroundings,
) -> Result<Option<StandardInput>, UsageError> {
    if !sources
        .iter()
        .any(|source| source == Path::new(stdin::NAME))
    {
        return Ok(None);
    }
    if around.stdin_is_terminal {
        let message = "standard input is a terminal, and should be an archive";
        return Err(UsageError::new(message).hint("redirect a file to it, or pipe one into it"));
    }
    let folder = around.env.get(OsStr::new("TMPDIR"));
    let folder = folder.filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(|| "/tmp".into(), PathBuf::from);
    let input = match around.stdin_file.take() {
        Some(file) => Input::File(file),
        None => Input::Pipe(std::mem::replace(
            &mut around.stdin,
            Box::new(std::io::empty()),
        )),
    };
    Ok(Some(StandardInput::new(input, folder)))
}

fn operands(
    mut operands: Vec<OsString>,
    password_stdin: bool,
) -> Result<(Vec<PathBuf>, Destination), UsageError> {
    const USAGE: &str = "hoist push SOURCE... DESTINATION";
    let last = operands.pop();
    let Some(last) = last else {
        return Err(UsageError::new("no source and no destination").hint(USAGE));
    };
    if operands.is_empty() {
        return Err(UsageError::new("no destination").hint(USAGE));
    }
    if password_stdin && operands.iter().any(|operand| operand == "-") {
        let message = "standard input cannot be a source and the password: SOURCE - and \
                       --password-stdin exclude each other";
        return Err(UsageError::new(message));
    }
    let text = last.to_str().ok_or_else(|| {
        UsageError::new(format!(
            "destination {} is not UTF-8",
            quote(&last.to_string_lossy())
        ))
    })?;
    let sources = sources(operands)?;
    let destination = Destination::parse(text, &|path| path.exists()).map_err(|error| {
        let error = UsageError::reference(&error);
        let hint = error.hint.clone();
        error.hint(hint.unwrap_or_else(|| "hoist help destinations".to_owned()))
    })?;
    Ok((sources, destination))
}

fn compression(args: &Args) -> Result<Option<Compression>, UsageError> {
    let Some(codec) = args
        .compression
        .or(args.compression_level.map(|_| Codec::Gzip))
    else {
        return Ok(None);
    };
    if codec == Codec::Zstd && args.format == Some(Format::Docker) {
        let message = "--format docker and --compression zstd contradict each other: docker \
                       manifests have no layers of zstd";
        return Err(UsageError::new(message).hint("--format oci"));
    }
    let level = args.compression_level;
    if let (Some(level), Some(why)) = (level, level.and_then(|level| codec.refuses(level))) {
        return Err(UsageError::new(format!(
            "--compression-level {level}: {why}"
        )));
    }
    Ok(Some(match codec {
        Codec::None => Compression::None,
        Codec::Gzip => level.map_or_else(Compression::default, |level| Compression::Gzip { level }),
        Codec::Zstd => Compression::Zstd {
            level: level.unwrap_or(3),
        },
    }))
}

/// What can be seen to go wrong is said now, not after an hour of pushing.
fn digest_file(path: &Path) -> Result<(), UsageError> {
    let wrong = |why: &str| {
        let path = path.display();
        Err(UsageError::new(format!("--digest-file {path}: {why}")))
    };
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return wrong("is a folder"),
    };
    if path.is_dir() {
        return wrong("is a folder");
    }
    if !folder.is_dir() {
        return wrong("its folder is not there");
    }
    Ok(())
}

/// A live display needs a terminal that understands it, and has no use beside a log.
fn display(args: &Args, around: &Surroundings) -> Display {
    let dumb = around
        .env
        .get(OsStr::new("TERM"))
        .is_some_and(|term| term == "dumb");
    let wanted = match args.progress {
        Progress::Auto if around.stderr_is_terminal && !dumb => Progress::Bar,
        Progress::Auto => Progress::Plain,
        other => other,
    };
    match (wanted, args.verbose) {
        _ if args.quiet => Display::Nothing,
        (Progress::None, _) => Display::Lines(Detail::Warnings),
        (Progress::Bar, 0) => Display::Bar {
            width: columns(around).unwrap_or(COLUMNS),
        },
        (_, 0) => Display::Lines(Detail::Images),
        (_, _) => Display::Lines(Detail::Blobs),
    }
}

fn columns(around: &Surroundings) -> Option<usize> {
    let text = around.env.get(OsStr::new("COLUMNS"))?;
    let columns: u16 = text.to_str()?.parse().ok()?;
    (columns >= 20).then_some(columns.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::clock::Stop;

    fn around(env: &[(&str, &str)], terminal: bool) -> Surroundings {
        let env = env.iter().map(|(key, value)| (key.into(), value.into()));
        Surroundings {
            env: env.collect(),
            stdin: Box::new(std::io::empty()),
            stdin_file: None,
            stdin_is_terminal: false,
            stderr_is_terminal: terminal,
            signals: Box::new(|| Ok(std::sync::mpsc::channel().1)),
            stop: Stop::default(),
        }
    }

    fn typed(line: &str) -> Args {
        let words = line.split_whitespace().map(OsString::from);
        let (args, error) = crate::cli::args::parse(words.collect());
        assert_eq!(error, None, "{line}");
        args
    }

    #[test]
    fn the_display_suits_the_terminal() {
        let bar = Display::Bar { width: 80 };
        let lines = Display::Lines(Detail::Images);
        for (line, env, terminal, expected) in [
            ("push", &[][..], true, bar),
            ("push", &[], false, lines),
            (
                "push",
                &[("COLUMNS", "132")],
                true,
                Display::Bar { width: 132 },
            ),
            ("push", &[("COLUMNS", "banana")], true, bar),
            ("push", &[("COLUMNS", "0")], true, bar),
            ("push", &[("TERM", "dumb")], true, lines),
            ("push --progress bar", &[], false, bar),
            ("push --progress plain", &[], true, lines),
            (
                "push --progress none",
                &[],
                true,
                Display::Lines(Detail::Warnings),
            ),
            ("push -v", &[], true, Display::Lines(Detail::Blobs)),
            (
                "push -v --progress bar",
                &[],
                true,
                Display::Lines(Detail::Blobs),
            ),
            ("push -q --progress bar", &[], true, Display::Nothing),
        ] {
            let shown = display(&typed(line), &around(env, terminal));
            assert_eq!(shown, expected, "{line} {env:?}");
        }
    }
}
