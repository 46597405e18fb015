//! What was typed: arguments to a struct, without a look at anything else.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;

use crate::cli::logging;
use crate::cli::options::{self, Opt, Take};
use crate::cli::settings::{Setting, Value};
use crate::cli::usage::{UsageError, nearest};
use crate::image::digest::quote;
use crate::image::name::Rename;
use crate::image::platform::Platform;
use crate::image::reference::Tag;
use crate::net::Proxy;
use crate::push::operation::Format;
use crate::registry::client::Rate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Push,
    List,
    Serve,
    Login,
    Logout,
    Cache,
    Help,
}

impl Command {
    pub(crate) const ALL: [Self; 7] = [
        Self::Push,
        Self::List,
        Self::Serve,
        Self::Login,
        Self::Logout,
        Self::Cache,
        Self::Help,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::List => "list",
            Self::Serve => "serve",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Cache => "cache",
            Self::Help => "help",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.name() == name)
    }
}

/// The options as typed, each the last time it was, and the operands.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) command: Option<Command>,
    pub(crate) operands: Vec<OsString>,
    /// `--help` or `-h`, anywhere.
    pub(crate) help: bool,
    /// `--version` or `-V`, anywhere.
    pub(crate) version: bool,
    /// The options one by one, as typed.
    pub(crate) given: Vec<Setting>,

    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) min_size: Option<u64>,
    pub(crate) max_size: Option<u64>,
    pub(crate) follow_links: bool,
    pub(crate) renames: Vec<Rename>,
    pub(crate) map: Option<PathBuf>,
    pub(crate) partial_index: bool,
    pub(crate) push_foreign: bool,
    pub(crate) tags: Vec<Tag>,

    pub(crate) jobs: Option<u32>,
    pub(crate) images: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) chunk_size: Option<u64>,
    pub(crate) requests_per_second: Option<Rate>,
    /// Bytes.
    pub(crate) limit_rate: Option<Rate>,
    pub(crate) compression: Option<Codec>,
    pub(crate) compression_level: Option<u32>,
    pub(crate) format: Option<Format>,
    pub(crate) fail_fast: bool,
    pub(crate) force: bool,
    pub(crate) verify: bool,

    pub(crate) username: Option<String>,
    pub(crate) password_stdin: bool,
    pub(crate) password_file: Option<PathBuf>,
    /// There is one in the environment.
    pub(crate) password_variable: bool,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) auth_file: Option<PathBuf>,
    pub(crate) ca_certs: Vec<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) plain_http: bool,
    pub(crate) user_agent: Option<String>,
    /// The one for this registry; the inner `None` is to reach it directly.
    pub(crate) proxy: Option<Option<Proxy>>,

    pub(crate) output: Output,
    pub(crate) digest_file: Option<PathBuf>,
    pub(crate) progress: Progress,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,

    pub(crate) log: Option<logging::Filter>,

    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) no_cache: bool,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) no_state: bool,
    pub(crate) older_than: Option<Duration>,

    pub(crate) long: bool,

    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zstd,
    None,
}

impl Codec {
    /// Why there is no such level.
    pub(crate) fn refuses(self, level: u32) -> Option<&'static str> {
        match self {
            Self::Gzip if level > 9 => Some("gzip has the levels 0 to 9"),
            Self::Zstd if !(1..=19).contains(&level) => Some("zstd has the levels 1 to 19"),
            Self::None => Some("what is not compressed has no level"),
            Self::Gzip | Self::Zstd => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    #[default]
    Auto,
    Bar,
    Plain,
    None,
}

/// What was typed, and the first thing wrong with it.
///
/// An error does not end the parsing: what comes after it still says where the error is to go
/// (`--output json`).
pub(crate) fn parse(args: Vec<OsString>) -> (Args, Option<UsageError>) {
    let mut parser = lexopt::Parser::from_args(args);
    let mut typed = Args::default();
    let mut first_error = None;
    loop {
        match next(&mut parser, &mut typed) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                first_error.get_or_insert(error);
                // An unknown command: what follows is read as if for the most capable one.
                typed.command.get_or_insert(Command::Push);
            }
        }
    }
    (typed, first_error)
}

/// Takes one argument and its value; false at the end.
fn next(parser: &mut lexopt::Parser, typed: &mut Args) -> Result<bool, UsageError> {
    let arg = parser.next().map_err(|error| lexical(&error))?;
    let option = match arg {
        None => return Ok(false),
        Some(Arg::Value(value)) => {
            operand(typed, value)?;
            return Ok(true);
        }
        Some(Arg::Long("help") | Arg::Short('h')) => {
            typed.help = true;
            return Ok(true);
        }
        Some(Arg::Long("version") | Arg::Short('V')) => {
            typed.version = true;
            return Ok(true);
        }
        Some(Arg::Long(long)) => find(typed, |option| option.long == long)
            .ok_or_else(|| unknown(typed.command, &format!("--{long}")))?,
        Some(Arg::Short(short)) => find(typed, |option| option.short == Some(short))
            .ok_or_else(|| unknown(typed.command, &format!("-{short}")))?,
    };
    let called = format!("--{}", option.long);
    let value = match option.take {
        Take::Flag(_) => Value::Times(1),
        Take::Value { name, .. } => {
            let value = parser.value().map_err(|_| {
                UsageError::new(format!("{called} needs a value")).hint(format!("{called} {name}"))
            })?;
            Value::Words(vec![value])
        }
    };
    let setting = Setting {
        option,
        called,
        value,
    };
    setting.apply(typed)?;
    typed.given.push(setting);
    Ok(true)
}

fn find(typed: &Args, matches: impl Fn(&Opt) -> bool) -> Option<&'static Opt> {
    let command = typed.command?;
    options::all().find(|option| option.commands.contains(&command) && matches(option))
}

