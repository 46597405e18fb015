//! Seeded plans of what goes wrong between hoist and a registry: the same seed, the same plan.
//!
//! A plan is data that can be printed. It either has an end, after which a push with enough retries
//! arrives, or goes on for ever, so that nothing can arrive and hoist has to say why.

use std::fmt;
use std::time::Duration;

use super::proxy::{Direction, Down, Fault, Proxy, Up};

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Anything below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// See [`Self::magnitude`].
    fn milliseconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.magnitude(least, most))
    }

    /// Anything in between, as often of one order of magnitude as of another.
    pub(crate) fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = ((least as f64).ln(), (most as f64).ln());
        let part = self.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        (low + (high - low) * part).exp() as u64
    }
}

/// What hoist is told to wait for a byte: a registry on a machine that is busy with other tests may take
/// its time, too.
pub(crate) const STALL: Duration = Duration::from_millis(1500);
/// More than a handshake takes, in either direction.
const HANDSHAKE: u64 = 3_000;
/// How long hoist looks for a blob of which it does not know whether it arrived.
const LOOKS: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Nobody listens at first; for how long.
    away: Option<Duration>,
    faults: Vec<Fault>,
    pub(crate) ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Arrives,
    /// A body changes on its way: if that is a manifest, it may be called wrong.
    ArrivesOrRefused,
    Fails(i32, &'static str),
}

impl Plan {
    /// `flips`: whether bodies can be seen on their way. Where they cannot, what changes is a byte of TLS.
    pub(crate) fn new(random: &mut Random, flips: bool) -> Self {
        match random.once_in(5) {
            true => Self::unending(random, flips),
            false => Self::bounded(random, flips),
        }
    }

    fn bounded(random: &mut Random, flips: bool) -> Self {
        let away = random.once_in(10);
        let away = away.then(|| Duration::from_millis(random.magnitude(50, 1500)));
        let count = 1 + random.below(4);
        let mut faults: Vec<Fault> = (0..count).map(|_| passing(random)).collect();
        let mut ending = Ending::Arrives;
        if random.once_in(4) {
            let direction = random.one_of(&[Up, Up, Up, Down]);
            faults.push(match flips {
                true => Fault::flip(direction, random.next()).after(random.below(6)),
                false => garble(random, direction),
            });
            if flips {
                ending = Ending::ArrivesOrRefused;
            }
        }
        Self {
            away,
            faults,
            ending,
        }
    }

    fn unending(random: &mut Random, flips: bool) -> Self {
        let unreachable = Ending::Fails(5, "unreachable");
        let direction = random.one_of(&[Up, Down]);
        let always = |fault: Fault| Self {
            away: None,
            faults: vec![fault.always()],
            ending: unreachable,
        };
        // Nothing of a layer gets through so little.
        let early = match direction {
            Up => random.one_of(&[0, 100, 100, 10_000]),
            Down => random.one_of(&[0, 1, 20]),
        };
        match random.below(7) {
            0 => Self {
                away: Some(Duration::MAX),
                faults: Vec::new(),
                ending: unreachable,
            },
            1 => always(Fault::shut()),
            2 => always(Fault::cut(direction).after(early)),
            3 => always(Fault::reset(direction).after(early)),
            4 => always(Fault::stall(direction).after(early)),
            5 => always(Fault::vanish(direction).after(early)),
            _ if !flips => always(garble(random, Up).after(HANDSHAKE)),
            _ => Self {
                ending: Ending::Fails(1, "refused"),
                ..always(Fault::flip(Up, random.next()))
            },
        }
    }

    pub(crate) fn has_end(&self) -> bool {
        !matches!(self.ending, Ending::Fails(..))
    }

    /// How often one blob may have to be tried again.
    pub(crate) fn strikes(&self) -> usize {
        self.faults.iter().map(Fault::strikes).sum()
    }

    /// A push that takes longer hangs: each strike may cost a stall, the longest wait of its turn, and a
    /// search for what may have arrived.
    pub(crate) fn bound(&self, tries: usize) -> Duration {
        let waits = (0..tries).map(|n| Duration::from_millis(500 << n.min(6)));
        let each = waits.map(|wait| STALL * 2 + LOOKS + wait);
        Duration::from_secs(10) + each.sum::<Duration>()
    }

    pub(crate) fn begin(&self, proxy: &mut Proxy) {
        for fault in &self.faults {
            proxy.arm(fault.clone());
        }
        match self.away {
            Some(Duration::MAX) => proxy.go_away(),
            Some(time) => proxy.go_away_for(time),
            None => {}
        }
    }

    /// The network is as it should be.
    pub(crate) fn end(proxy: &mut Proxy) {
        proxy.disarm();
        proxy.hang_up();
        proxy.come_back();
    }
}

/// After the handshake: what is damaged in it may look like a certificate that is not to be trusted.
fn garble(random: &mut Random, direction: Direction) -> Fault {
    let most = match direction {
        Up => 1_000_000,
        Down => 3_000,
    };
    Fault::garble(direction).after(HANDSHAKE + random.magnitude(1, most))
}

/// Something that happens once or twice and then is over.
fn passing(random: &mut Random) -> Fault {
    let direction = random.one_of(&[Up, Down]);
    let after = place(random, direction);
    let fault = match random.below(12) {
        0 | 1 => Fault::cut(direction),
        2 | 3 => Fault::reset(direction),
        4 => Fault::stall(direction),
        5 => Fault::vanish(direction),
        6 => Fault::shut(),
        7 => Fault::restart(direction, random.milliseconds(10, 800)),
        8 => Fault::pause(direction, random.milliseconds(10, 500)),
        9 => Fault::pause(direction, STALL + random.milliseconds(100, 600)),
        10 => Fault::slow(direction, 1 << 14, random.milliseconds(1, 20)),
        _ => Fault::slow(Down, random.one_of(&[4, 16, 64]), Duration::from_millis(1)),
    };
    let fault = match random.once_in(4) {
        true => fault.on(random.below(4) as usize),
        false => fault,
    };
    let times = 1 + usize::from(random.once_in(4));
    fault.after(after).times(times)
}

/// Early in what goes over a connection, or late.
fn place(random: &mut Random, direction: Direction) -> u64 {
    match (random.once_in(5), direction) {
        (true, _) => 0,
        (false, Up) => random.magnitude(50, 2_000_000),
        (false, Down) => random.magnitude(1, 3_000),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.away {
            Some(Duration::MAX) => f.write_str("nobody listens; ")?,
            Some(time) => write!(f, "nobody listens for {time:?}; ")?,
            None => {}
        }
        for fault in &self.faults {
            write!(f, "{fault}; ")?;
        }
        write!(f, "expected: {:?}", self.ending)
    }
}

#[test]
fn a_seed_gives_a_plan_and_another_one_another() {
    let plan = |seed| Plan::new(&mut Random::new(seed), true).to_string();
    assert_eq!(plan(7), plan(7));
    let mut plans: Vec<String> = (0..100).map(plan).collect();
    plans.sort();
    plans.dedup();
    assert!(plans.len() > 80, "{plans:?}");
}
