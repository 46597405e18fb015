//! `hoist list`: what would be pushed.

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::{Args, Output};
use crate::cli::usage::UsageError;
use crate::cli::{Exit, Streams, logging, results, settle, summary};
use crate::image::discover::{self, Broken, Options};
use crate::image::filter::{Filter, Selection};
use crate::image::manifest::Body;
use crate::image::source::{Content, Image};
use crate::observe::console::Console;
use crate::observe::text::{bytes, safe};
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

#[derive(Serialize)]
struct Row {
    /// The file or folder it was found in.
    source: String,
    names: Vec<String>,
    platforms: Vec<String>,
    /// Different ones.
    layers: usize,
    /// Stored bytes.
    size: u64,
    /// Of the root manifest; none where that is made while it is pushed.
    digest: Option<String>,
    media_type: Option<String>,
    /// Digest of the config, where there is no manifest yet.
    config: Option<String>,
}

#[derive(Serialize)]
struct BrokenRow {
    source: String,
    names: Vec<String>,
    problems: Vec<String>,
}

pub(crate) fn run(args: Args, mut streams: Streams) -> Exit {
    let (filter, sources) = match settled(&args) {
        Ok(settled) => settled,
        Err(error) => return streams.refuse(&error),
    };
    logging::start(args.verbose, &streams.console);
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
        listing.look_through(source, options, &filter);
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

fn settled(args: &Args) -> Result<(Filter, Vec<std::path::PathBuf>), UsageError> {
    settle::contradictions(args)?;
    if args.operands.is_empty() {
        return Err(UsageError::new("no source").hint("hoist list SOURCE..."));
    }
    Ok((
        settle::filter(args)?,
        settle::sources(args.operands.clone())?,
    ))
}

fn warn(console: &Console, warnings: &[String]) {
    for warning in warnings {
        console.line(&safe(&format!("warning: {warning}")));
    }
}

impl Listing {
    fn look_through(&mut self, source: &Path, options: Options, filter: &Filter) {
        let found = match discover::discover(source, options) {
            Ok(found) => found,
            Err(error) => return self.fail(error.to_string()),
        };
        if found.images.is_empty() && found.broken.is_empty() {
            self.fail(format!("{}: holds no image", source.display()));
        }
        self.broken.extend(found.broken.iter().map(BrokenRow::of));
        let warnings = found.warnings.iter().map(ToString::to_string);
        self.warnings.extend(warnings);
        for image in found.images {
            let path = image.source.path().to_path_buf();
            let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
            match filter.apply(image) {
                Ok(Selection::Taken(image)) => self.images.push(Row::of(&image)),
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

impl Row {
    fn of(image: &Image) -> Self {
        let (digest, media_type, config) = match &image.content {
            Content::Found(tree) => {
                let root = &tree.root().manifest;
                let media_type = root.media_type().to_string();
                (Some(root.digest().to_string()), Some(media_type), None)
            }
            Content::Made(parts) => (None, None, Some(parts.config_digest.to_string())),
        };
        let mut platforms: Vec<String> = Vec::new();
        for platform in image.platforms() {
            let platform = platform.to_string();
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Self {
            source: image.source.path().display().to_string(),
            names: image.names.iter().map(ToString::to_string).collect(),
            platforms,
            layers: layers(image),
            size: image.stored_size(),
            digest,
            media_type,
            config,
        }
    }
}

impl BrokenRow {
    fn of(broken: &Broken) -> Self {
        Self {
            source: broken.path.display().to_string(),
            names: broken.names.clone(),
            problems: broken.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Different layers of all its platforms; attestations have none.
fn layers(image: &Image) -> usize {
    match &image.content {
        Content::Found(tree) => {
            let mut digests = HashSet::new();
            for node in &tree.nodes {
                let attestation = node.platform.as_ref().is_some_and(|p| p.is_unknown());
                if let (Body::Image { layers, .. }, false) = (node.manifest.body(), attestation) {
                    digests.extend(layers.iter().map(|layer| &layer.digest));
                }
            }
            digests.len()
        }
        Content::Made(parts) => {
            let diff_ids: HashSet<_> = parts.layers.iter().map(|layer| &layer.diff_id).collect();
            diff_ids.len()
        }
    }
}

/// Tab-separated, one image per line, in the order found.
fn columns(rows: &[Row]) -> String {
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let line = |row: &Row| {
        [
            or_dash(row.names.join(",")),
            or_dash(row.platforms.join(",")),
            row.layers.to_string(),
            row.size.to_string(),
            row.digest.clone().unwrap_or_else(|| "-".to_owned()),
            row.source.clone(),
        ]
        .map(|field| safe(&field).into_owned())
        .join("\t")
            + "\n"
    };
    rows.iter().map(line).collect()
}

/// For people: aligned, with headings; further names and platforms of an image below the first.
fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let headings = ["NAME", "PLATFORM", "LAYERS", "SIZE", "DIGEST", "FILE"];
    let mut cells: Vec<[String; 6]> = vec![headings.map(str::to_owned)];
    for row in rows {
        let height = row.names.len().max(row.platforms.len()).max(1);
        let at = |list: &[String], line: usize| match list.get(line) {
            Some(text) => safe(text).into_owned(),
            None if line == 0 => "-".to_owned(),
            None => String::new(),
        };
        for line in 0..height {
            let mut cell = [const { String::new() }; 6];
            cell[0] = at(&row.names, line);
            cell[1] = at(&row.platforms, line);
            if line == 0 {
                cell[2] = row.layers.to_string();
                cell[3] = bytes(row.size);
                cell[4] = row.digest.as_deref().map_or("-", short).to_owned();
                cell[5] = safe(&row.source).into_owned();
            }
            cells.push(cell);
        }
    }
    let width = |column: usize| {
        let widths = cells.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cell: &[String; 6]| {
        let fields = cell.iter().zip(&widths).enumerate();
        let fields = fields.map(|(column, (text, wide))| match column {
            // Numbers to the right.
            2 | 3 => format!("{text:>wide$}"),
            _ => format!("{text:wide$}"),
        });
        let fields: Vec<String> = fields.collect();
        fields.join("  ").trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

/// "sha256:5f70bf18a086"
fn short(digest: &str) -> &str {
    let end = digest.find(':').map_or(0, |colon| colon + 1) + 12;
    digest.get(..end).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |names: &[&str], platforms: &[&str], digest: Option<&str>| Row {
            source: "images/a.tar".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            platforms: platforms.iter().map(|name| (*name).to_owned()).collect(),
            layers: 3,
            size: 34 << 20,
            digest: digest.map(str::to_owned),
            media_type: None,
            config: None,
        };
        let digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        vec![
            row(
                &["docker.io/library/app:1", "docker.io/library/app:2"],
                &["linux/amd64"],
                Some(digest),
            ),
            row(&[], &[], None),
            row(&["evil\u{1b}[2J\t:1"], &["linux/amd64"], None),
        ]
    }

    #[test]
    fn a_table_on_a_terminal() {
        let expected = "\
NAME                     PLATFORM     LAYERS      SIZE  DIGEST               FILE
docker.io/library/app:1  linux/amd64       3  34.0 MiB  sha256:5f70bf18a086  images/a.tar
docker.io/library/app:2
-                        -                 3  34.0 MiB  -                    images/a.tar
evil\\u{1b}[2J\\t:1        linux/amd64       3  34.0 MiB  -                    images/a.tar
";
        assert_eq!(table(&rows()), expected);
    }

    #[test]
    fn tab_separated_columns_in_a_pipe() {
        let text = columns(&rows());
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
        assert!(lines.iter().all(|fields| fields.len() == 6), "{text}");
        assert_eq!(
            lines[0][0],
            "docker.io/library/app:1,docker.io/library/app:2"
        );
        assert_eq!(lines[0][3], "35651584");
        assert_eq!(lines[1][..2], ["-", "-"]);
    }
}