/// The first operand is the command.
fn operand(typed: &mut Args, value: OsString) -> Result<(), UsageError> {
    if typed.command.is_some() {
        typed.operands.push(value);
        return Ok(());
    }
    let name = value.to_string_lossy();
    let command = Command::named(&name).ok_or_else(|| {
        let meant = nearest(&name, Command::ALL.map(Command::name));
        let hint = meant.map_or_else(
            || "hoist --help".to_owned(),
            |meant| format!("hoist {meant}"),
        );
        UsageError::new(format!("unknown command {}", quote(&name))).hint(hint)
    })?;
    typed.command = Some(command);
    Ok(())
}

fn unknown(command: Option<Command>, typed: &str) -> UsageError {
    let known = |option: &&Opt| option.long == typed.trim_start_matches('-');
    let Some(command) = command else {
        let found = options::all().find(known);
        return found.map_or_else(
            || UsageError::new(format!("unknown option {typed}")).hint("hoist --help"),
            |_| UsageError::new(format!("{typed} comes after the command")).hint("hoist --help"),
        );
    };
    let here = |option: &&Opt| option.commands.contains(&command);
    let name = command.name();
    let elsewhere = options::all().find(known);
    if let Some(owner) = elsewhere.and_then(|option| option.commands.first()) {
        return UsageError::new(format!(
            "{typed} is an option of hoist {}, not of hoist {name}",
            owner.name()
        ))
        .hint(format!("hoist {name} --help"));
    }
    let names = options::all().filter(here).map(|option| option.long);
    let meant = nearest(typed.trim_start_matches('-'), names);
    let hint = match meant {
        Some(long) if typed.starts_with("--") => format!("--{long}"),
        _ => format!("hoist {name} --help"),
    };
    UsageError::new(format!("unknown option {typed}")).hint(hint)
}

fn lexical(error: &lexopt::Error) -> UsageError {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            let value = quote(&value.to_string_lossy());
            UsageError::new(format!("{option} takes no value, and was given {value}"))
        }
        other => UsageError::new(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> (Args, Option<String>) {
        let (args, error) = parse(line.split_whitespace().map(OsString::from).collect());
        (args, error.map(|error| error.message))
    }

    #[test]
    fn options_and_operands_mix() {
        let (args, error) = typed(
            "push -j4 a.tar --tag=v1 -qu robot --platform linux/arm64 -o json b/ -- -c host/",
        );
        assert_eq!(error, None);
        assert_eq!(args.command, Some(Command::Push));
        assert_eq!(args.operands, ["a.tar", "b/", "-c", "host/"]);
        assert_eq!(args.jobs, Some(4));
        assert_eq!(args.username.as_deref(), Some("robot"));
        assert_eq!(args.platforms.len(), 1);
        assert_eq!(args.tags.len(), 1);
        assert!(args.quiet && !args.help);
        assert_eq!(args.output, Output::Json);
    }

    #[test]
    fn every_option_is_taken_by_its_commands() {
        let legal = |option: &Opt| match option.long {
            "platform" => "linux/arm64",
            "stall-timeout" => "2m",
            "older-than" => "30d",
            "chunk-size" | "limit-rate" | "min-size" | "max-size" => "16MiB",
            "compression" => "gzip",
            "format" => "docker",
            "output" => "json",
            "rename" => "q.io/a=b",
            "progress" => "plain",
            "listen" => "127.0.0.1:0",
            "include" | "exclude" => "a/**",
            _ => "1",
        };
        for option in options::all() {
            for command in Command::ALL {
                let value = match option.take {
                    Take::Flag(_) => String::new(),
                    Take::Value { .. } => format!("={}", legal(option)),
                };
                let line = format!("{} --{}{value}", command.name(), option.long);
                let accepted = typed(&line).1.is_none();
                assert_eq!(accepted, option.commands.contains(&command), "{line}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for (line, message) in [
            ("pusch a b", "unknown command \"pusch\""),
            ("--jobs 3 push", "--jobs comes after the command"),
            ("push --jbos 3", "unknown option --jbos"),
            ("push --dry-run", "unknown option --dry-run"),
            ("push -x", "unknown option -x"),
            ("push --jobs", "--jobs needs a value"),
            (
                "list --jobs 3",
                "--jobs is an option of hoist push, not of hoist list",
            ),
            (
                "push --insecure=yes",
                "--insecure takes no value, and was given \"yes\"",
            ),
            (
                "push --jobs 0",
                "\"0\" is not legal for --jobs: write a whole number from 1 to 256",
            ),
            (
                "push --compression xz",
                "\"xz\" is not legal for --compression: write gzip or zstd or none",
            ),
            (
                "push --rename nginx=web",
                "--rename: \"nginx=web\" is not a rule: FROM begins with the host of the names it is for",
            ),
            (
                "push --platform linux",
                "--platform: \"linux\" is no platform: write OS/ARCH or OS/ARCH/VARIANT",
            ),
        ] {
            assert_eq!(typed(line).1.as_deref(), Some(message), "{line}");
        }
    }

    #[test]
    fn an_error_does_not_hide_where_it_is_to_go() {
        for line in [
            "push --bad -o json",
            "push -o json --bad",
            "push --jobs x --output=json",
            "pusch -ojson a b",
            "push --bad=1 -qo=json",
            "--bad -o json",
            "list --quiet=1 -o json",
        ] {
            let (args, error) = typed(line);
            assert!(error.is_some(), "{line}");
            assert_eq!(args.output, Output::Json, "{line}");
        }
        let (args, _) = typed("push --bad -- -o json");
        assert_eq!(args.output, Output::Text, "after -- nothing is an option");
    }
}
