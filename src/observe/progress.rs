//! Progress for people: a live display on a terminal, plain lines elsewhere.

use std::io;
use std::time::{Duration, Instant};

use crate::observe::board::{Board, Figures, Transfer};
use crate::observe::console::Console;
use crate::observe::event::{BlobStatus, Event, ImageStatus, Observer};
use crate::observe::queue::{Queued, Watcher};
use crate::observe::repeats::Repeats;
use crate::observe::text::{bytes, count, duration, ending, rate, safe};

/// Ten frames a second: more is not seen.
const FRAME: Duration = Duration::from_millis(100);
/// Between two lines with figures, where there is no live display.
const REMINDER: Duration = Duration::from_secs(10);
/// Transfers shown live; the others are counted.
const ROWS: usize = 6;

/// What plain lines tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Only what is not as the user may think.
    Warnings,
    /// Images, retries, and figures now and then.
    Images,
    /// Every blob too.
    Blobs,
}

/// A live display of `width` columns; what has ended stays above it as lines.
pub(crate) fn bar(console: Console, width: usize) -> io::Result<Box<dyn Observer>> {
    let bar = Bar {
        lines: Lines::new(console, Detail::Warnings),
        width,
    };
    Ok(Box::new(Queued::start(bar, FRAME)?))
}

/// A line for each thing that happens.
pub(crate) fn plain(console: Console, detail: Detail) -> io::Result<Box<dyn Observer>> {
    let lines = Lines::new(console, detail);
    Ok(Box::new(Queued::start(lines, REMINDER)?))
}

struct Bar {
    lines: Lines,
    width: usize,
}

impl Watcher for Bar {
    fn observe(&mut self, event: &Event) {
        if let Event::ImageFinished { status, .. } = event
            && matches!(status, ImageStatus::Pushed | ImageStatus::Failed)
        {
            self.lines.image_finished(event);
        }
        self.lines.observe(event);
    }

    fn tick(&mut self) {
        let figures = self.lines.board.figures(Instant::now());
        let mut lines = display(&figures, self.width);
        if let (0, Some(reading)) = (figures.images, self.lines.board.reading()) {
            lines.push(fitted(&safe(&reading), self.width.saturating_sub(1)));
        }
        self.lines.console.show(lines);
    }

    fn end(&mut self) {
        self.lines.console.close();
    }
}

struct Lines {
    console: Console,
    detail: Detail,
    board: Board,
    retries: Repeats,
    pauses: Repeats,
}

impl Lines {
    fn new(console: Console, detail: Detail) -> Self {
        Self {
            console,
            detail,
            board: Board::default(),
            retries: Repeats::default(),
            pauses: Repeats::default(),
        }
    }

    fn say(&self, least: Detail, text: &str) {
        if self.detail >= least {
            self.console.line(&safe(text));
        }
    }

    fn image_finished(&self, event: &Event) {
        let Event::ImageFinished {
            image,
            status,
            targets,
            error,
        } = event
        else {
            return;
        };
        let first_target = || targets.first().map_or("an image", String::as_str);
        let name = self.board.name(*image).unwrap_or_else(first_target);
        let text = match (status, error) {
            (ImageStatus::Pushed, _) => format!("pushed {name}"),
            (ImageStatus::Present, _) => format!("already there: {name}"),
            (ImageStatus::Failed, Some(error)) => format!("failed: {name}: {error}"),
            (ImageStatus::Failed, None) => format!("failed: {name}"),
            (ImageStatus::Skipped, _) => format!("not tried: {name}"),
        };
        self.console.line(&safe(&text));
    }

