//! `hoist cache`: what is remembered for later pushes, shown, pruned, cleared.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::cli::args::{Args, Output};
use crate::cli::usage::{UsageError, nearest};
use crate::cli::{Exit, Streams, Surroundings, folders, logging, results, summary};
use crate::image::digest::quote;
use crate::observe::text::{bytes, count, safe};
use crate::push::cache::inventory::{self, Entry, Freed, Kind};
use crate::push::report::ErrorReport;

const USAGE: &str = "hoist cache [show|prune|clear]";
const DAY: u64 = 24 * 3600;
/// What is not used for so long is pruned, unless told otherwise.
const OLD: Duration = Duration::from_secs(30 * DAY);

/// What is to be done with it.
#[derive(Clone, Copy)]
enum Deed {
    Show,
    Prune(Duration),
    Clear,
}

/// The document of `--output json`. Fields are only added.
#[derive(Serialize)]
struct Told {
    version: u32,
    exit_code: u8,
    folder: PathBuf,
    /// What is there now.
    files: Vec<Entry>,
    bytes: u64,
    most_bytes: u64,
    freed: Option<Freed>,
    errors: Vec<ErrorReport>,
    warnings: Vec<String>,
}

pub(crate) fn run(args: Args, around: Surroundings, mut streams: Streams) -> Exit {
    logging::start(logging::Filter::of(&args), &streams.console);
    let (deed, folder) = match settled(args, &around) {
        Ok(settled) => settled,
        Err(error) => return streams.refuse(&error),
    };
    let told = Told::after(deed, folder);
    for warning in told.warnings.iter().filter(|_| !streams.quiet) {
        streams.console.line(&safe(&format!("warning: {warning}")));
    }
    for error in &told.errors {
        summary::error(&streams.console, &error.message, error.hint.as_deref());
    }
    let text = match streams.output {
        Output::Json => results::document(&told),
        Output::Text => told.text(SystemTime::now()),
    };
    streams.conclude(&text, Exit::from_code(told.exit_code))
}

fn settled(args: Args, around: &Surroundings) -> Result<(Deed, PathBuf), UsageError> {
    let mut operands = args
        .operands
        .iter()
        .map(|operand| operand.to_string_lossy());
    let (deed, more) = (operands.next(), operands.next());
    if let Some(more) = more {
        return Err(
            UsageError::new(format!("one at a time: what is {}?", quote(&more))).hint(USAGE),
        );
    }
    let deed = match deed.as_deref() {
        None | Some("show") => Deed::Show,
        Some("prune") => Deed::Prune(args.older_than.unwrap_or(OLD)),
        Some("clear") => Deed::Clear,
        Some(other) => {
            let meant = nearest(other, ["show", "prune", "clear"]);
            let hint =
                meant.map_or_else(|| USAGE.to_owned(), |meant| format!("hoist cache {meant}"));
            return Err(UsageError::new(format!("hoist cache cannot {}", quote(other))).hint(hint));
        }
    };
    if args.older_than.is_some() && !matches!(deed, Deed::Prune(_)) {
        return Err(UsageError::new("--older-than is for pruning").hint("hoist cache prune"));
    }
    let wanted = Args {
        no_cache: false,
        ..args
    };
    let folder = folders::cache(&wanted, &around.env).ok_or_else(|| {
        UsageError::new("there is no cache: no home to keep it in").hint("--cache-dir DIR")
    })?;
    Ok((deed, folder))
}

impl Told {
    fn after(deed: Deed, folder: PathBuf) -> Self {
        let done = match deed {
            Deed::Show => Ok(None),
            Deed::Prune(age) => inventory::prune(&folder, age, SystemTime::now()).map(Some),
            Deed::Clear => inventory::clear(&folder).map(Some),
        };
        let mut errors = Vec::new();
        let mut or_error = |doing: &str, error: io::Error| {
            let why = match error.kind() {
                io::ErrorKind::TimedOut => "another hoist is writing to it".to_owned(),
                _ => error.to_string(),
            };
            errors.push(ErrorReport::local(format!(
                "{doing} {} failed: {why}",
                folder.display()
            )));
        };
        let freed = done.unwrap_or_else(|error| {
            or_error("cleaning up", error);
            None
        });
        let files = inventory::show(&folder).unwrap_or_else(|error| {
            or_error("reading", error);
            Vec::new()
        });
        let exit = if errors.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        };
        Self {
            version: 1,
            exit_code: exit.code(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            most_bytes: inventory::MOST_BYTES,
            freed,
            errors,
            warnings: files
                .iter()
                .filter_map(|file| file.problem.clone())
                .collect(),
            files,
            folder,
        }
    }

    fn text(&self, now: SystemTime) -> String {
        let mut text = String::new();
        if let Some(freed) = self.freed {
            let (entries, files) = (freed.entries, count(freed.files, "file"));
            let entries = match entries {
                1 => "1 entry".to_owned(),
                _ => format!("{entries} entries"),
            };
            let size = bytes(freed.bytes);
            text.push_str(&format!("freed {size}: {entries}, {files} removed\n"));
        }
        if !self.errors.is_empty() && self.files.is_empty() {
            return text;
        }
        let (files, size) = (count(self.files.len(), "file"), bytes(self.bytes));
        let most = bytes(self.most_bytes);
        let folder = safe_path(&self.folder);
        text.push_str(&format!("{folder}: {files}, {size} of at most {most}\n"));
        if !self.files.is_empty() {
            text.push_str(&table(&self.files, now));
        }
        text
    }
}

fn safe_path(path: &Path) -> String {
    safe(&path.display().to_string()).into_owned()
}

fn table(files: &[Entry], now: SystemTime) -> String {
    let heads = ["WHAT", "REGISTRY", "ENTRIES", "SIZE", "OLDEST", "NEWEST"].map(str::to_owned);
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let rows = files.iter().map(|file| {
        let hosts = match &file.hosts[..] {
            [] => "-".to_owned(),
            [host] => safe(host).into_owned(),
            [host, others @ ..] => format!("{} and {} more", safe(host), others.len()),
        };
        [
            name(file.kind).to_owned(),
            hosts,
            file.entries.to_string(),
            bytes(file.bytes),
            file.oldest
                .map_or_else(|| "-".to_owned(), |used| age(used, now)),
            file.newest
                .map_or_else(|| "-".to_owned(), |used| age(used, now)),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(heads).chain(rows).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..6).map(|column| widest(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match column {
                2 | 3 => line.push_str(&format!("{cell:>width$}  ")),
                _ => line.push_str(&format!("{cell:width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::TokenServices => "token services",
        Kind::Layers => "layers",
        Kind::Blobs => "blobs",
    }
}

/// Days are fine enough: most times are kept no finer.
fn age(used: u64, now: u64) -> String {
    match now.saturating_sub(used) / DAY {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}
