//! Work on sources that are read from front to back: one piece at a time, in the order it lies there.
//!
//! Such a source has one decoder. Two readers at once, or one that goes backwards, would make it
//! start from the beginning again.

use std::collections::BTreeMap;

/// A source that is read in order.
pub(crate) type LaneId = usize;

/// Where in which lane something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) lane: LaneId,
    /// Bytes from the beginning.
    pub(crate) offset: u64,
}

#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: BTreeMap<LaneId, Lane<T>>,
    /// Tells things at one spot apart.
    sequence: u64,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: BTreeMap<(u64, u64), T>,
    working_at: Option<u64>,
    /// Behind where the last piece of work began.
    position: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            sequence: 0,
        }
    }
}

impl<T> Lanes<T> {
    pub(crate) fn push(&mut self, spot: Spot, work: T) {
        let lane = self.lanes.entry(spot.lane).or_insert_with(|| Lane {
            waiting: BTreeMap::new(),
            working_at: None,
            position: 0,
        });
        lane.waiting.insert((spot.offset, self.sequence), work);
        self.sequence += 1;
    }

    /// The next work, if it may start, of a lane where none is being done, which is so from now on,
    /// until [`Lanes::done`]: ahead of the last one, else from the beginning.
    pub(crate) fn next(&mut self, may_start: impl Fn(&T) -> bool) -> Option<T> {
        let (key, lane) = self.lanes.values_mut().find_map(|lane| {
            let (key, work) = lane.next()?;
            may_start(work).then_some((key, lane))
        })?;
        lane.working_at = Some(key.0);
        lane.position = key.0.saturating_add(1);
        lane.waiting.remove(&key)
    }

    /// The work at `spot` is done; not said of anything that was not given out by [`Lanes::next`],
    /// it changes nothing.
    pub(crate) fn done(&mut self, spot: Spot) {
        if let Some(lane) = self.lanes.get_mut(&spot.lane)
            && lane.working_at == Some(spot.offset)
        {
            lane.working_at = None;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
    }
}

impl<T> Lane<T> {
    fn next(&self) -> Option<((u64, u64), &T)> {
        if self.working_at.is_some() {
            return None;
        }
        let ahead = self.waiting.range((self.position, 0)..).next();
        let (&key, work) = ahead.or_else(|| self.waiting.iter().next())?;
        Some((key, work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_in_order_and_then_from_the_beginning() {
        let mut lanes = Lanes::default();
        for (lane, offset) in [(0, 30), (0, 10), (0, 20), (1, 5)] {
            lanes.push(Spot { lane, offset }, (lane, offset));
        }
        assert_eq!(lanes.next(|_| true), Some((0, 10)));
        assert_eq!(lanes.next(|_| true), Some((1, 5)));
        assert_eq!(lanes.next(|_| true), None, "both are busy");
        let done = |of: &mut Lanes<_>, offset| of.done(Spot { lane: 0, offset });
        done(&mut lanes, 20);
        assert_eq!(lanes.next(|_| true), None, "that was not at work");
        done(&mut lanes, 10);
        assert_eq!(lanes.next(|_| true), Some((0, 20)));
        lanes.push(Spot { lane: 0, offset: 1 }, (0, 1));
        done(&mut lanes, 20);
        assert_eq!(lanes.next(|_| true), Some((0, 30)));
        done(&mut lanes, 30);
        assert_eq!(lanes.next(|_| true), Some((0, 1)));
        done(&mut lanes, 1);
        assert_eq!(lanes.next(|_| true), None);
    }

    #[test]
    fn what_may_not_start_holds_up_its_own_lane_only() {
        let mut lanes = Lanes::default();
        for (lane, offset) in [(0, 10), (0, 20), (1, 5)] {
            lanes.push(Spot { lane, offset }, (lane, offset));
        }
        let not_the_first = |work: &(usize, u64)| *work != (0, 10);
        assert_eq!(lanes.next(not_the_first), Some((1, 5)));
        assert_eq!(lanes.next(not_the_first), None, "there is an order");
        assert_eq!(lanes.next(|_| true), Some((0, 10)));
    }
}
