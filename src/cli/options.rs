//! The table of options: what the parser accepts, what the help says, what the tests hold it to.
//!
//! Long names are the contract. An option that does nothing yet is not in here.

mod given;
mod opt;
mod registry;

use crate::cli::args::{Codec, Command, Output, Progress};
use crate::cli::identity::PASSWORD_VARIABLE;
use crate::cli::options::registry::{REACHING, REGISTRY};
use crate::cli::values;
use crate::image::name::Rename;
use crate::image::reference::Tag;
use crate::push::operation::Format;

pub(crate) use self::given::Given;
pub(crate) use self::opt::{Form, Opt, Scope, Take};

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
        heading: "Files",
        options: FILES,
    },
    Section {
        heading: "Serving",
        options: SERVE,
    },
];

pub(crate) fn all() -> impl Iterator<Item = &'static Opt> {
    SECTIONS.iter().flat_map(|section| section.options)
}

/// These, and what can only be said otherwise than on the command line.
pub(crate) fn settable() -> impl Iterator<Item = &'static Opt> {
    all().chain(UNTYPED)
}

const PUSH_LIST: &[Command] = &[Command::Push, Command::List];
const WORKING: &[Command] = &[
    Command::Push,
    Command::List,
    Command::Serve,
    Command::Login,
    Command::Logout,
    Command::Cache,
];
const UNTYPED: &[Opt] = &[
    Opt::value(
        "log",
        "FILTER",
        |args, given| {
            args.log = Some(given.parsed(values::log_filter)?);
            Ok(())
        },
        "what is logged on standard error, by level and module",
    )
    .scope(Scope::Nowhere)
    .variable("HOIST_LOG")
    .on(WORKING),
    Opt::flag(
        "password",
        |args| args.password_variable = true,
        "the password itself, which is never an argument",
    )
    .scope(Scope::Nowhere)
    .variable(PASSWORD_VARIABLE)
    .secret()
    .on(REACHING),
    Opt::value(
        "proxy",
        "URL|none",
        |args, given| {
            args.proxy = Some(given.proxy()?);
            Ok(())
        },
        "the proxy for this registry, or none, whatever the environment says",
    )
    .scope(Scope::Registry)
    .on(REACHING),
];

