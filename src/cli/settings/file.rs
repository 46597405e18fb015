//! The configuration file: one JSON object of long options, and under `registries` one object for each
//! registry that needs something else.
//!
//! What it says may be policy, so there is no half of it: a file that is there and cannot be read or
//! understood ends the command.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use crate::cli::args::Args;
use crate::cli::folders;
use crate::cli::options::{self, Form, Opt, Scope, Take};
use crate::cli::settings::{Environment, Setting, Value, contradictions};
use crate::cli::usage::{UsageError, nearest};
use crate::image::digest::quote;
use crate::image::reference::Host;

/// Nobody writes a longer one by hand, in bytes.
const MOST: u64 = 1 << 20;
const REGISTRIES: &str = "registries";

#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) top: Vec<Setting>,
    sections: Vec<(Host, Vec<Setting>)>,
}

impl File {
    /// What is said about one registry; its port counts.
    pub(super) fn section(&self, host: &Host) -> &[Setting] {
        let same = |other: &Host| other.as_str().eq_ignore_ascii_case(host.as_str());
        let found = self.sections.iter().find(|(other, _)| same(other));
        found.map_or(&[], |(_, settings)| settings)
    }
}

/// The file that `named` names, else the one in its usual place, if it is there. With a warning when that
/// cannot be known.
pub(super) fn of(
    named: Option<&Setting>,
    env: &Environment,
) -> Result<(File, Option<String>), UsageError> {
    let usual = || folders::config(env).map(|folder| folder.join("config.json"));
    let (path, called) = match named {
        Some(Setting {
            value: Value::Words(words),
            called,
            ..
        }) => (words.last().map(PathBuf::from), called.as_str()),
        _ => (usual(), "config file"),
    };
    let Some(path) = path else {
        return Ok((File::default(), None));
    };
    let called = format!("{called} {}", path.display());
    if named.is_none()
        && let Err(error) = fs::metadata(&path)
    {
        use io::ErrorKind::{NotADirectory, NotFound};
        // A folder of somebody else's may hold one or not: containers often have such a HOME.
        let warning = format!("{called} cannot be looked for: {error}");
        let known = matches!(error.kind(), NotFound | NotADirectory);
        return Ok((File::default(), (!known).then_some(warning)));
    }
    let wrong = |why: String| UsageError::new(format!("{called}: {why}"));
    let bytes = read(&path).map_err(wrong)?;
    Ok((parse(&bytes, &path)?, None))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST {
        return Err(format!("has more than {} MiB", MOST >> 20));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8], path: &Path) -> Result<File, UsageError> {
    let reading = Reading {
        folder: path.parent().unwrap_or(Path::new("")),
        fault: RefCell::new(None),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Top(&reading).deserialize(&mut deserializer);
    let parsed = parsed.and_then(|file| deserializer.end().map(|()| file));
    parsed.map_err(|error| {
        let path = path.display();
        match reading.fault.take() {
            Some(fault) => UsageError {
                message: format!("{path}, line {}: {}", error.line(), fault.message),
                ..fault
            },
            None => {
                let why = without_text(&error);
                UsageError::new(format!("{path} is no configuration file: {why}"))
                    .hint("hoist help config")
            }
        }
    })
}

/// What serde_json says, without the text that was found instead: that may have the password of a proxy.
fn without_text(error: &serde_json::Error) -> String {
    let sentence = error.to_string();
    let parts = sentence
        .split_once(" \"")
        .zip(sentence.rsplit_once(", expected "));
    match parts {
        Some(((found, _), (_, expected))) => format!("{found}, expected {expected}"),
        None => sentence,
    }
}

/// What is needed while a file is taken apart.
struct Reading<'a> {
    /// Where its paths begin.
    folder: &'a Path,
    /// What is wrong with it besides its form. serde knows the line.
    fault: RefCell<Option<UsageError>>,
}

impl Reading<'_> {
    fn refuse<E: de::Error>(&self, fault: UsageError) -> E {
        let message = fault.message.clone();
        self.fault.replace(Some(fault));
        E::custom(message)
    }

    /// Checks one key and its value as far as they go alone, and with those before them.
    fn take<'de, A: MapAccess<'de>>(
        &self,
        key: &str,
        place: Place,
        settings: &mut Vec<Setting>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let option = place.option(key).map_err(|fault| self.refuse(fault))?;
        if settings.iter().any(|earlier| earlier.is(option.long)) {
            return Err(self.refuse(twice(key)));
        }
        let json: Json = map.next_value()?;
        let setting = self.setting(option, &json);
        let setting = setting.map_err(|fault| self.refuse(fault))?;
        let checked = setting.apply(&mut Args::default());
        settings.push(setting);
        checked
            .and_then(|()| contradictions(settings))
            .map_err(|fault| self.refuse(fault))
    }

    fn setting(&self, option: &'static Opt, json: &Json) -> Result<Setting, UsageError> {
        let value = match option.take {
            Take::Flag(_) => Value::Times(times(option, json)?),
            Take::Value { .. } => Value::Words(match json {
                Json::Array(items) if option.repeatable => {
                    let words = items.iter().map(|item| self.word(option, item));
                    words.collect::<Result<_, _>>()?
                }
                other => vec![self.word(option, other)?],
            }),
        };
        Ok(Setting {
            option,
            called: format!("{:?}", option.long),
            value,
        })
    }

    fn word(&self, option: &Opt, json: &Json) -> Result<OsString, UsageError> {
        match (option.form, json) {
            (Form::Text | Form::Measure, Json::String(text)) => Ok(text.into()),
            (Form::Number | Form::Measure, Json::Number(number)) => Ok(number.to_string().into()),
            // An empty one stays empty, and is refused as such.
            (Form::Path, Json::String(text)) if text.is_empty() => Ok(OsString::new()),
            (Form::Path, Json::String(text)) => Ok(self.folder.join(text).into()),
            _ => Err(mistyped(option, json)),
        }
    }
}

