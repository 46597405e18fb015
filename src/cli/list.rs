//! `hoist list`: what would be pushed.

mod rows;
mod text;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::{Args, Output};
use crate::cli::list::rows::{BrokenRow, Row};
use crate::cli::list::text::{columns, table};
use crate::cli::usage::UsageError;
use crate::cli::{Exit, Streams, Surroundings, logging, results, settle, summary};
use crate::image::discover::{self, Broken, Found, Options, Watch};
use crate::image::error::ImageError;
use crate::image::filter::{Filter, Selection};
use crate::image::source::{Content, Image};
use crate::image::stdin::{self, StandardInput};
use crate::observe::console::Console;
use crate::observe::text::safe;
use crate::push::report::{ErrorReport, Outcome};

/// The document of `--output json`. Fields are only added.
#[derive(Serialize)]
struct Listing {
    version: u32,
    outcome: Outcome,
    exit_code: u8,
    images: Vec<Row>,
    broken: Vec<BrokenRow>,
    errors: Vec<ErrorReport>,
    warnings: Vec<String>,
}

pub(crate) fn run(args: Args, mut around: Surroundings, mut streams: Streams) -> Exit {
    let (filter, sources, stdin) = match settled(&args, &mut around) {
        Ok(settled) => settled,
        Err(error) => return streams.refuse(&error),
    };
    logging::start(logging::Filter::of(&args), &streams.console);
    let mut listing = Listing {
        version: 1,
        outcome: Outcome::Ok,
        exit_code: 0,
        images: Vec::new(),
        broken: Vec::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let options = Options {
        follow_links: args.follow_links,
    };
    for source in &sources {
        match find(source, options, stdin.as_ref()) {
            Ok(found) => listing.take(source, found, &filter, args.long),
            Err(error) => listing.fail(error.to_string()),
        }
    }
    let exit = listing.judge();
    if !streams.quiet {
        warn(&streams.console, &listing.warnings);
    }
    for broken in &listing.broken {
        let subject = broken.names.first().unwrap_or(&broken.source);
        let message = format!("{subject} is broken: {}", broken.problems.join("; "));
        summary::error(&streams.console, &message, None);
    }
    for error in &listing.errors {
        summary::error(&streams.console, &error.message, error.hint.as_deref());
    }
    let text = match streams.output {
        Output::Json => results::document(&listing),
        Output::Text if streams.stdout_is_terminal => table(&listing.images),
        Output::Text => columns(&listing.images),
    };
    streams.conclude(&text, exit)
}

type Settled = (Filter, Vec<PathBuf>, Option<StandardInput>);

fn settled(args: &Args, around: &mut Surroundings) -> Result<Settled, UsageError> {
    if args.operands.is_empty() {
        return Err(UsageError::new("no source").hint("hoist list SOURCE..."));
    }
    let filter = settle::filter(args)?;
    let sources = settle::sources(args.operands.clone())?;
    let stdin = settle::stdin(&sources, around)?;
    Ok((filter, sources, stdin))
}

fn find(
    source: &Path,
    options: Options,
    stdin: Option<&StandardInput>,
) -> Result<Found, ImageError> {
    match stdin.filter(|_| source == Path::new(stdin::NAME)) {
        Some(stdin) => stdin.discover(Watch {
            stopped: &|| false,
            telling: &|_| {},
        }),
        None => discover::discover(source, options),
    }
}

fn warn(console: &Console, warnings: &[String]) {
    for warning in warnings {
        console.line(&safe(&format!("warning: {warning}")));
    }
}

/// An image that is not all in its source as a broken one: a push might find the rest at its target.
fn lacking(image: &Image) -> Option<Broken> {
    let Content::Found(tree) = &image.content else {
        return None;
    };
    let missing = tree.missing();
    let problems = missing
        .iter()
        .map(|missing| format!("{missing} is missing"));
    let names = image.names.iter().map(ToString::to_string).collect();
    (!missing.is_empty()).then(|| Broken::new(image.source.path(), names, problems.collect()))
}

impl Listing {
    fn take(&mut self, source: &Path, found: Found, filter: &Filter, long: bool) {
        if found.images.is_empty() && found.broken.is_empty() {
            self.fail(format!("{}: holds no image", stdin::subject(source)));
        }
        self.broken.extend(found.broken.iter().map(BrokenRow::of));
        let warnings = found.warnings.iter().map(ToString::to_string);
        self.warnings.extend(warnings);
        for image in found.images {
            let path = image.source.path().to_path_buf();
            let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
            match filter.apply(image) {
                Ok(Selection::Taken { image, note }) => {
                    let warning = note.map(|note| ImageError::broken(&path, note).to_string());
                    self.warnings.extend(warning);
                    match lacking(&image) {
                        Some(broken) => self.broken.push(BrokenRow::of(&broken)),
                        None => self.images.push(Row::of(&image, long)),
                    }
                }
                Ok(Selection::LeftOut(why)) => log::info!("{} left out: {why}", path.display()),
                Err(error) => self.broken.push(BrokenRow {
                    source: path.display().to_string(),
                    names,
                    problems: vec![error.to_string()],
                }),
            }
        }
    }

    fn fail(&mut self, message: String) {
        self.errors.push(ErrorReport::source(message));
    }

    /// The same codes as a push that sends everything it can.
    fn judge(&mut self) -> Exit {
        let nothing = self.images.is_empty() && self.broken.is_empty();
        if nothing && self.errors.is_empty() {
            self.fail("no image passes what was asked for".to_owned());
        }
        let (outcome, exit) = if nothing {
            (Outcome::Nothing, Exit::Nothing)
        } else if self.broken.is_empty() && self.errors.is_empty() {
            (Outcome::Ok, Exit::Done)
        } else if self.images.is_empty() {
            (Outcome::Failed, Exit::Failed)
        } else {
            (Outcome::Partial, Exit::Failed)
        };
        self.outcome = outcome;
        self.exit_code = exit.code();
        exit
    }
}
