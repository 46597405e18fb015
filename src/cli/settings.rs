//! Who says what is done: the command line, then the environment, then the configuration file. What one
//! of them says takes the place of all that those behind it say about the same.
//!
//! All three set the same options, by the table of [`options`].

mod file;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::cli::args::{Args, Command};
use crate::cli::identity::IDENTITY;
use crate::cli::options::{self, Given, Opt, Take};
use crate::cli::settings::file::File;
use crate::cli::usage::UsageError;
use crate::image::reference::Host;

pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// One option, and what somebody wants of it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) option: &'static Opt,
    /// As errors call it: `--jobs`, `HOIST_JOBS`, `"jobs"`.
    pub(crate) called: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Of an option without a value, so often; 0 says that it is not wanted.
    Times(u8),
    Words(Vec<OsString>),
}

/// Everything that was said, before it is known which registry it is for.
#[derive(Debug)]
pub(crate) struct Settings {
    typed: Args,
    variables: Vec<Setting>,
    file: File,
    /// What could not be looked at.
    pub(crate) warning: Option<String>,
}

impl Setting {
    pub(crate) fn apply(&self, args: &mut Args) -> Result<(), UsageError> {
        let mut apply = |word: &OsStr| {
            let given = Given::new(&self.called, word);
            self.option.apply(args, &given)
        };
        match &self.value {
            Value::Times(times) => (0..*times).try_for_each(|_| apply(OsStr::new(""))),
            Value::Words(words) => words.iter().try_for_each(|word| apply(word)),
        }
    }

    fn is_on(&self) -> bool {
        !matches!(self.value, Value::Times(0))
    }

    fn is(&self, long: &str) -> bool {
        self.option.long == long
    }

    /// Said to be `word`.
    fn says(&self, word: &str) -> bool {
        matches!(&self.value, Value::Words(words) if words.iter().any(|said| said == word))
    }

    /// Whether what `low` says does not count beside this.
    fn overrules(&self, low: &Self) -> bool {
        self.is(low.option.long)
            || opposite(self, low).is_some()
            || self.is_method_without(low)
            || (low.is("log") && self.is_on() && (self.is("verbose") || self.is("quiet")))
    }

    /// Whether this is a way to compress that has not the level that `low` is.
    fn is_method_without(&self, low: &Self) -> bool {
        let mut args = Args::default();
        let both = self.is("compression")
            && low.is("compression-level")
            && self.apply(&mut args).is_ok()
            && low.apply(&mut args).is_ok();
        let said = args.compression.zip(args.compression_level);
        both && said.is_some_and(|(codec, level)| codec.refuses(level).is_some())
    }

    /// Whether this takes the first of a pair away, of which `low` is the second; `beside` is what was
    /// said with `low`.
    fn parts(&self, low: &Self, beside: &[Self]) -> bool {
        let pair = |(first, second): &(&str, &str)| {
            self.is(first) && low.is(second) && beside.iter().any(|other| other.is(first))
        };
        PAIRS.iter().any(pair)
    }
}

impl Settings {
    /// Looks at the environment and reads the configuration file.
    pub(crate) fn gather(typed: Args, env: &Environment) -> Result<Self, UsageError> {
        contradictions(&typed.given)?;
        let variables = variables(typed.command, env)?;
        let named = layered(&[&variables, &typed.given]);
        let named = named.iter().rfind(|setting| setting.is("config"));
        let (file, warning) = file::of(named.copied(), env)?;
        Ok(Self {
            typed,
            variables,
            file,
            warning,
        })
    }

    /// What was typed, and nothing else.
    pub(crate) fn typed(&self) -> &Args {
        &self.typed
    }

    /// What holds for a command; where it is about one registry, for that.
    pub(crate) fn args(&self, host: Option<&Host>) -> Result<Args, UsageError> {
        let mut args = Args {
            command: self.typed.command,
            operands: self.typed.operands.clone(),
            ..Args::default()
        };
        let section = host.map_or(&[][..], |host| self.file.section(host));
        let layers = [&self.file.top, section, &self.variables, &self.typed.given];
        let here = |option: &Opt| {
            let command = self.typed.command;
            command.is_some_and(|command| option.commands.contains(&command))
        };
        for setting in layered(&layers) {
            if here(setting.option) {
                setting.apply(&mut args)?;
            }
        }
        Ok(args)
    }
}

