//! `hoist push`: runs the engine beside signals, then says what happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::cli::args::Output;
use crate::cli::settings::Settings;
use crate::cli::settle::{self, Display};
use crate::cli::signals::{self, Signal};
use crate::cli::{Exit, Signals, Streams, Surroundings, empty_report, logging, results, summary};
use crate::image::digest::Digest;
use crate::observe::console::Console;
use crate::observe::event::{ImageStatus, Observer};
use crate::observe::progress::{bar, plain};
use crate::observe::tally::Tally;
use crate::observe::text::safe;
use crate::push::operation::Operation;
use crate::push::report::{
    ErrorReport, FailureKind, ImageReport, Outcome, Report, Side, TargetReport,
};
use crate::registry::clock::Stop;

/// An interrupted push that has not ended by then is left behind: one second is promised.
const PATIENCE: Duration = Duration::from_millis(850);

pub(crate) fn run(settings: &Settings, mut around: Surroundings, mut streams: Streams) -> Exit {
    let push = match settle::push(settings, &mut around) {
        Ok(push) => push,
        Err(error) => return streams.refuse(&error),
    };
    logging::start(push.log, &streams.console);
    for warning in push.warnings.iter().filter(|_| !streams.quiet) {
        streams.console.line(&safe(&format!("warning: {warning}")));
    }
    let begun = Instant::now();
    let tally = Tally::default();
    let observers = observers(push.display, &streams.console, &tally);
    let (ending, signal) = attend(push.operation, observers, around, &streams.console);
    let mut report = match ending {
        Ending::Reported(report) => report,
        Ending::Panicked => empty_report(
            Outcome::Failed,
            ErrorReport::local("the push ended in a panic: this is a bug in hoist"),
        ),
        Ending::LeftBehind => so_far(&tally, begun.elapsed()),
    };
    streams.console.close();
    report.warnings.splice(0..0, push.warnings);
    if report.outcome == Outcome::Interrupted {
        report.exit_code = signal.map_or(Exit::Interrupted, Exit::of).code();
    }
    if report.outcome == Outcome::Nothing && report.errors.is_empty() {
        let mut error = ErrorReport::local("nothing to push: no image passes what was asked for");
        error.hint = Some("-v, which says why each was left out".to_owned());
        report.errors.push(error);
    }
    if let Some(path) = &push.digest_file {
        write_digests(path, &mut report);
    }
    tell(&mut streams, &report)
}

/// How a push came to its end.
enum Ending {
    Reported(Report),
    Panicked,
    /// It did not end when it was told to.
    LeftBehind,
}

enum Happening {
    Ended(Option<Report>),
    Signal(Signal),
}

/// Runs `operation` on a thread of its own, so that there is one left to end the process whatever
/// happens there.
fn attend(
    operation: Operation,
    mut observers: Vec<Box<dyn Observer>>,
    around: Surroundings,
    console: &Console,
) -> (Ending, Option<Signal>) {
    let (sender, happenings) = channel();
    let stop = around.stop;
    listen(around.signals, sender.clone(), console);
    let stopped = stop.clone();
    let work = move || {
        let report = catch_unwind(AssertUnwindSafe(|| operation.run(&mut observers, &stopped)));
        // They have said all before the summary is.
        drop(observers);
        // Nobody listens when the push took too long to end.
        _ = sender.send(Happening::Ended(report.ok()));
    };
    let thread = std::thread::Builder::new().name("push".to_owned());
    match thread.spawn(work) {
        Ok(_) => wait(&happenings, &stop),
        Err(_) => (Ending::Panicked, None),
    }
}

fn listen(signals: Signals, sender: Sender<Happening>, console: &Console) {
    if let Err(error) = signals::forward(signals, sender, Happening::Signal) {
        console.line(&format!("warning: signals end this push at once: {error}"));
    }
}

/// Until the push has ended, or must not be waited for any longer.
fn wait(happenings: &Receiver<Happening>, stop: &Stop) -> (Ending, Option<Signal>) {
    let mut interrupted: Option<(Signal, Instant)> = None;
    loop {
        let happening = match interrupted {
            None => happenings
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some((_, deadline)) => {
                happenings.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            }
        };
        let signal = interrupted.map(|(signal, _)| signal);
        match happening {
            Ok(Happening::Ended(Some(report))) => return (Ending::Reported(report), signal),
            Ok(Happening::Ended(None)) | Err(RecvTimeoutError::Disconnected) => {
                return (Ending::Panicked, signal);
            }
            Ok(Happening::Signal(first)) if interrupted.is_none() => {
                interrupted = Some((first, Instant::now() + PATIENCE));
                stop.stop();
            }
            Ok(Happening::Signal(_)) | Err(RecvTimeoutError::Timeout) => {
                return (Ending::LeftBehind, signal);
            }
        }
    }
}

fn observers(display: Display, console: &Console, tally: &Tally) -> Vec<Box<dyn Observer>> {
    let shown = match display {
        Display::Nothing => None,
        Display::Bar { width } => Some(bar(console.clone(), width)),
        Display::Lines(detail) => Some(plain(console.clone(), detail)),
    };
    let mut observers: Vec<Box<dyn Observer>> = vec![Box::new(tally.clone())];
    match shown {
        None => {}
        Some(Ok(observer)) => observers.push(observer),
        Some(Err(error)) => console.line(&format!("warning: no progress is shown: {error}")),
    }
    observers
}

