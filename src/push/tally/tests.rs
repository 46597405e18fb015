//! Outcomes and exit codes as DESIGN says them, and the document as programs read it.

use serde_json::json;

use super::*;
use crate::image::digest::Digest;
use crate::push::report::Side;

fn error(kind: FailureKind) -> ErrorReport {
    ErrorReport {
        kind,
        side: Side::Registry,
        message: "no".to_owned(),
        hint: None,
        common: None,
    }
}

/// An image with a target in each status, a failed one for that reason.
fn image(targets: &[(ImageStatus, Option<FailureKind>)]) -> ImageReport {
    let target = |(status, kind): &(ImageStatus, Option<FailureKind>)| TargetReport {
        name: "host/app:1".to_owned(),
        status: *status,
        error: kind.map(error),
    };
    let targets: Vec<TargetReport> = targets.iter().map(target).collect();
    ImageReport {
        source: "images/app.tar".to_owned(),
        names: vec!["docker.io/library/app:1".to_owned()],
        digest: None,
        media_type: None,
        status: ImageStatus::of_all(targets.iter().map(|t| t.status)),
        error: targets.iter().find_map(|t| t.error.clone()),
        targets,
        blobs: Vec::new(),
    }
}

/// One that was found and cannot be pushed.
fn broken() -> ImageReport {
    ImageReport {
        status: ImageStatus::Failed,
        error: Some(error(FailureKind::Source)),
        ..image(&[])
    }
}

fn tally(images: Vec<ImageReport>, errors: &[FailureKind]) -> Tally {
    Tally {
        images,
        planned: Vec::new(),
        shared: Vec::new(),
        errors: errors.iter().copied().map(error).collect(),
        warnings: Vec::new(),
        bytes: Bytes::default(),
        totals: Totals::default(),
        begun: Instant::now(),
    }
}

#[test]
fn outcomes_and_exit_codes() {
    use FailureKind as Kind;
    use ImageStatus::{Failed, Present, Pushed, Skipped};
    let pushed = || image(&[(Pushed, None)]);
    let present = || image(&[(Present, None)]);
    let skipped = || image(&[(Skipped, None)]);
    let failed = |kind| image(&[(Failed, Some(kind))]);
    for (images, errors, ending, outcome, code) in [
        (
            vec![pushed(), present()],
            &[][..],
            Ending::Run,
            Outcome::Ok,
            0,
        ),
        (vec![], &[], Ending::Run, Outcome::Nothing, 3),
        (vec![], &[Kind::Source], Ending::Run, Outcome::Nothing, 3),
        (vec![broken()], &[], Ending::Run, Outcome::Failed, 1),
        (
            vec![pushed(), broken()],
            &[],
            Ending::Run,
            Outcome::Partial,
            1,
        ),
        (
            vec![pushed()],
            &[Kind::Source],
            Ending::Run,
            Outcome::Partial,
            1,
        ),
        (
            vec![failed(Kind::Auth)],
            &[],
            Ending::Run,
            Outcome::Failed,
            4,
        ),
        (
            vec![failed(Kind::Unreachable); 2],
            &[],
            Ending::Run,
            Outcome::Failed,
            5,
        ),
        (
            vec![failed(Kind::Policy)],
            &[],
            Ending::Run,
            Outcome::Failed,
            6,
        ),
        (
            vec![failed(Kind::Refused)],
            &[],
            Ending::Run,
            Outcome::Failed,
            1,
        ),
        (
            vec![failed(Kind::Auth), skipped()],
            &[],
            Ending::Run,
            Outcome::Failed,
            4,
        ),
        (
            vec![failed(Kind::Auth), failed(Kind::Unreachable)],
            &[],
            Ending::Run,
            Outcome::Failed,
            1,
        ),
        (
            vec![failed(Kind::Auth)],
            &[Kind::Source],
            Ending::Run,
            Outcome::Failed,
            1,
        ),
        (
            vec![failed(Kind::Auth), present()],
            &[],
            Ending::Run,
            Outcome::Partial,
            1,
        ),
        // Of one image, too, all that failed has to have the reason.
        (
            vec![image(&[
                (Failed, Some(Kind::Auth)),
                (Failed, Some(Kind::Unreachable)),
            ])],
            &[],
            Ending::Run,
            Outcome::Failed,
            1,
        ),
        (
            vec![image(&[(Failed, Some(Kind::Auth)), (Pushed, None)])],
            &[],
            Ending::Run,
            Outcome::Partial,
            1,
        ),
        (
            vec![skipped()],
            &[Kind::Usage],
            Ending::Usage,
            Outcome::Usage,
            2,
        ),
        (vec![], &[], Ending::Interrupted, Outcome::Interrupted, 130),
        (
            vec![pushed(), skipped()],
            &[],
            Ending::Interrupted,
            Outcome::Interrupted,
            130,
        ),
        (vec![pushed()], &[], Ending::Interrupted, Outcome::Ok, 0),
    ] {
        let statuses: Vec<ImageStatus> = images.iter().map(|image| image.status).collect();
        let report = tally(images, errors).finish(ending);
        let found = (report.outcome, report.exit_code);
        assert_eq!(found, (outcome, code), "{statuses:?} {errors:?} {ending:?}");
    }
}