const CHOOSE: &[Opt] = &[
    Opt::value(
        "include",
        "GLOB",
        |args, given| {
            args.include.push(given.glob()?);
            Ok(())
        },
        "take only images with a REPOSITORY:TAG (host removed) that matches; `*` stops at `/`, `**` does not; repeatable",
    )
    .repeatable()
    .on(PUSH_LIST),
    Opt::value(
        "exclude",
        "GLOB",
        |args, given| {
            args.exclude.push(given.glob()?);
            Ok(())
        },
        "leave out names that match, whatever --include says; repeatable",
    )
    .repeatable()
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
    .repeatable()
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
    .form(Form::Measure)
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
    .form(Form::Measure)
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
    )
    .repeatable(),
    Opt::value(
        "map",
        "FILE",
        |args, given| {
            args.map = Some(given.path()?);
            Ok(())
        },
        "lines of SOURCE-NAME REPOSITORY[:TAG]: where each of these names goes below a DESTINATION that ends in /",
    )
    .form(Form::Path),
    Opt::value(
        "tag",
        "TAG",
        |args, given| {
            let tag = Tag::parse(given.text()?);
            args.tags.push(tag.map_err(|why| given.refused(why.message()))?);
            Ok(())
        },
        "give every image this tag too; repeatable",
    )
    .repeatable(),
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
    .form(Form::Number)
    .scope(Scope::Both)
    .variable("HOIST_JOBS")
    .short('j'),
    Opt::value(
        "images",
        "N",
        |args, given| {
            args.images = Some(given.number(1, 1024)?);
            Ok(())
        },
        "images being worked on at a time (default 16)",
    )
    .form(Form::Number),
    Opt::value(
        "retries",
        "N",
        |args, given| {
            args.retries = Some(given.number(0, 100)?);
            Ok(())
        },
        "tries after the first, per blob (default 5)",
    )
    .form(Form::Number)
    .scope(Scope::Both),
    Opt::value(
        "stall-timeout",
        "DURATION",
        |args, given| {
            args.stall_timeout = Some(given.parsed(values::stall_timeout)?);
            Ok(())
        },
        "give a transfer up after so long without a byte (default 60s)",
    )
    .form(Form::Measure)
    .on(REACHING)
    .scope(Scope::Both),
    Opt::value(
        "chunk-size",
        "SIZE",
        |args, given| {
            args.chunk_size = Some(given.parsed(values::chunk_size)?);
            Ok(())
        },
        "send blobs in pieces of this size, for proxies that limit a request; without it one request each, smaller after a 413",
    )
    .form(Form::Measure)
    .scope(Scope::Both),
    Opt::value(
        "requests-per-second",
        "N",
        |args, given| {
            args.requests_per_second = Some(given.parsed(values::requests_per_second)?);
            Ok(())
        },
        "send a registry no more than N requests per second (0.5: one in two seconds); after a rest N at once, at least 1; its token service, on another host, gets as many",
    )
    .form(Form::Number)
    .scope(Scope::Both),
    Opt::value(
        "limit-rate",
        "SIZE",
        |args, given| {
            args.limit_rate = Some(given.parsed(values::limit_rate)?);
            Ok(())
        },
        "send a registry no more than SIZE bytes per second, all uploads together",
    )
    .form(Form::Measure)
    .scope(Scope::Both),
    Opt::value(
        "compression",
        "gzip|zstd|none",
        |args, given| {
            args.compression = Some(given.one_of(&[
                ("gzip", Codec::Gzip),
                ("zstd", Codec::Zstd),
                ("none", Codec::None),
            ])?);
            Ok(())
        },
        "for plain layers of docker archives (default gzip; zstd needs runtimes that read it); what has a digest already is sent as it is",
    ),
    Opt::value(
        "compression-level",
        "N",
        |args, given| {
            args.compression_level = Some(given.number(0, 19)?);
            Ok(())
        },
        "of what is compressed here: gzip 0-9 (default 2), zstd 1-19 (default 3); another level gives another digest",
    )
    .form(Form::Number),
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
    Opt::flag(
        "verify",
        |args| args.verify = true,
        "read back everything that was pushed or was there already; what is wrong is sent again",
    ),
    Opt::flag(
        "force",
        |args| args.force = true,
        "send everything, also what the registry says it has: for one that has lost something and does not know",
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
    .on(&[Command::Push, Command::List, Command::Cache]),
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
    )
    .form(Form::Path),
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
    .on(WORKING),
    Opt::flag(
        "verbose",
        |args| args.verbose = args.verbose.saturating_add(1),
        "say more on standard error; -vv each request",
    )
    .repeatable()
    .short('v')
    .on(WORKING),
];

const FILES: &[Opt] = &[
    Opt::value(
        "cache-dir",
        "DIR",
        |args, given| {
            args.cache_dir = Some(given.folder()?);
            Ok(())
        },
        "where later pushes find what this one learns of registries and layers (default $XDG_CACHE_HOME/hoist, else ~/.cache/hoist)",
    )
    .form(Form::Path)
    .variable("HOIST_CACHE_DIR")
    .on(&[Command::Push, Command::Cache]),
    Opt::flag(
        "no-cache",
        |args| args.no_cache = true,
        "neither read nor write anything there",
    ),
    Opt::value(
        "state-dir",
        "DIR",
        |args, given| {
            args.state_dir = Some(given.folder()?);
            Ok(())
        },
        "where uploads that are cut off are remembered, for the next push to go on with (default $XDG_STATE_HOME/hoist, else ~/.local/state/hoist)",
    )
    .form(Form::Path)
    .variable("HOIST_STATE_DIR"),
    Opt::flag(
        "no-state",
        |args| args.no_state = true,
        "neither remember uploads nor go on with any",
    ),
    Opt::value(
        "older-than",
        "AGE",
        |args, given| {
            args.older_than = Some(given.parsed(values::age)?);
            Ok(())
        },
        "prune what was not used for so long (default 30d)",
    )
    .scope(Scope::Nowhere)
    .on(&[Command::Cache]),
    Opt::value(
    "config",
    "FILE",
    // What it says is looked at before anything is settled.
    |_, given| given.path().map(drop),
    "settings (default $XDG_CONFIG_HOME/hoist/config.json, else ~/.config/hoist/config.json); hoist help config",
)
.scope(Scope::Nowhere)
.variable("HOIST_CONFIG")
.on(WORKING)
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

#[cfg(test)]
mod tests;