/// A report from what the observers heard.
fn so_far(tally: &Tally, elapsed: Duration) -> Report {
    let done = tally.so_far();
    let finished = done.finished.into_iter().map(|image| {
        let placed: Vec<(&str, Digest)> = image.targets.iter().filter_map(|t| placed(t)).collect();
        let targets = placed.iter().map(|(name, _)| TargetReport {
            name: (*name).to_owned(),
            status: image.status,
            error: None,
        });
        let error = image.error.map(|message| ErrorReport {
            kind: FailureKind::Refused,
            side: Side::Registry,
            message,
            hint: None,
            common: None,
        });
        ImageReport {
            targets: targets.collect(),
            digest: placed.first().map(|(_, digest)| digest.clone()),
            error,
            ..unfinished(image.name, image.status)
        }
    });
    let running = done.running.into_iter().map(|(_, name)| ImageReport {
        error: Some(ErrorReport::interrupted()),
        ..unfinished(name, ImageStatus::Failed)
    });
    let mut images: Vec<ImageReport> = finished.chain(running).collect();
    let waiting = done.images.saturating_sub(images.len());
    images.extend((0..waiting).map(|_| unfinished(String::new(), ImageStatus::Skipped)));
    Report {
        images,
        duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        ..empty_report(Outcome::Interrupted, ErrorReport::interrupted())
    }
}

/// `host/repository:tag@digest`
fn placed(target: &str) -> Option<(&str, Digest)> {
    let (name, digest) = target.split_once('@')?;
    Some((name, Digest::parse(digest).ok()?))
}

fn unfinished(name: String, status: ImageStatus) -> ImageReport {
    ImageReport {
        source: String::new(),
        names: if name.is_empty() {
            Vec::new()
        } else {
            vec![name]
        },
        targets: Vec::new(),
        digest: None,
        media_type: None,
        status,
        error: None,
        blobs: Vec::new(),
    }
}

fn write_digests(path: &Path, report: &mut Report) {
    let Err(error) = results::write_file(path, &results::lines(report), results::ANYBODY) else {
        return;
    };
    let message = format!("writing the digest file {} failed: {error}", path.display());
    report.errors.push(ErrorReport::local(message));
    if report.exit_code == Exit::Done.code() {
        report.exit_code = Exit::Failed.code();
    }
}

fn tell(streams: &mut Streams, report: &Report) -> Exit {
    let text = match streams.output {
        Output::Text => results::lines(report),
        Output::Json => results::document(report),
    };
    let exit = streams.conclude(&text, Exit::from_code(report.exit_code));
    summary::errors(&streams.console, report);
    if !streams.quiet {
        summary::summary(&streams.console, report);
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Event;

    /// What comes of happenings that have happened already.
    fn after(happenings: Vec<Happening>) -> (Ending, Option<Signal>, bool) {
        let (sender, receiver) = channel();
        for happening in happenings {
            sender.send(happening).unwrap();
        }
        let stop = Stop::default();
        let (ending, signal) = wait(&receiver, &stop);
        (ending, signal, stop.is_stopped())
    }

    fn ended() -> Happening {
        Happening::Ended(Some(empty_report(Outcome::Ok, ErrorReport::local("none"))))
    }

    #[test]
    fn the_first_signal_stops_and_the_second_is_not_waited_with() {
        use Happening::Signal as Came;
        use Signal::{Interrupt, Terminate};
        let undisturbed = after(vec![ended()]);
        assert!(matches!(undisturbed, (Ending::Reported(_), None, false)));
        let told = after(vec![Came(Terminate), ended()]);
        assert!(matches!(told, (Ending::Reported(_), Some(Terminate), true)));
        // The first one names the exit code.
        let twice = after(vec![Came(Terminate), Came(Interrupt), ended()]);
        assert!(matches!(twice, (Ending::LeftBehind, Some(Terminate), true)));
        let panicked = after(vec![Happening::Ended(None)]);
        assert!(matches!(panicked, (Ending::Panicked, None, false)));
    }

    #[test]
    fn what_is_left_behind_is_told_as_far_as_it_was_heard() {
        let mut tally = Tally::default();
        let digest = Digest::of(b"manifest");
        tally.observe(&Event::Planned {
            images: 3,
            blobs: 0,
            bytes: 0,
            read_back: 0,
        });
        for image in 0..2 {
            let name = format!("host/app:{image}");
            tally.observe(&Event::ImageStarted { image, name });
        }
        tally.observe(&Event::ImageFinished {
            image: 0,
            status: ImageStatus::Pushed,
            targets: vec![format!("host/app:0@{digest}")],
            error: None,
        });
        let report = so_far(&tally, Duration::from_secs(1));
        assert_eq!(results::lines(&report), format!("host/app:0@{digest}\n"));
        let statuses: Vec<_> = report.images.iter().map(|image| image.status).collect();
        let (pushed, failed) = (ImageStatus::Pushed, ImageStatus::Failed);
        assert_eq!(statuses, [pushed, failed, ImageStatus::Skipped]);
        assert_eq!(report.outcome, Outcome::Interrupted);
    }
}