#[test]
fn an_image_is_what_its_targets_are() {
    use ImageStatus::{Failed, Present, Pushed, Skipped};
    for (targets, expected) in [
        (&[Present, Present][..], Present),
        (&[Present, Pushed], Pushed),
        (&[Pushed, Skipped], Skipped),
        (&[Pushed, Skipped, Failed, Present], Failed),
    ] {
        assert_eq!(ImageStatus::of_all(targets.iter().copied()), expected);
    }
}

#[test]
fn a_shared_target_counts_for_the_image_that_shares_it() {
    use ImageStatus::{Failed, Pushed};
    for (status, kind) in [(Pushed, None), (Failed, Some(FailureKind::Refused))] {
        let carrier = ImageReport {
            digest: Some(Digest::of(b"manifest")),
            ..image(&[(status, kind)])
        };
        let mut tally = tally(vec![carrier, image(&[])], &[]);
        tally.share(1, "host/app:1", 0);
        tally.share(1, "host/other:1", 0);
        tally.settle();
        let shared = &tally.images[1];
        assert_eq!((shared.status, shared.targets.len()), (status, 1));
        assert_eq!(shared.digest, Some(Digest::of(b"manifest")));
        assert_eq!(shared.error.as_ref().map(|error| error.kind), kind);
    }
}

#[test]
fn the_document_is_what_programs_rely_on() {
    let digest = Digest::of(b"layer");
    let mut pushed = image(&[(ImageStatus::Pushed, None)]);
    pushed.digest = Some(digest.clone());
    pushed.media_type = Some("application/vnd.oci.image.manifest.v1+json".to_owned());
    pushed.blobs = vec![BlobReport {
        repository: "app".to_owned(),
        digest: Some(digest.clone()),
        size: Some(5),
        status: BlobStatus::Mounted,
        from: Some("base".to_owned()),
        resumed_at: None,
        sent: 0,
        verified: false,
        read_back: 0,
    }];
    let failed = image(&[(ImageStatus::Failed, Some(FailureKind::Refused))]);
    let mut report = tally(vec![pushed, failed], &[]).finish(Ending::Run);
    report.duration_ms = 7;
    let refused = json!({"kind": "refused", "side": "registry", "message": "no", "hint": null});
    let expected = json!({
        "version": 1, "outcome": "partial", "exit_code": 1,
        "images": [
            {
                "source": "images/app.tar", "names": ["docker.io/library/app:1"],
                "targets": [{"name": "host/app:1", "status": "pushed", "error": null}],
                "digest": digest, "media_type": "application/vnd.oci.image.manifest.v1+json",
                "status": "pushed", "error": null,
                "blobs": [{
                    "repository": "app", "digest": digest, "size": 5, "status": "mounted",
                    "from": "base", "resumed_at": null, "sent": 0,
                    "verified": false, "read_back": 0,
                }],
            },
            {
                "source": "images/app.tar", "names": ["docker.io/library/app:1"],
                "targets": [{"name": "host/app:1", "status": "failed", "error": refused}],
                "digest": null, "media_type": null,
                "status": "failed", "error": refused, "blobs": [],
            },
        ],
        "bytes": {
            "total": 0, "uploaded": 0, "resumed": 0, "mounted": 0, "present": 0, "read_back": 0,
        },
        "requests": 0, "retries": 0, "waited_ms": 0,
        "waited": {"pause_ms": 0, "requests_ms": 0, "bandwidth_ms": 0, "retry_ms": 0, "other_ms": 0},
        "duration_ms": 7,
        "errors": [], "warnings": [],
    });
    assert_eq!(serde_json::to_value(&report).unwrap(), expected);
}

#[test]
fn every_word_of_the_document_is_fixed() {
    use FailureKind as Kind;
    let statuses = [
        ImageStatus::Pushed,
        ImageStatus::Present,
        ImageStatus::Failed,
        ImageStatus::Skipped,
    ];
    let blobs = [
        BlobStatus::Uploaded,
        BlobStatus::Mounted,
        BlobStatus::Present,
        BlobStatus::Failed,
    ];
    let outcomes = [
        Outcome::Ok,
        Outcome::Partial,
        Outcome::Failed,
        Outcome::Nothing,
        Outcome::Usage,
        Outcome::Interrupted,
    ];
    let kinds = [
        Kind::Usage,
        Kind::Source,
        Kind::Auth,
        Kind::Unreachable,
        Kind::Pressure,
        Kind::Refused,
        Kind::Policy,
        Kind::Interrupted,
    ];
    let sides = [Side::Source, Side::Registry, Side::Local];
    let written = json!([statuses, blobs, outcomes, kinds, sides]);
    let expected = json!([
        ["pushed", "present", "failed", "skipped"],
        ["uploaded", "mounted", "present", "failed"],
        ["ok", "partial", "failed", "nothing", "usage", "interrupted"],
        [
            "usage",
            "source",
            "auth",
            "unreachable",
            "pressure",
            "refused",
            "policy",
            "interrupted"
        ],
        ["source", "registry", "local"],
    ]);
    assert_eq!(written, expected);
}
