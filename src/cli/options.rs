//! The table of options: what the parser accepts, what the help says, what the tests hold it to.
//!
//! Long names are the contract. An option that does nothing yet is not in here.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::cli::args::{Args, Codec, Command, Output, Progress};
use crate::cli::usage::UsageError;
use crate::cli::values;
use crate::image::name::Rename;
use crate::image::reference::{ReferenceError, Tag};
use crate::push::operation::Format;

/// One option of one or more commands.
pub(crate) struct Opt {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) take: Take,
    pub(crate) commands: &'static [Command],
    /// A fragment without a final dot, for the help.
    pub(crate) help: &'static str,
}

/// Whether an option has a value, and what it does to what was typed so far.
pub(crate) enum Take {
    Flag(fn(&mut Args)),
    Value {
        /// As the help calls it.
        name: &'static str,
        set: Setter,
    },
}

type Setter = fn(&mut Args, &Given<'_>) -> Result<(), UsageError>;

/// Options under one heading of the help.
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) options: &'static [Opt],
}

/// All options, in the order of the help.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        heading: "Choosing images",
        options: CHOOSE,
    },
    Section {
        heading: "Sending",
        options: SEND,
    },
    Section {
        heading: "Registry",
        options: REGISTRY,
    },
    Section {
        heading: "Telling",
        options: TELL,
    },
    Section {
        heading: "Serving",
        options: SERVE,
    },
];

pub(crate) fn all() -> impl Iterator<Item = &'static Opt> {
    SECTIONS.iter().flat_map(|section| section.options)
}

const PUSH: &[Command] = &[Command::Push];
const PUSH_LIST: &[Command] = &[Command::Push, Command::List];

const CHOOSE: &[Opt] = &[
    Opt::value(
        "include",
        "GLOB",
        |args, given| {
            args.include.push(given.text()?.to_owned());
            Ok(())
        },
        "take only images with a REPOSITORY:TAG (host removed) that matches; `*` stops at `/`, `**` does not; repeatable",
    )
    .on(PUSH_LIST),
    Opt::value(
        "exclude",
        "GLOB",
        |args, given| {
            args.exclude.push(given.text()?.to_owned());
            Ok(())
        },
        "leave out names that match, whatever --include says; repeatable",
    )
    .on(PUSH_LIST),
    Opt::value(
        "platform",
        "OS/ARCH[/VARIANT]",
        |args, given| {
            let platform = given.text()?.parse();
            args.platforms.push(platform.map_err(|why: String| given.refused(&why))?);
            Ok(())
        },
        "of an image for several platforms take these; one gives that manifest, several an index of them; repeatable",
    )
    .on(PUSH_LIST),
    Opt::value(
        "min-size",
        "SIZE",
        |args, given| {
            args.min_size = Some(given.parsed(values::size)?);
            Ok(())
        },
        "leave out images with fewer stored bytes",
    )
    .on(PUSH_LIST),
    Opt::value(
        "max-size",
        "SIZE",
        |args, given| {
            args.max_size = Some(given.parsed(values::size)?);
            Ok(())
        },
        "leave out images with more stored bytes",
    )
    .on(PUSH_LIST),
    Opt::flag(
        "partial-index",
        |args| args.partial_index = true,
        "of an index that is here only in part push the platforms that are whole; docker archives do so anyway",
    )
    .on(PUSH_LIST),
    Opt::flag(
        "follow-links",
        |args| args.follow_links = true,
        "follow symbolic links when a folder is searched",
    )
    .on(PUSH_LIST),
    Opt::value(
        "rename",
        "FROM=TO",
        |args, given| {
            let rule = Rename::parse(given.text()?);
            args.renames.push(rule.map_err(|why| given.refused_with_hint(&why))?);
            Ok(())
        },
        "replace the beginning of names, host included, before the host is removed: quay.io/org=mirror; the longest rule counts; repeatable",
    ),
    Opt::value(
        "map",
        "FILE",
        |args, given| {
            args.map = Some(given.path()?);
            Ok(())
        },
        "lines of SOURCE-NAME REPOSITORY[:TAG]: where each of these names goes below a DESTINATION that ends in /",
    ),
    Opt::value(
        "tag",
        "TAG",
        |args, given| {
            let tag = Tag::parse(given.text()?);
            args.tags.push(tag.map_err(|why| given.refused(why.message()))?);
            Ok(())
        },
        "give every image this tag too; repeatable",
    ),
];