/// What counts of `layers`, the weakest first.
fn layered<'a>(layers: &[&'a [Setting]]) -> Vec<&'a Setting> {
    let mut counting: Vec<(&'a [Setting], &'a Setting)> = Vec::new();
    for layer in layers {
        counting.retain(|(beside, low)| {
            !layer
                .iter()
                .any(|high| high.overrules(low) || high.parts(low, beside))
        });
        counting.extend(layer.iter().map(|setting| (*layer, setting)));
    }
    counting.into_iter().map(|(_, setting)| setting).collect()
}

/// The second belongs to the first that is said with it, and to no other.
const PAIRS: &[(&str, &str)] = &[
    ("username", "password-file"),
    ("username", "token-file"),
    ("username", "password"),
    ("client-cert", "client-key"),
];

/// Options that say no to each other, and what the question is.
const OPPOSITES: &[(&str, &str, &str)] = &[
    ("quiet", "verbose", "less or more?"),
    ("plain-http", "ca-cert", "http has no certificates"),
    ("plain-http", "client-cert", "http has no certificates"),
    ("plain-http", "client-key", "http has no certificates"),
    ("insecure", "ca-cert", "certificates are verified or not"),
    ("cache-dir", "no-cache", "where, or nowhere?"),
    ("state-dir", "no-state", "where, or nowhere?"),
    ("password-stdin", "password-file", ONE_SECRET),
    ("password-stdin", "token-file", ONE_SECRET),
    ("password-stdin", "password", ONE_SECRET),
    ("password-file", "token-file", ONE_SECRET),
    ("password-file", "password", ONE_SECRET),
    ("token-file", "password", ONE_SECRET),
];

const ONE_SECRET: &str = "one secret is enough";

fn opposite(one: &Setting, other: &Setting) -> Option<&'static str> {
    let pair = |a: &str, b: &str| (one.is(a) && other.is(b)) || (one.is(b) && other.is(a));
    if !one.is_on() || !other.is_on() {
        return None;
    }
    if pair("compression", "compression-level") && (one.says("none") || other.says("none")) {
        return Some("what is not compressed has no level");
    }
    if pair("username", "token-file") && !(one.says(IDENTITY) || other.says(IDENTITY)) {
        return Some("a token says itself who the user is");
    }
    let known = OPPOSITES.iter().find(|(a, b, _)| pair(a, b));
    known.map(|(_, _, why)| *why)
}

/// What one source of settings says must hold together.
fn contradictions(said: &[Setting]) -> Result<(), UsageError> {
    for (position, one) in said.iter().enumerate() {
        for other in &said[..position] {
            let Some(why) = opposite(other, one) else {
                continue;
            };
            let message = format!(
                "{} and {} contradict each other: {why}",
                other.called, one.called
            );
            return Err(UsageError::new(message).hint("leave one of them out"));
        }
    }
    Ok(())
}

/// What the environment says to `command`. An empty variable is as good as none.
fn variables(command: Option<Command>, env: &Environment) -> Result<Vec<Setting>, UsageError> {
    let mut found = Vec::new();
    for option in options::settable() {
        let here = command.is_some_and(|command| option.commands.contains(&command));
        let Some(name) = option.variable.filter(|_| here) else {
            continue;
        };
        let Some(text) = env.get(OsStr::new(name)).filter(|text| !text.is_empty()) else {
            continue;
        };
        let value = match option.take {
            Take::Flag(_) if option.secret => Value::Times(1),
            Take::Flag(_) => Value::Times(u8::from(truth(name, text)?)),
            Take::Value { .. } => Value::Words(vec![text.clone()]),
        };
        let setting = Setting {
            option,
            called: name.to_owned(),
            value,
        };
        setting.apply(&mut Args::default())?;
        found.push(setting);
    }
    Ok(found)
}

fn truth(name: &str, text: &OsStr) -> Result<bool, UsageError> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["1", "true", "yes", "on"]) {
        return Ok(true);
    }
    if is(["0", "false", "no", "off"]) {
        return Ok(false);
    }
    let legal = "1, true, yes or on, or 0, false, no or off";
    Err(UsageError::value(name, &text.to_string_lossy(), legal))
}

#[cfg(test)]
mod tests;
