//! `-v`, `-vv` and `HOIST_LOG`: the log of the library on standard error.

use std::io::Write;
use std::time::Instant;

use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::cli::args::Args;
use crate::net::redact;
use crate::observe::console::Console;
use crate::observe::text::safe;

/// Other crates log requests as they go over the wire when they tell all, credentials too.
const MOST_OF_OTHERS: LevelFilter = LevelFilter::Debug;
const OURS: &str = "hoist";

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    ours: LevelFilter,
    others: LevelFilter,
    /// By the path of a module.
    modules: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// `HOIST_LOG` where it counts, else what `-v` asks for.
    pub(crate) fn of(args: &Args) -> Option<Self> {
        let verbose = |ours, others| Self {
            ours,
            others,
            modules: Vec::new(),
        };
        args.log.clone().or(match args.verbose {
            0 => None,
            1 => Some(verbose(LevelFilter::Info, LevelFilter::Warn)),
            2 => Some(verbose(LevelFilter::Debug, LevelFilter::Warn)),
            _ => Some(verbose(LevelFilter::Trace, MOST_OF_OTHERS)),
        })
    }

    /// `LEVEL` for everything, `MODULE=LEVEL`, several divided by commas: what env_logger reads, but for a
    /// module without a level, which is a mistyped level more often.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut filter = Self {
            ours: LevelFilter::Off,
            others: LevelFilter::Off,
            modules: Vec::new(),
        };
        for directive in text.split(',').map(str::trim) {
            let (module, level) = match directive.split_once('=') {
                Some((module, level)) => (Some(module), level),
                None => (None, directive),
            };
            let level: LevelFilter = level.parse().ok()?;
            match module {
                None => (filter.ours, filter.others) = (level, level.min(MOST_OF_OTHERS)),
                Some(module) if is_path(module) => {
                    let ours = module.split("::").next() == Some(OURS);
                    let most = if ours {
                        level
                    } else {
                        level.min(MOST_OF_OTHERS)
                    };
                    filter.modules.push((module.to_owned(), most));
                }
                Some(_) => return None,
            }
        }
        Some(filter)
    }
}

fn is_path(module: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    !module.is_empty() && module.chars().all(legal)
}

/// Lines with the seconds since now.
///
/// A logger is one for the whole process: the first run that wants one has it.
pub(crate) fn start(filter: Option<Filter>, console: &Console) {
    let Some(filter) = filter else { return };
    let begun = Instant::now();
    let mut builder = Builder::new();
    builder
        .filter_level(filter.others)
        .filter_module(OURS, filter.ours);
    for (module, level) in &filter.modules {
        builder.filter_module(module, *level);
    }
    let started = builder
        .target(Target::Pipe(Box::new(console.clone())))
        .format(move |buffer, record| {
            let seconds = begun.elapsed().as_secs_f64();
            let text = redact(&record.args().to_string());
            let word = record.level().as_str().to_ascii_lowercase();
            writeln!(buffer, "{seconds:8.3} {word}: {}", safe(&text))
        })
        .try_init();
    // Somebody in this process has one already, and shows what there is to see.
    _ = started;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_others_never_tell_all() {
        use LevelFilter::{Debug, Info, Off, Trace, Warn};
        for (text, expected) in [
            ("info", Some((Info, Info, vec![]))),
            ("TRACE", Some((Trace, Debug, vec![]))),
            ("hoist=debug", Some((Off, Off, vec![("hoist", Debug)]))),
            (
                "warn, hoist::registry=trace,ureq_proto=trace",
                Some((
                    Warn,
                    Warn,
                    vec![("hoist::registry", Trace), ("ureq_proto", Debug)],
                )),
            ),
            ("hoister=trace", Some((Off, Off, vec![("hoister", Debug)]))),
            ("", None),
            ("hoist", None),
            ("debgu", None),
            ("hoist=", None),
            ("=debug", None),
            ("a=b=debug", None),
            ("info,,warn", None),
            ("info/x", None),
        ] {
            let read = Filter::parse(text);
            let read = read.as_ref().map(|filter| {
                let modules = filter.modules.iter();
                let modules = modules.map(|(module, level)| (module.as_str(), *level));
                (filter.ours, filter.others, modules.collect::<Vec<_>>())
            });
            assert_eq!(read, expected, "{text}");
        }
    }
}