const SEND: &[Opt] = &[
    Opt::value(
        "jobs",
        "N",
        |args, given| {
            args.jobs = Some(given.number(1, 256)?);
            Ok(())
        },
        "blob transfers in flight (default 16)",
    )
    .short('j'),
    Opt::value(
        "images",
        "N",
        |args, given| {
            args.images = Some(given.number(1, 1024)?);
            Ok(())
        },
        "images being worked on at a time (default 8)",
    ),
    Opt::value(
        "retries",
        "N",
        |args, given| {
            args.retries = Some(given.number(0, 100)?);
            Ok(())
        },
        "tries after the first, per blob (default 5)",
    ),
    Opt::value(
        "stall-timeout",
        "DURATION",
        |args, given| {
            args.stall_timeout = Some(given.parsed(values::stall_timeout)?);
            Ok(())
        },
        "give a transfer up after so long without a byte (default 60s)",
    ),
    Opt::value(
        "chunk-size",
        "SIZE",
        |args, given| {
            args.chunk_size = Some(given.parsed(values::chunk_size)?);
            Ok(())
        },
        "send blobs in pieces of this size, for proxies that limit a request; without it one request each, smaller after a 413",
    ),
    Opt::value(
        "compression",
        "gzip|none",
        |args, given| {
            args.compression = Some(given.one_of(&[("gzip", Codec::Gzip), ("none", Codec::None)])?);
            Ok(())
        },
        "for plain layers of docker archives (default gzip); what has a digest already is sent as it is",
    ),
    Opt::value(
        "compression-level",
        "0-9",
        |args, given| {
            args.compression_level = Some(given.number(0, 9)?);
            Ok(())
        },
        "of the gzip made here (default 2); another level gives another digest",
    ),
    Opt::value(
        "format",
        "oci|docker",
        |args, given| {
            args.format = Some(given.one_of(&[("oci", Format::Oci), ("docker", Format::Docker)])?);
            Ok(())
        },
        "of manifests made here, for docker archives (default oci)",
    ),
    Opt::flag(
        "push-foreign",
        |args| args.push_foreign = true,
        "send foreign (non-distributable) layers too, where their bytes are here",
    )
    .on(PUSH_LIST),
    Opt::flag(
        "fail-fast",
        |args| args.fail_fast = true,
        "stop at the first failed image; with a broken one send nothing",
    ),
];

const REGISTRY: &[Opt] = &[
    Opt::value(
        "username",
        "NAME",
        |args, given| {
            args.username = Some(given.parsed(values::username)?);
            Ok(())
        },
        "log in as NAME, with --password-stdin",
    )
    .short('u'),
    Opt::flag(
        "password-stdin",
        |args| args.password_stdin = true,
        "read the password from standard input (64 KiB at most, one line end at its end removed)",
    ),
    Opt::value(
        "ca-cert",
        "FILE",
        |args, given| {
            args.ca_certs.push(given.path()?);
            Ok(())
        },
        "trust the certificates in this PEM file too; repeatable",
    ),
    Opt::flag(
        "insecure",
        |args| args.insecure = true,
        "do not verify certificates, and use http where https does not answer",
    ),
    Opt::flag(
        "plain-http",
        |args| args.plain_http = true,
        "use http and nothing else (not needed for localhost)",
    ),
];