    /// Said once for all workers that meet it, unless every blob is told of.
    fn trouble(&mut self, event: &Event) {
        let (repeats, host, reason, wait) = match event {
            Event::Retrying {
                host, reason, wait, ..
            } => (&mut self.retries, host, reason, *wait),
            Event::Pressure { host, reason, wait } => (&mut self.pauses, host, reason, *wait),
            _ => return,
        };
        let admitted = repeats.admit(host, reason, wait, Instant::now());
        let Some(unsaid) = admitted.or((self.detail >= Detail::Blobs).then_some(0)) else {
            return;
        };
        let wait = duration(wait);
        let mut text = match event {
            Event::Retrying {
                operation, attempt, ..
            } => format!("retry {attempt} in {wait}: {operation} on {host}: {reason}"),
            _ => format!("waiting {wait} for {host}: {reason}"),
        };
        if unsaid > 0 && self.detail < Detail::Blobs {
            text.push_str(&format!(" ({unsaid} more times since it was last said)"));
        }
        self.say(Detail::Images, &text);
    }

    fn blob_finished(&self, blob: usize, status: BlobStatus) {
        let word = match status {
            BlobStatus::Uploaded => "uploaded",
            BlobStatus::Mounted => "mounted",
            BlobStatus::Present => "already there",
            BlobStatus::Failed => "failed",
        };
        self.blob_is(blob, word);
    }

    fn blob_is(&self, blob: usize, word: &str) {
        let Some((label, size)) = self.board.blob(blob) else {
            return;
        };
        self.say(Detail::Blobs, &format!("{word}: {label}, {}", bytes(size)));
    }
}

impl Watcher for Lines {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::Warning { message } => {
                self.say(Detail::Warnings, &format!("warning: {message}"));
            }
            Event::Spooled { folder, size } => {
                let size = bytes(*size);
                let text = format!("standard input: {size}, kept in {folder} until the end");
                self.say(Detail::Images, &text);
            }
            Event::Discovered { path, images } => {
                let images = count(*images, "image");
                self.say(Detail::Images, &format!("{images} in {path}"));
            }
            Event::Planned {
                images,
                blobs,
                bytes: size,
                read_back,
            } => {
                let (images, blobs) = (count(*images, "image"), count(*blobs, "blob"));
                let size = bytes(*size);
                let then = match read_back {
                    0 => "",
                    _ => ", all to be read back",
                };
                self.say(
                    Detail::Images,
                    &format!("to push: {images}, {blobs}, {size}{then}"),
                );
            }
            Event::ImageStarted { name, .. } => {
                self.say(Detail::Images, &format!("pushing {name}"));
            }
            Event::BlobFinished { blob, status, .. } => self.blob_finished(*blob, *status),
            Event::ReadBackFinished { blob, right, .. } => {
                let word = if *right { "verified" } else { "wrong" };
                self.blob_is(*blob, word);
            }
            Event::ImageFinished { .. } if self.detail >= Detail::Images => {
                self.image_finished(event);
            }
            Event::Retrying { .. } | Event::Pressure { .. } => self.trouble(event),
            Event::Interrupted => {
                self.say(Detail::Warnings, "ending what runs; once more ends at once");
            }
            Event::Reading { .. }
            | Event::BlobStarted { .. }
            | Event::ReadBackStarted { .. }
            | Event::ImageFinished { .. } => {}
        }
        self.board.apply(event, Instant::now());
    }

    fn tick(&mut self) {
        let figures = self.board.figures(Instant::now());
        if figures.images > 0 {
            self.say(Detail::Images, &headline(&figures));
        } else if let Some(reading) = self.board.reading() {
            self.say(Detail::Images, &reading);
        }
    }

    fn end(&mut self) {}
}

/// "41 %, 3 of 12 images, 420.0 MiB of 1.0 GiB, 85.3 MiB/s, 12.0 s left"
fn headline(figures: &Figures) -> String {
    let mut text = format!(
        "{} %, {} of {}",
        percent(figures),
        figures.finished.all(),
        count(figures.images, "image"),
    );
    if figures.finished.failed > 0 {
        text.push_str(&format!(" ({} failed)", figures.finished.failed));
    }
    if figures.done > 0 {
        let (done, all) = (bytes(figures.done), bytes(figures.bytes));
        text.push_str(&format!(", {done} of {all}"));
    }
    if figures.rate >= 1.0 {
        text.push_str(&format!(", {}", rate(figures.rate)));
    }
    if let Some(left) = figures.left.filter(|_| figures.done < figures.bytes) {
        text.push_str(&format!(", {} left", duration(left)));
    }
    text
}

