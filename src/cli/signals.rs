//! SIGINT and SIGTERM, as something a command can wait for.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    Terminate,
}

/// How long a second signal leaves a command to put the terminal in order.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// Signals that come closer together are one: `timeout` and `sudo` send theirs to the process and to its
/// group.
const SAME: Duration = Duration::from_millis(100);

/// Takes the process's signals from their defaults, for the rest of its life.
///
/// From the second signal on the process ends here if it does not end elsewhere: whatever a command is
/// stuck in, it can be got rid of.
pub(crate) fn of_this_process() -> io::Result<Receiver<Signal>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (sender, receiver) = channel();
    let listen = move || {
        let mut first: Option<Instant> = None;
        for raw in signals.forever() {
            if first.is_some_and(|first| first.elapsed() < SAME) {
                continue;
            }
            let (signal, code) = match raw {
                SIGTERM => (Signal::Terminate, 143),
                _ => (Signal::Interrupt, 130),
            };
            // Nobody waits any more: the command is about to end.
            _ = sender.send(signal);
            if first.replace(Instant::now()).is_some() {
                std::thread::sleep(LAST_MOMENT);
                std::process::exit(code);
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)?;
    Ok(receiver)
}

/// Sends what comes from `signals` on to `sender`, among the other things that happen there.
pub(super) fn forward<T: Send + 'static>(
    signals: super::Signals,
    sender: Sender<T>,
    happening: fn(Signal) -> T,
) -> io::Result<()> {
    let signals = signals()?;
    let forward = move || {
        for signal in signals {
            // Nobody waits any more: the command is about to end.
            _ = sender.send(happening(signal));
        }
    };
    std::thread::Builder::new().spawn(forward)?;
    Ok(())
}
