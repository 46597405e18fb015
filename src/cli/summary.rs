//! What is said to people at the end of a push: errors in their one shape, then the figures.

use std::collections::HashMap;
use std::time::Duration;

use crate::observe::console::Console;
use crate::observe::text::{bytes, count, duration, rate, safe};
use crate::push::report::{ErrorReport, ImageReport, ImageStatus, Outcome, Report, Waited};

/// `error: MESSAGE`, and what to try on a line of its own.
pub(crate) fn error(console: &Console, message: &str, hint: Option<&str>) {
    let mut text = format!("error: {}", safe(message));
    if let Some(hint) = hint {
        text.push_str(&format!("\ntry: {}", safe(hint)));
    }
    console.line(&text);
}

/// Targets that are named when one trouble met more of them.
const MOST_NAMES: usize = 12;

/// Everything that went wrong, the images' own troubles first. An interruption, or a registry that
/// nobody can reach, is one trouble, however many images it met.
pub(crate) fn errors(console: &Console, report: &Report) {
    for (message, hint) in image_errors(&report.images) {
        error(console, &message, hint);
    }
    let others = report
        .errors
        .iter()
        .filter(|error| !error.is_interruption());
    for ErrorReport { message, hint, .. } in others {
        error(console, message, hint.as_deref());
    }
    if report.outcome == Outcome::Interrupted {
        error(
            console,
            "interrupted",
            Some("the same command again: what is there is not sent twice"),
        );
    }
}

/// The sentences about all images, each trouble where it came first.
fn image_errors(images: &[ImageReport]) -> Vec<(String, Option<&str>)> {
    let failures: Vec<Failure<'_>> = images.iter().flat_map(failures).collect();
    let mut met: HashMap<(&str, Option<&str>), Vec<&str>> = HashMap::new();
    for failure in &failures {
        if let Some(trouble) = failure.trouble() {
            met.entry(trouble).or_default().push(failure.of);
        }
    }
    let sentences = failures.iter().filter_map(|failure| {
        let hint = failure.error.hint.as_deref();
        let Some(trouble) = failure.trouble() else {
            return Some((failure.sentence(), hint));
        };
        let all = met.remove(&trouble)?;
        Some(match all.len() {
            1 => (failure.sentence(), hint),
            _ => (together(trouble.0, &all), hint),
        })
    });
    sentences.collect()
}

/// One error of one image, and what it is about.
struct Failure<'a> {
    of: &'a str,
    error: &'a ErrorReport,
}

impl<'a> Failure<'a> {
    /// What other images may have met as well: the reason, and what to try.
    fn trouble(&self) -> Option<(&'a str, Option<&'a str>)> {
        let common = self.error.common.as_deref()?;
        Some((common, self.error.hint.as_deref()))
    }

    fn sentence(&self) -> String {
        // Where the file is the subject it need not be named again.
        let repeated = format!("{}: ", self.of);
        let why = &self.error.message;
        let why = why.strip_prefix(&repeated).unwrap_or(why);
        format!("push of {} failed: {why}", self.of)
    }
}

fn together(why: &str, all: &[&str]) -> String {
    let (named, rest) = all.split_at(all.len().min(MOST_NAMES));
    let mut of = named.join(", ");
    if !rest.is_empty() {
        of.push_str(&format!(" and {} more", rest.len()));
    }
    format!("push of {of} failed: {why}")
}

/// The errors of one image: its own, and those of targets that say something else.
fn failures(image: &ImageReport) -> impl Iterator<Item = Failure<'_>> {
    let own = image.error.as_ref();
    let others = image.targets.iter().filter_map(move |target| {
        let error = target.error.as_ref().filter(|error| Some(*error) != own)?;
        let of = &target.name;
        Some(Failure { of, error })
    });
    let of = subject(image);
    let own = own.map(|error| Failure { of, error });
    let all = own.into_iter().chain(others);
    all.filter(|failure| !failure.error.is_interruption())
}

/// What an image's own error is about: the target that failed by it, else its name, else its file.
fn subject(image: &ImageReport) -> &String {
    let failed_by_it = image
        .targets
        .iter()
        .find(|target| target.status == ImageStatus::Failed && target.error == image.error);
    let target = failed_by_it.or(image.targets.first());
    let name = target.map(|target| &target.name).or(image.names.first());
    name.unwrap_or(&image.source)
}

/// Images, bytes, time.
pub(crate) fn summary(console: &Console, report: &Report) {
    if matches!(report.outcome, Outcome::Usage | Outcome::Nothing) {
        return;
    }
    let (images, sent, time) = (images(report), sent(report), time(report));
    console.line(&format!("{images}\n{sent}\n{time}"));
}

