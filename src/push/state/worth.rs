//! Which uploads are worth a file. Pure.
//!
//! A file costs 150 µs of a CPU, and twice as much where many were removed not long ago: so long a fast
//! link takes for a fair part of a MiB. What a link brings within a moment it brings again within a moment,
//! so that little is lost when there is none. Before it has brought anything, a link that is short is taken
//! for one that is fast, as far as [`NEARBY`] bytes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Beside sending what is larger a file costs nothing, in bytes.
const LARGE: u64 = 2 << 20;
const MOMENT: Duration = Duration::from_millis(500);
/// An upload is opened so quickly within a building.
const NEAR: Duration = Duration::from_millis(15);
/// Bytes that may be under way without a file while nothing has come yet.
const NEARBY: u64 = 16 << 20;
/// From this size on no more than 2 % of an image is to be sent twice, in bytes.
const WHOLE: u64 = 256 << 20;
/// The share of an image that may be under way without a file; what is too small for one in any case
/// is, with sixteen at once, at most `SMALL` bytes of it.
const SHARE: u64 = 64;
const SMALL: u64 = 4 << 20;

/// The default spares none.
#[derive(Debug, Default)]
pub(crate) struct Worth {
    /// Bytes that may be under way without a file.
    most: u64,
    link: Mutex<Link>,
}

/// What the link is like, and what goes over it without a file.
#[derive(Debug, Default)]
struct Link {
    under_way: u64,
    /// Of the blob that came last: its size, and how long it took.
    last: Option<(u64, Duration)>,
}

impl Worth {
    /// Of pushing images of so many bytes.
    pub(crate) fn of(images: impl IntoIterator<Item = u64>) -> Self {
        let least = images.into_iter().filter(|size| *size >= WHOLE).min();
        let most = least.map(|size| (size / SHARE).saturating_sub(SMALL));
        Self {
            most: most.unwrap_or(u64::MAX),
            link: Mutex::default(),
        }
    }

    /// Whether a blob of that size, whose upload was opened in that time, goes without a file. Then
    /// [`Worth::over`] has to be said of it.
    pub(super) fn spares(&self, size: u64, opened_in: Duration) -> bool {
        let mut link = self.link();
        let most = match link.last {
            Some(last) if is_quick(last, size) => self.most,
            None if opened_in <= NEAR => self.most.min(NEARBY),
            _ => 0,
        };
        let spares = size <= LARGE && link.under_way.saturating_add(size) <= most;
        if spares {
            link.under_way += size;
        }
        spares
    }

    /// A blob of that size has come.
    pub(super) fn came(&self, size: u64, took: Duration) {
        self.link().last = Some((size, took));
    }

    /// One that goes without a file is not under way any more.
    pub(super) fn over(&self, size: u64) {
        self.link().under_way -= size;
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `size` bytes come within a moment, after so many have come in that time.
fn is_quick((last, took): (u64, Duration), size: u64) -> bool {
    let times = size.div_ceil(last.max(1)).max(1);
    took.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX)) <= MOMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const FAR: Duration = Duration::from_millis(16);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn nothing_goes_without_a_file_before_the_link_has_shown_what_it_is_like() {
        let worth = Worth::of([10 * MIB]);
        assert!(!worth.spares(MIB, FAR));
        for (size, took, asked, expected) in [
            (MIB, 0.4, MIB, true),
            (MIB, 0.6, MIB, false),
            (MIB, 0.2, 2 * MIB, true),
            (MIB, 0.3, 2 * MIB, false),
            (MIB, 0.6, MIB / 2, false),
            (8 * MIB, 0.4, 2 * MIB, true),
            (8 * MIB, 0.001, 2 * MIB + 1, false),
            (0, 0.001, MIB, false),
            (0, 0.0, MIB, true),
        ] {
            worth.came(size, seconds(took));
            let said = format!("{asked} after {size} in {took} s");
            assert_eq!(worth.spares(asked, NEAR), expected, "{said}");
        }
    }

    #[test]
    fn a_short_link_is_trusted_with_little_before_it_has_shown_what_it_is_like() {
        for (image, took, size, expected) in [
            (200, NEAR, MIB, 16),
            (200, NEAR, 2 * MIB, 8),
            (200, NEAR, 2 * MIB + 1, 0),
            (200, FAR, MIB, 0),
            (256, NEAR, MIB, 0),
            (512, NEAR, MIB, 4),
        ] {
            let worth = Worth::of([image * MIB]);
            let spared = (0..100).take_while(|_| worth.spares(size, took)).count();
            assert_eq!(
                spared, expected,
                "{size} of {image} MiB, opened in {took:?}"
            );
        }
    }

    #[test]
    fn what_is_under_way_without_a_file_is_a_small_share_of_each_large_image() {
        for (images, expected) in [
            (&[][..], 100),
            (&[10, 255], 100),
            (&[256], 0),
            (&[320], 1),
            (&[255, 512, 1024], 4),
            (&[1024], 12),
        ] {
            let worth = Worth::of(images.iter().map(|size| size * MIB));
            worth.came(MIB, seconds(0.01));
            let spared = (0..100).take_while(|_| worth.spares(MIB, FAR)).count();
            assert_eq!(spared, expected, "{images:?} MiB");
            for _ in 0..spared {
                worth.over(MIB);
            }
            assert_eq!(worth.spares(MIB, FAR), expected > 0, "{images:?} MiB");
        }
    }
}
