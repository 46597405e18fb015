//! Which layers are remembered, and for how long.

use std::fs;
use std::slice;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::tempdir;

use super::*;

fn layer(name: &str, level: u32) -> Compressed {
    Compressed {
        diff_id: Digest::of(name.as_bytes()),
        method: Method::Gzip { level },
        summary: Summary {
            digest: Digest::of(format!("{name} at {level}").as_bytes()),
            size: u64::MAX,
        },
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn reopened(folder: &Path) -> Layers {
    let (layers, warning) = Layers::open(folder);
    assert_eq!(warning, None);
    layers
}

fn remember(layers: &Layers, folder: &Path, pushed: &[Compressed], now: SystemTime) {
    layers.remember(&mut Turn::at(folder), pushed, now);
}

fn has(layers: &Layers, layer: &Compressed) -> bool {
    layers.find(&layer.diff_id, layer.method) == Some(layer.summary.clone())
}

#[test]
fn a_layer_is_known_at_its_level_and_by_the_last_that_was_said_of_it() {
    let dir = tempdir().unwrap();
    let mut one = layer("one", 2);
    remember(
        &reopened(dir.path()),
        dir.path(),
        &[one.clone(), layer("two", 0)],
        at(1),
    );
    let layers = reopened(dir.path());
    assert!(has(&layers, &one) && has(&layers, &layer("two", 0)));
    assert_eq!(layers.find(&one.diff_id, Method::Gzip { level: 3 }), None);
    one.summary.size = 7;
    remember(&layers, dir.path(), slice::from_ref(&one), at(1));
    assert!(has(&reopened(dir.path()), &one));
}

#[test]
fn the_file_is_written_when_there_is_something_new() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("layers.json");
    let one = layer("one", 2);
    remember(
        &reopened(dir.path()),
        dir.path(),
        slice::from_ref(&one),
        at(1000),
    );
    let layers = reopened(dir.path());
    let day = 24 * 3600;
    for (also, now, written) in [
        (None, 1000 + day, false),
        (None, 1001 + day, true),
        (Some(layer("two", 2)), 1000, true),
        (None, 1000, false),
    ] {
        fs::remove_file(&path).ok();
        let pushed: Vec<Compressed> = [one.clone()].into_iter().chain(also).collect();
        remember(&layers, dir.path(), &pushed, at(now));
        assert_eq!(path.exists(), written, "{now}");
    }
}

#[test]
fn the_least_recently_used_make_room_and_the_file_stays_readable() {
    let long = |number: usize| Compressed {
        diff_id: Digest::parse(&format!("sha512:{number:0>128x}")).unwrap(),
        ..layer(&number.to_string(), 2)
    };
    let dir = tempdir().unwrap();
    let many: Vec<Compressed> = (0..MOST_LAYERS).map(long).collect();
    remember(&reopened(dir.path()), dir.path(), &many, at(u64::MAX >> 8));
    let size = fs::metadata(dir.path().join("layers.json")).unwrap().len();
    assert!(size < file::MOST, "{size}");
    // All but two are used again.
    remember(
        &reopened(dir.path()),
        dir.path(),
        &many[2..],
        at(u64::MAX >> 7),
    );
    let new = layer("new", 2);
    remember(
        &reopened(dir.path()),
        dir.path(),
        slice::from_ref(&new),
        at(u64::MAX >> 7),
    );
    let layers = reopened(dir.path());
    assert_eq!(layers.known.layers.len(), MOST_LAYERS);
    assert!(has(&layers, &new) && has(&layers, &many[2]));
    assert!(!has(&layers, &many[0]) && has(&layers, &many[1]));
}

#[test]
fn what_no_compressor_made_is_not_used() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("layers.json");
    let Compressed {
        diff_id: of,
        method,
        ..
    } = layer("one", 2);
    let text = |digest: &str, size: u32| {
        format!(
            r#"{{"version":1,"more":[],"layers":{{"{}":{{"digest":"{digest}","size":{size},"used":1,"new":0}}}}}}"#,
            key(&of, method)
        )
    };
    let fit = Digest::of(b"x");
    fs::write(&path, text(fit.as_str(), 1)).unwrap();
    assert!(reopened(dir.path()).find(&of, method).is_some());
    for unfit in [text("other:0123456789abcdef", 1), text(fit.as_str(), 0)] {
        fs::write(&path, unfit).unwrap();
        assert_eq!(reopened(dir.path()).find(&of, method), None);
    }
    let later = r#"{"version": 2, "layers": 7}"#;
    for (bad, why) in [
        (text("x", 1), "it is damaged"),
        (later.to_string(), "a later version of hoist has written it"),
    ] {
        fs::write(&path, &bad).unwrap();
        let (layers, warning) = Layers::open(dir.path());
        let expected = format!("{} is ignored: {why}", path.display());
        assert_eq!(warning, Some(expected));
        remember(&layers, dir.path(), &[layer("one", 2)], at(1));
        let left = fs::read_to_string(&path).unwrap() == bad;
        assert_eq!(left, bad == later);
    }
}

#[test]
fn a_file_that_was_cut_is_damaged_and_then_replaced() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("layers.json");
    let before = [layer("one", 2), layer("two", 9)];
    remember(&reopened(dir.path()), dir.path(), &before, at(1));
    let whole = fs::read(&path).unwrap();
    let expected = format!("{} is ignored: it is damaged", path.display());
    let new = layer("new", 2);
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (layers, warning) = Layers::open(dir.path());
        assert_eq!(warning.as_ref(), Some(&expected), "{length}");
        remember(&layers, dir.path(), slice::from_ref(&new), at(1));
        let left = reopened(dir.path());
        assert!(has(&left, &new), "{length}");
        assert!(!before.iter().any(|layer| has(&left, layer)), "{length}");
    }
    fs::write(&path, &whole).unwrap();
    let known = reopened(dir.path());
    assert!(before.iter().all(|layer| has(&known, layer)));
}

#[test]
fn pushes_at_the_same_time_lose_nothing() {
    let dir = tempdir().unwrap();
    let layers: Vec<Compressed> = (0..8).map(|number| layer("one", number)).collect();
    std::thread::scope(|scope| {
        for layer in &layers {
            let (open, folder) = (reopened(dir.path()), dir.path());
            scope.spawn(move || remember(&open, folder, slice::from_ref(layer), at(1)));
        }
    });
    let known = reopened(dir.path());
    assert!(layers.iter().all(|layer| has(&known, layer)));
}