/// "12 images found, 9 pushed, 2 already there, 1 failed, success rate 91.6 %"
fn images(report: &Report) -> String {
    let with = |status| {
        let images = report.images.iter();
        images.filter(|image| image.status == status).count()
    };
    let found = report.images.len();
    let (pushed, present) = (with(ImageStatus::Pushed), with(ImageStatus::Present));
    let failed = with(ImageStatus::Failed);
    let interrupted = report.images.iter().filter(|image| {
        image.status == ImageStatus::Failed
            && image
                .error
                .as_ref()
                .is_some_and(ErrorReport::is_interruption)
    });
    let interrupted = interrupted.count();
    let (failed, unfinished) = (
        failed - interrupted,
        interrupted + with(ImageStatus::Skipped),
    );
    let all = count(found, "image");
    let mut text =
        format!("{all} found, {pushed} pushed, {present} already there, {failed} failed");
    if unfinished > 0 {
        text.push_str(&format!(", {unfinished} not finished"));
    }
    if found > 0 {
        text.push_str(&format!(
            ", success rate {}",
            share(pushed + present, found)
        ));
    }
    text
}

/// "1.2 GiB sent, 200.0 MiB mounted, 85.3 MiB/s"
fn sent(report: &Report) -> String {
    let size = &report.bytes;
    let mut text = format!("{} sent", bytes(size.uploaded));
    for (amount, what) in [
        (size.mounted, "mounted"),
        (size.present, "already there"),
        (size.resumed, "kept from cut uploads"),
        (size.read_back, "read back"),
    ] {
        if amount > 0 {
            text.push_str(&format!(", {} {what}", bytes(amount)));
        }
    }
    let seconds = Duration::from_millis(report.duration_ms).as_secs_f64();
    if size.uploaded > 0 && seconds > 0.0 {
        text.push_str(&format!(", {}", rate(size.uploaded as f64 / seconds)));
    }
    text
}

/// "14.2 s, 120 requests, 3 retries, 2.0 s waited as the registry asked"
fn time(report: &Report) -> String {
    let requests = usize::try_from(report.requests).unwrap_or(usize::MAX);
    let mut text = format!(
        "{}, {}, {}",
        duration(Duration::from_millis(report.duration_ms)),
        count(requests, "request"),
        match report.retries {
            1 => "1 retry".to_owned(),
            retries => format!("{retries} retries"),
        }
    );
    if let Some(waited) = waited(report.waited) {
        text.push_str(&format!(", {waited}"));
    }
    text
}