fn times(option: &Opt, json: &Json) -> Result<u8, UsageError> {
    let number = json.as_u64().filter(|_| option.repeatable);
    let number = number.and_then(|number| u8::try_from(number).ok());
    let times = json.as_bool().map(u8::from).or(number);
    times.ok_or_else(|| mistyped(option, json))
}

fn mistyped(option: &Opt, json: &Json) -> UsageError {
    let wanted = match (&option.take, option.form) {
        (Take::Flag(_), _) if option.repeatable => "true, false or a small number",
        (Take::Flag(_), _) => "true or false",
        (_, Form::Number) => "a number",
        (_, Form::Measure) => "a number, or a string with a unit",
        (_, Form::Text | Form::Path) if option.repeatable => "a string or an array of strings",
        (_, Form::Text | Form::Path) => "a string",
    };
    let found = match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) if option.repeatable => "an array with something else in it",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    };
    UsageError::new(format!("{:?} is {found}: write {wanted}", option.long))
}

fn twice(key: &str) -> UsageError {
    UsageError::new(format!("{} is there twice", quote(key)))
}

/// Where a key stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Section,
}

impl Place {
    fn has(self, option: &Opt) -> bool {
        match option.scope {
            Scope::Nowhere => false,
            Scope::Top => self == Self::Top,
            Scope::Both => true,
            Scope::Registry => self == Self::Section,
        }
    }

    fn option(self, key: &str) -> Result<&'static Opt, UsageError> {
        let mut known = options::settable().filter(|option| option.long == key);
        match known.next() {
            Some(option) if self.has(option) => Ok(option),
            Some(option) => Err(misplaced(option)),
            None => Err(self.unknown(key)),
        }
    }

    fn unknown(self, key: &str) -> UsageError {
        let error = UsageError::new(format!("unknown key {}", quote(key)));
        let options = options::settable().filter(|option| self.has(option));
        let sections = (self == Self::Top).then_some(REGISTRIES);
        let known = options.map(|option| option.long).chain(sections);
        let meant = key.trim_start_matches('-').replace('_', "-");
        match nearest(&meant, known) {
            Some(meant) => error.hint(format!("{meant:?}")),
            None => error.hint("hoist help config"),
        }
    }
}

fn misplaced(option: &Opt) -> UsageError {
    let long = option.long;
    match option.scope {
        Scope::Registry => UsageError::new(format!("{long:?} is for one registry only")).hint(
            format!("{{\"{REGISTRIES}\": {{\"HOST\": {{{long:?}: …}}}}}}"),
        ),
        Scope::Top | Scope::Both => UsageError::new(format!(
            "{long:?} is for all registries, not for one of {REGISTRIES:?}"
        ))
        .hint(format!("write it beside {REGISTRIES:?}")),
        Scope::Nowhere => UsageError::new(format!(
            "{long:?} has no place in a file: it is an option of the command line"
        )),
    }
}

/// The whole file.
struct Top<'a>(&'a Reading<'a>);

/// The value of `registries`.
struct Sections<'a>(&'a Reading<'a>);

/// The value of one host in there.
struct Section<'a>(&'a Reading<'a>);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = File;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<File, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = File;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of long options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<File, A::Error> {
        let mut file = File::default();
        let mut has_sections = false;
        while let Some(key) = map.next_key::<String>()? {
            if key != REGISTRIES {
                self.0.take(&key, Place::Top, &mut file.top, &mut map)?;
            } else if has_sections {
                return Err(self.0.refuse(twice(&key)));
            } else {
                has_sections = true;
                file.sections = map.next_value_seed(Sections(self.0))?;
            }
        }
        Ok(file)
    }
}

impl<'de> DeserializeSeed<'de> for Sections<'_> {
    type Value = Vec<(Host, Vec<Setting>)>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sections<'_> {
    type Value = Vec<(Host, Vec<Setting>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one object for each registry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut sections: Self::Value = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let host = Host::parse(&key);
            let host = host.map_err(|why| self.0.refuse(UsageError::reference(&why)))?;
            let same = |other: &Host| other.as_str().eq_ignore_ascii_case(host.as_str());
            if sections.iter().any(|(other, _)| same(other)) {
                return Err(self.0.refuse(twice(&key)));
            }
            let settings = map.next_value_seed(Section(self.0))?;
            sections.push((host, settings));
        }
        Ok(sections)
    }
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = Vec<Setting>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = Vec<Setting>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of options of one registry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut settings = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            self.0.take(&key, Place::Section, &mut settings, &mut map)?;
        }
        Ok(settings)
    }
}