const TELL: &[Opt] = &[
    Opt::value(
        "output",
        "text|json",
        |args, given| {
            args.output = given.one_of(&[("text", Output::Text), ("json", Output::Json)])?;
            Ok(())
        },
        "what goes to standard output: lines (default), or one JSON document, also after a failure",
    )
    .short('o')
    .on(PUSH_LIST),
    Opt::flag(
        "long",
        |args| args.long = true,
        "each blob of each image too: kind, size, digest, media type, platforms",
    )
    .on(&[Command::List]),
    Opt::value(
        "digest-file",
        "FILE",
        |args, given| {
            args.digest_file = Some(given.path()?);
            Ok(())
        },
        "write the HOST/REPOSITORY:TAG@DIGEST lines to FILE too",
    ),
    Opt::value(
        "progress",
        "auto|bar|plain|none",
        |args, given| {
            args.progress = given.one_of(&[
                ("auto", Progress::Auto),
                ("bar", Progress::Bar),
                ("plain", Progress::Plain),
                ("none", Progress::None),
            ])?;
            Ok(())
        },
        "on standard error: auto (default) is a live display on a terminal, lines elsewhere",
    ),
    Opt::flag(
        "quiet",
        |args| args.quiet = true,
        "errors only on standard error; standard output stays as it is",
    )
    .short('q')
    .on(&[Command::Push, Command::List, Command::Serve]),
    Opt::flag(
        "verbose",
        |args| args.verbose = args.verbose.saturating_add(1),
        "say more on standard error; -vv each request",
    )
    .short('v')
    .on(&[Command::Push, Command::List, Command::Serve]),
];

const SERVE: &[Opt] = &[Opt::value(
    "listen",
    "ADDRESS:PORT",
    |args, given| {
        args.listen = Some(given.parsed(values::listen)?);
        Ok(())
    },
    "where to listen (default 127.0.0.1:5000; port 0 takes a free one)",
)
.on(&[Command::Serve])];

impl Opt {
    /// An option without a value, of `push` alone.
    const fn flag(long: &'static str, set: fn(&mut Args), help: &'static str) -> Self {
        Self {
            long,
            short: None,
            take: Take::Flag(set),
            commands: PUSH,
            help,
        }
    }

    /// An option with a value, of `push` alone.
    const fn value(
        long: &'static str,
        name: &'static str,
        set: Setter,
        help: &'static str,
    ) -> Self {
        Self {
            long,
            short: None,
            take: Take::Value { name, set },
            commands: PUSH,
            help,
        }
    }

    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn on(mut self, commands: &'static [Command]) -> Self {
        self.commands = commands;
        self
    }
}

/// The value of an option, as typed.
pub(crate) struct Given<'a> {
    option: &'static str,
    value: &'a OsStr,
}

impl<'a> Given<'a> {
    pub(crate) fn new(option: &'static str, value: &'a OsStr) -> Self {
        Self { option, value }
    }

    fn text(&self) -> Result<&'a str, UsageError> {
        let text = self.value.to_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| self.illegal("some UTF-8 text"))
    }

    fn path(&self) -> Result<PathBuf, UsageError> {
        if self.value.is_empty() {
            return Err(self.illegal("the path of a file"));
        }
        Ok(self.value.into())
    }

    /// What `parse` makes of the text; its error is a fragment that says what is legal.
    fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, UsageError> {
        parse(self.text()?).map_err(|legal| self.illegal(&legal))
    }

    fn number(&self, from: u32, to: u32) -> Result<u32, UsageError> {
        self.parsed(|text| values::number(text, from..=to))
    }

    fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, UsageError> {
        let found = choices.iter().find(|(name, _)| self.value == *name);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.illegal(&names.join(" or "))
        })
    }

    /// The error of a type whose message quotes the text already.
    fn refused(&self, why: &str) -> UsageError {
        UsageError::new(format!("--{}: {why}", self.option))
    }

    /// The same with what to write instead.
    fn refused_with_hint(&self, why: &ReferenceError) -> UsageError {
        let error = self.refused(why.message());
        match why.hint() {
            Some(hint) => error.hint(format!("--{} {hint}", self.option)),
            None => error,
        }
    }

    fn illegal(&self, legal: &str) -> UsageError {
        UsageError::value(self.option, &self.value.to_string_lossy(), legal)
    }
}

#[cfg(test)]
mod tests;
