//! Pauses and lines, by a clock that is a number.

use super::*;
use crate::registry::error::ErrorKind;

fn limit(per_second: f64) -> Limit {
    Limit::new(Rate::per_second(per_second))
}

/// Whoever lines up at these times: when each has its turn, with the pauses that are asked for at
/// `(time, length)`. All in milliseconds.
fn turns(limit: &Limit, start: Instant, come: &[u64], pauses: &[(u64, u64)]) -> Vec<u64> {
    let at = |ms| start + Duration::from_millis(ms);
    let mut waiting: Vec<(usize, Place)> = Vec::new();
    let mut turns = vec![0; come.len()];
    for now in 0..12_000 {
        for (_, length) in pauses.iter().filter(|(asked, _)| *asked == now) {
            limit.press(at(now), at(now), Duration::from_millis(*length), false);
        }
        for (who, _) in come.iter().enumerate().filter(|(_, comes)| **comes == now) {
            let place = limit.line_up(|| "host".to_owned(), at(now)).unwrap();
            waiting.push((who, place));
        }
        waiting.retain(|(who, place)| {
            let waits = limit.until_turn(place, at(now)).is_some();
            if !waits {
                turns[*who] = now;
            }
            waits
        });
    }
    turns
}

#[test]
fn who_was_mute_and_answers_after_all_is_spoken_to_again() {
    let limit = Limit::default();
    let away = |host: &str| limit.away(|| host.to_owned()).is_some();
    let why = Error::new(ErrorKind::Pressure, "a push", "registry wants pauses");
    limit.leave_mute("own".into(), &why);
    limit.leave("other".into(), &why);
    assert!(away("own") && away("other") && !away("third"));
    limit.answered();
    assert!(!away("own") && away("other"));
    // One that has said for how long it wants to be left alone means it.
    limit.leave_mute("own".into(), &why);
    limit.leave("own".into(), &why);
    limit.answered();
    assert!(away("own"));
}

#[test]
fn pauses_everybody_and_reports_once() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let paused = |seconds| Some((Duration::from_secs(seconds), Why::Pause));
    let press = |limit: &Limit, began, now, wait| {
        limit.press(at(began), at(now), Duration::from_secs(wait), false)
    };
    let limit = Limit::default();
    assert_eq!(limit.pending(at(0)), None);
    // Three requests that began together are refused one after the other.
    assert!(press(&limit, 0, 1, 10));
    assert!(!press(&limit, 0, 2, 20));
    assert!(!press(&limit, 0, 3, 1));
    assert_eq!(limit.pending(at(4)), paused(18));
    assert_eq!(limit.pending(at(22)), None);
    assert_eq!(limit.pending(at(30)), None);
    // One that began after the pause is news.
    assert!(press(&limit, 23, 24, 5));
    assert_eq!(limit.pending(at(24)), paused(5));
    limit.press(at(24), at(25), Duration::from_secs(9), true);
    assert_eq!(
        limit.pending(at(25)),
        Some((Duration::from_secs(9), Why::Retry))
    );
    assert!(limit.line_up(|| unreachable!("no rate"), at(25)).is_none());
}

#[test]
fn a_second_s_worth_goes_at_once_and_the_rest_in_line() {
    let start = Instant::now();
    for (rate, come, expected) in [
        (5.0, &[0; 8][..], &[0, 0, 0, 0, 0, 200, 400, 600][..]),
        (
            1.0,
            &[0, 0, 500, 9000, 9100],
            &[0, 1000, 2000, 9000, 10_000],
        ),
        (0.5, &[0, 0, 0], &[0, 2000, 4000]),
        (2.5, &[0, 0, 0, 0], &[0, 0, 200, 600]),
    ] {
        assert_eq!(turns(&limit(rate), start, come, &[]), expected, "{rate}");
    }
}

#[test]
fn nobody_moves_up_during_a_pause() {
    let start = Instant::now();
    let come = [0; 7];
    for (pauses, expected) in [
        (&[][..], [0, 0, 500, 1000, 1500, 2000, 2500]),
        (&[(600, 3000)], [0, 0, 500, 4000, 4500, 5000, 5500]),
        // One in the other, one behind the other.
        (
            &[(600, 1000), (700, 2900), (800, 10)],
            [0, 0, 500, 4000, 4500, 5000, 5500],
        ),
        (
            &[(600, 1000), (1600, 2000)],
            [0, 0, 500, 4000, 4500, 5000, 5500],
        ),
        (
            &[(600, 1000), (2200, 2000)],
            [0, 0, 500, 2000, 4500, 5000, 5500],
        ),
        // Whoever comes during one begins when it ends.
        (&[(0, 1000)], [1000, 1000, 1500, 2000, 2500, 3000, 3500]),
    ] {
        assert_eq!(
            turns(&limit(2.0), start, &come, pauses),
            expected,
            "{pauses:?}"
        );
    }
}

#[test]
fn a_pause_is_no_rest() {
    let start = Instant::now();
    let come = [0, 0, 0, 5100, 5100, 5100, 9000, 9000, 9000];
    let expected = [0, 0, 500, 5500, 6000, 6500, 9000, 9000, 9500];
    assert_eq!(turns(&limit(2.0), start, &come, &[(600, 4500)]), expected);
}

#[test]
fn each_host_has_a_line() {
    let start = Instant::now();
    let limit = limit(1.0);
    let waits = |host: &str| {
        let place = limit.line_up(|| host.to_owned(), start).unwrap();
        let left = limit.until_turn(&place, start);
        left.map_or(0, |(left, _)| left.as_secs())
    };
    assert_eq!(
        [waits("a"), waits("b"), waits("a"), waits("b")],
        [0, 0, 1, 1]
    );
    // However many there are.
    let many: Vec<u64> = (0..100).map(|n| waits(&n.to_string())).collect();
    assert_eq!(
        many.iter().filter(|wait| **wait == 0).count(),
        MOST_HOSTS - 2 + 1
    );
    assert_eq!(limit.state().lines.len(), MOST_HOSTS + 1);
}