/// Of the bytes, or of the images where that is more: nobody sends the rest of one that failed.
fn percent(figures: &Figures) -> u64 {
    let share = |part: u128, whole: u128| (part * 100).checked_div(whole).unwrap_or(0) as u64;
    let by_bytes = share(figures.done.into(), figures.bytes.into());
    let finished = figures.finished.all() as u128;
    by_bytes.max(share(finished, figures.images as u128))
}

/// The live lines: a headline, the first transfers, what else there is to say.
fn display(figures: &Figures, width: usize) -> Vec<String> {
    // The last column stays free: some terminals wrap when it is written.
    let width = width.saturating_sub(1);
    if figures.images == 0 {
        return vec![fitted("looking for images", width)];
    }
    let mut lines = vec![fitted(&headline(figures), width)];
    let shown = figures.transfers.iter().take(ROWS);
    lines.extend(shown.map(|transfer| row(transfer, width)));
    let more = figures.transfers.len().saturating_sub(ROWS);
    if more > 0 {
        lines.push(fitted(&format!("  and {more} more"), width));
    }
    if let Some(pause) = &figures.pause {
        lines.push(fitted(&format!("  {pause}"), width));
    }
    lines
}

/// With 12 digits of each digest: "layer sha256:12ab34cd56ef".
fn brief(label: &str) -> String {
    let word = |word: &str| match word.split_once(':') {
        Some((algorithm, digits))
            if digits.len() > 12 && digits.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            format!("{algorithm}:{}", &digits[..12])
        }
        _ => word.to_owned(),
    };
    let words: Vec<String> = label.split(' ').map(word).collect();
    words.join(" ")
}

fn fitted(text: &str, width: usize) -> String {
    safe(text).chars().take(width).collect()
}

