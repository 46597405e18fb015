//! What is remembered, by whom it is found, and what does not count.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::image::reference::Repository;

struct Place {
    dir: TempDir,
    repository: Repository,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempdir().unwrap(),
            repository: Repository::parse("team/app").unwrap(),
        }
    }

    fn open(&self) -> State {
        State::open(self.dir.path(), Worth::of([]))
    }

    fn upload(&self) -> Upload<'_> {
        Upload {
            registry: "r.io:5000",
            repository: &self.repository,
            content: "sha256:abc",
            size: Some(100),
        }
    }

    /// The files there are, all below the folder for uploads.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join("uploads"));
        let entries = entries.into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    /// As a process leaves it that is killed in the middle.
    fn leave(&self) -> PathBuf {
        ours(self.open().keep(&self.upload(), &session("/1"), FAR));
        self.file()
    }
}

/// What opening an upload takes on a long link.
const FAR: Duration = Duration::from_secs(1);

fn session(location: &str) -> Remembered {
    Remembered {
        location: location.into(),
        held: 50,
        least: 0,
        made: None,
    }
}

fn ours(claim: Claim) -> Box<dyn Kept> {
    match claim {
        Claim::Ours(kept) => kept,
        Claim::Busy => panic!("busy"),
        Claim::Nothing => panic!("nothing"),
        Claim::Never => panic!("never"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Neither to go on with, nor to begin anew.
fn is_busy(state: &State, upload: &Upload<'_>) -> bool {
    let answers = [state.claim(upload), state.keep(upload, &session("/x"), FAR)];
    answers.iter().all(|claim| matches!(claim, Claim::Busy))
}

#[test]
fn what_one_process_leaves_the_next_one_finds() {
    let place = Place::new();
    let state = place.open();
    let upload = place.upload();
    assert!(matches!(state.claim(&upload), Claim::Nothing));
    assert!(place.files().is_empty());
    let mut kept = ours(state.keep(&upload, &session("/1"), FAR));
    let file = place.file();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(kept.left(), None);
    assert!(kept.replace(&session("/2")));
    drop(kept);
    let found = ours(place.open().claim(&upload));
    assert_eq!(found.left(), Some(&session("/2")));
    found.forget();
    assert!(matches!(state.claim(&upload), Claim::Nothing));
    assert!(place.files().is_empty());
    assert_eq!(state.complaint(), None);
}

/// On a link that is not known as a quick one.
#[test]
fn only_what_has_come_tells_what_the_link_is_like() {
    let place = Place::new();
    let state = place.open();
    let upload = place.upload();
    // Nothing is in it, as after a loss of power.
    File::create(place.leave()).unwrap();
    assert!(ours(state.claim(&upload)).forget());
    let lost = ours(state.keep(&upload, &session("/1"), FAR));
    assert_eq!(place.files().len(), 1);
    assert!(lost.forget());
    let come = ours(state.keep(&upload, &session("/2"), FAR));
    assert_eq!(place.files().len(), 1);
    come.arrived();
    let mut spared = ours(state.keep(&upload, &session("/3"), FAR));
    assert!(spared.replace(&session("/4")) && spared.forget());
    assert!(place.files().is_empty());
}

#[test]
fn what_cannot_be_removed_is_told() {
    let place = Place::new();
    let path = place.leave();
    let kept = ours(place.open().claim(&place.upload()));
    // No file any more, so that also an administrator cannot remove it as one.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!kept.forget());
    fs::remove_dir(&path).unwrap();
    let gone = ours(place.open().keep(&place.upload(), &session("/1"), FAR));
    fs::remove_file(&path).unwrap();
    assert!(gone.forget());
}

#[test]
fn what_somebody_holds_nobody_else_gets() {
    let place = Place::new();
    let (state, other) = (place.open(), place.open());
    let upload = place.upload();
    let mut kept = ours(state.keep(&upload, &session("/1"), FAR));
    assert!(is_busy(&other, &upload) && is_busy(&state, &upload));
    assert!(kept.replace(&session("/2")));
    assert!(is_busy(&other, &upload) && is_busy(&state, &upload));
    drop(kept);
    let found = ours(other.claim(&upload));
    assert!(is_busy(&other, &upload) && is_busy(&state, &upload));
    drop(found);
    // What is left is there to be gone on with.
    let begun = state.keep(&upload, &session("/x"), FAR);
    assert!(matches!(begun, Claim::Busy));
}

#[test]
fn a_lock_on_what_has_been_replaced_is_none() {
    let place = Place::new();
    let path = place.leave();
    let stale = File::open(&path).unwrap();
    assert!(is_named(&stale, &path));
    let mut kept = ours(place.open().claim(&place.upload()));
    assert!(kept.replace(&session("/2")));
    assert!(stale.try_lock().is_ok() && !is_named(&stale, &path));
    kept.forget();
    assert!(!is_named(&stale, &path));
}

#[test]
fn what_is_not_to_be_trusted_does_not_count_and_is_told_once() {
    let place = Place::new();
    for (spoil, why) in [
        (
            &(|path: &Path| fs::write(path, "{").unwrap()) as &dyn Fn(&Path),
            Some("is ignored: it is damaged"),
        ),
        (
            &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o620)).unwrap(),
            Some("is ignored: others can write to it"),
        ),
        (&|path| fs::write(path, "").unwrap(), None),
    ] {
        spoil(&place.leave());
        let state = place.open();
        for _ in 0..2 {
            let kept = ours(state.claim(&place.upload()));
            assert_eq!(kept.left(), None, "{why:?}");
        }
        let complaint = state.complaint();
        assert_eq!(complaint.is_some(), why.is_some(), "{complaint:?}");
        assert!(complaint.unwrap_or_default().ends_with(why.unwrap_or("")));
        ours(state.claim(&place.upload())).forget();
    }
}

#[test]
fn what_a_later_version_has_written_stays() {
    let place = Place::new();
    let path = place.leave();
    fs::write(&path, "{\"version\": 2}").unwrap();
    let state = place.open();
    assert!(matches!(state.claim(&place.upload()), Claim::Never));
    assert!(state.complaint().unwrap().contains("a later version"));
    assert_eq!(fs::read(&path).unwrap(), b"{\"version\": 2}");
}

#[test]
fn without_a_place_nothing_is_remembered_and_nothing_said() {
    let place = Place::new();
    fs::write(place.dir.path().join("uploads"), "a file").unwrap();
    let state = place.open();
    assert!(!matches!(
        state.claim(&place.upload()),
        Claim::Ours(_) | Claim::Busy
    ));
    let kept = state.keep(&place.upload(), &session("/1"), FAR);
    assert!(matches!(kept, Claim::Never));
    assert_eq!(state.complaint(), None);
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let place = Place::new();
    let path = place.leave();
    let folder = path.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o770)).unwrap();
    let state = place.open();
    assert!(matches!(state.claim(&place.upload()), Claim::Never));
    assert!(matches!(
        state.keep(&place.upload(), &session("/1"), FAR),
        Claim::Never
    ));
    let complaint = state.complaint().unwrap();
    assert!(complaint.ends_with("is ignored: others can write to it"));
}

#[test]
fn what_is_no_file_is_left_alone() {
    let place = Place::new();
    let path = place.leave();
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    let state = place.open();
    assert!(matches!(state.claim(&place.upload()), Claim::Never));
    assert!(path.is_symlink());
}

#[test]
fn what_is_too_old_goes_unless_somebody_is_at_it() {
    let now = SystemTime::now();
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    for (changed, held, stays) in [
        (now - days(8), false, false),
        (now - days(8), true, true),
        (now - days(6), false, true),
        // Written while the clock was wrong.
        (now + days(8), false, false),
        (now + days(6), false, true),
    ] {
        let place = Place::new();
        let path = place.leave();
        let kept = held.then(|| ours(place.open().claim(&place.upload())));
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(changed))
            .unwrap();
        place.open();
        assert_eq!(path.exists(), stays, "{changed:?} {held}");
        drop(kept);
    }
}