/// "12.0 s waited: 8.0 s as the registry asked, 4.0 s for --requests-per-second". Nothing of what nobody
/// would have noticed.
fn waited(waited: Waited) -> Option<String> {
    const NOTICED_MS: u64 = 100;
    let said = |ms| duration(Duration::from_millis(ms));
    let parts = [
        (waited.pause_ms, "as the registry asked"),
        (waited.requests_ms, "for --requests-per-second"),
        (waited.bandwidth_ms, "for --limit-rate"),
        (waited.retry_ms, "between tries and looks"),
        (waited.other_ms, "for another hoist that sent the same"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(ms, _)| *ms >= NOTICED_MS).collect();
    let all = said(waited.total_ms());
    match parts[..] {
        [] => None,
        [(_, why)] => Some(format!("{all} waited {why}")),
        _ => {
            let parts: Vec<String> = parts
                .iter()
                .map(|(ms, why)| format!("{} {why}", said(*ms)))
                .collect();
            Some(format!("{all} waited: {}", parts.join(", ")))
        }
    }
}

/// "91.6 %": rounded down, so that 100 means all.
fn share(part: usize, whole: usize) -> String {
    let per_mille = part * 1000 / whole;
    match per_mille % 10 {
        0 => format!("{} %", per_mille / 10),
        tenths => format!("{}.{tenths} %", per_mille / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::report::{FailureKind, Side, TargetReport};

    fn trouble(message: &str) -> ErrorReport {
        ErrorReport {
            kind: FailureKind::Refused,
            side: Side::Registry,
            message: message.to_owned(),
            hint: Some("--chunk-size 16MiB".to_owned()),
            common: None,
        }
    }

    fn image(targets: Vec<TargetReport>, error: Option<ErrorReport>) -> ImageReport {
        ImageReport {
            source: "images/a.tar".to_owned(),
            names: vec!["docker.io/library/app:1".to_owned()],
            targets,
            digest: None,
            media_type: None,
            status: ImageStatus::Failed,
            error,
            blobs: Vec::new(),
        }
    }

    fn target(name: &str, error: Option<ErrorReport>) -> TargetReport {
        let status = match error {
            Some(_) => ImageStatus::Failed,
            None => ImageStatus::Pushed,
        };
        TargetReport {
            name: name.to_owned(),
            status,
            error,
        }
    }

    fn messages(image: &ImageReport) -> Vec<String> {
        image_errors(std::slice::from_ref(image))
            .into_iter()
            .map(|(message, _)| message)
            .collect()
    }

    #[test]
    fn one_trouble_is_told_once_and_names_the_target_it_is_about() {
        let refused = trouble("upload of sha256:12ab: registry answered 413");
        let two = image(
            vec![
                target("r/app:0", None),
                target("r/app:1", Some(refused.clone())),
                target("r/app:2", Some(refused.clone())),
                target("r/app:3", Some(trouble("tag is immutable"))),
            ],
            Some(refused),
        );
        assert_eq!(
            messages(&two),
            [
                "push of r/app:1 failed: upload of sha256:12ab: registry answered 413",
                "push of r/app:3 failed: tag is immutable",
            ]
        );
    }

    #[test]
    fn what_all_images_met_is_told_once_with_their_names() {
        let down = |name: &str| {
            let mut error = trouble(&format!("check of manifest {name}: cannot connect"));
            error.common = Some("cannot connect".to_owned());
            image(vec![target(name, Some(error.clone()))], Some(error))
        };
        let other = trouble("tag is immutable");
        let mut images: Vec<ImageReport> = (0..14).map(|n| down(&format!("r/{n}"))).collect();
        images.insert(
            1,
            image(vec![target("r/app:1", Some(other.clone()))], Some(other)),
        );
        let errors = image_errors(&images);
        let told: Vec<&str> = errors.iter().map(|(message, _)| message.as_str()).collect();
        let names: Vec<String> = (0..12).map(|n| format!("r/{n}")).collect();
        let names = names.join(", ");
        assert_eq!(
            told,
            [
                format!("push of {names} and 2 more failed: cannot connect").as_str(),
                "push of r/app:1 failed: tag is immutable",
            ]
        );
        let alone = image_errors(&images[..1]);
        assert_eq!(
            alone[0].0,
            "push of r/0 failed: check of manifest r/0: cannot connect"
        );
    }

    #[test]
    fn what_has_no_target_goes_by_its_name_or_file() {
        let broken = trouble("images/a.tar: blob sha256:12ab is missing");
        let mut unplaced = image(Vec::new(), Some(broken));
        assert_eq!(
            messages(&unplaced),
            ["push of docker.io/library/app:1 failed: images/a.tar: blob sha256:12ab is missing"]
        );
        unplaced.names.clear();
        assert_eq!(
            messages(&unplaced),
            ["push of images/a.tar failed: blob sha256:12ab is missing"]
        );
    }

    #[test]
    fn an_interruption_is_told_once_and_its_images_have_not_failed() {
        let mut interruption = trouble("interrupted");
        interruption.kind = FailureKind::Interrupted;
        let cut = image(Vec::new(), Some(interruption.clone()));
        assert_eq!(messages(&cut), [""; 0]);
        let mut waiting = image(Vec::new(), None);
        waiting.status = ImageStatus::Skipped;
        let report = Report {
            images: vec![cut, waiting, image(Vec::new(), Some(trouble("413")))],
            ..crate::cli::empty_report(Outcome::Interrupted, interruption)
        };
        let expected =
            "3 images found, 0 pushed, 0 already there, 1 failed, 2 not finished, success rate 0 %";
        assert_eq!(images(&report), expected);
    }

    #[test]
    fn waiting_is_told_with_its_reasons() {
        for ([pause_ms, requests_ms, bandwidth_ms, retry_ms, other_ms], expected) in [
            ([0, 0, 0, 99, 0], None),
            (
                [7000, 0, 0, 50, 0],
                Some("7.0 s waited as the registry asked"),
            ),
            (
                [0, 0, 61_000, 0, 0],
                Some("1 m 01 s waited for --limit-rate"),
            ),
            (
                [0, 0, 0, 0, 5000],
                Some("5.0 s waited for another hoist that sent the same"),
            ),
            (
                [8000, 4000, 0, 0, 0],
                Some("12.0 s waited: 8.0 s as the registry asked, 4.0 s for --requests-per-second"),
            ),
            (
                [0, 0, 100, 1900, 0],
                Some("2.0 s waited: 0.1 s for --limit-rate, 1.9 s between tries and looks"),
            ),
        ] {
            let times = Waited {
                pause_ms,
                requests_ms,
                bandwidth_ms,
                retry_ms,
                other_ms,
            };
            assert_eq!(waited(times).as_deref(), expected);
        }
    }

    #[test]
    fn only_all_is_a_hundred_per_cent() {
        for (part, whole, expected) in [
            (3, 3, "100 %"),
            (999_999, 1_000_000, "99.9 %"),
            (1, 2, "50 %"),
            (0, 3, "0 %"),
        ] {
            assert_eq!(share(part, whole), expected);
        }
    }
}