/// "  team/app:1.2 layer sha256:12ab34cd56ef [#####-----]  34.0 MiB of 120.0 MiB"
fn row(transfer: &Transfer, width: usize) -> String {
    const BAR: usize = 12;
    let share = u128::from(transfer.position) * BAR as u128;
    let share = share.checked_div(u128::from(transfer.size));
    let filled = share.map_or(BAR, |share| (share as usize).min(BAR));
    let tail = format!(
        " [{}{}] {:>10} of {:>10}",
        "#".repeat(filled),
        "-".repeat(BAR - filled),
        bytes(transfer.position),
        bytes(transfer.size),
    );
    let Some(room) = width.checked_sub(tail.len() + 2).filter(|room| *room >= 12) else {
        return fitted(&format!("  {}", brief(&transfer.label)), width);
    };
    let label = brief(&transfer.label);
    let label = safe(&label);
    // The host is the same for all.
    let image = transfer.image.split_once('/');
    let image = safe(image.map_or(&transfer.image, |(_, rest)| rest));
    // What is being sent says more than for whom.
    let for_image = room.saturating_sub(label.chars().count() + 1);
    let what = if for_image < 8 {
        ending(&label, room).into_owned()
    } else {
        format!("{} {label}", ending(&image, for_image))
    };
    format!("  {what:<room$}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::board::Counts;
    use crate::observe::console::Memory;
    use crate::observe::event::Meter;
    use std::sync::Arc;

    fn figures(transfers: usize) -> Figures {
        let transfer = |n: usize| Transfer {
            image: format!("registry.local/team/application-{n}:1.2"),
            label: "layer sha256:12ab34cd56ef7890".to_owned(),
            position: 34 << 20,
            size: 120 << 20,
        };
        Figures {
            images: 12,
            finished: Counts {
                pushed: 2,
                failed: 1,
                ..Counts::default()
            },
            bytes: 1 << 30,
            done: 440_000_000,
            rate: 89_443_532.8,
            left: Some(Duration::from_secs(12)),
            transfers: (0..transfers).map(transfer).collect(),
            pause: Some("registry.local asked to wait, 5 s yet".to_owned()),
        }
    }

    #[test]
    fn the_display_fits_any_width() {
        for width in 0..200 {
            let lines = display(&figures(20), width);
            assert!(lines.len() <= ROWS + 3);
            for line in lines {
                assert!(line.chars().count() < width.max(1), "{width}: {line}");
            }
        }
        let lines = display(&figures(8), 100);
        assert_eq!(
            lines[0],
            "40 %, 3 of 12 images (1 failed), 419.6 MiB of 1.0 GiB, 85.3 MiB/s, 12.0 s left"
        );
        assert_eq!(
            lines[1],
            "  team/application-0:1.2 layer sha256:12ab34cd56ef          [###---------]   34.0 MiB of  120.0 MiB"
        );
        assert_eq!(lines[ROWS + 1], "  and 2 more");
    }

    #[test]
    fn lines_say_what_happened_and_now_and_then_how_far_it_is() {
        let memory = Memory::default();
        let mut lines = Lines::new(Console::new(Box::new(memory.clone())), Detail::Images);
        let meter = Arc::new(Meter::default());
        let tell = |to: &mut Lines, event| to.observe(&event);
        tell(
            &mut lines,
            Event::Planned {
                images: 2,
                blobs: 1,
                bytes: 1000,
                read_back: 0,
            },
        );
        let name = "r.local/app:1".to_owned();
        tell(&mut lines, Event::ImageStarted { image: 0, name });
        tell(
            &mut lines,
            Event::BlobStarted {
                blob: 0,
                image: 0,
                label: "layer".to_owned(),
                size: 1000,
                meter: Arc::clone(&meter),
            },
        );
        meter.add(600);
        lines.tick();
        tell(
            &mut lines,
            Event::ImageFinished {
                image: 0,
                status: ImageStatus::Failed,
                targets: Vec::new(),
                error: Some("413\nerror: forged".to_owned()),
            },
        );
        let expected = "\
            to push: 2 images, 1 blob, 1000 B\n\
            pushing r.local/app:1\n\
            60 %, 0 of 2 images, 600 B of 1000 B\n\
            failed: r.local/app:1: 413\\nerror: forged\n";
        assert_eq!(memory.text(), expected);
    }

    #[test]
    fn what_all_workers_meet_is_one_line() {
        for (detail, expected) in [(Detail::Images, 2), (Detail::Blobs, 17)] {
            let memory = Memory::default();
            let mut lines = Lines::new(Console::new(Box::new(memory.clone())), detail);
            for worker in 0..16 {
                lines.observe(&Event::Retrying {
                    host: "r.local".to_owned(),
                    operation: format!("upload of layer {worker}"),
                    reason: "registry answered 503".to_owned(),
                    attempt: 1,
                    wait: Duration::from_secs(30),
                });
            }
            lines.observe(&Event::Pressure {
                host: "r.local".to_owned(),
                reason: "registry answered 503".to_owned(),
                wait: Duration::from_secs(30),
            });
            let text = memory.text();
            assert_eq!(text.lines().count(), expected, "{text}");
            let first = "retry 1 in 30.0 s: upload of layer 0 on r.local: registry answered 503\n";
            assert!(text.starts_with(first), "{text}");
        }
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        let mut figures = figures(1);
        figures.transfers[0].image = "evil\x1b[2J".to_owned();
        figures.transfers[0].label = "la\ryer".to_owned();
        for line in display(&figures, 120) {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn what_was_there_already_counts_by_images() {
        let mut figures = figures(0);
        (figures.bytes, figures.done, figures.left) = (0, 0, None);
        assert!(headline(&figures).starts_with("25 %, 3 of 12"));
        figures.images = 0;
        assert!(headline(&figures).starts_with("0 %"));
    }
}
