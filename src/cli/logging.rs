//! `-v` and `-vv`: the log of the library on standard error.

use std::io::Write;
use std::time::Instant;

use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::observe::console::Console;
use crate::observe::text::safe;

/// Lines with the seconds since now, from the first `-v` on; other crates only from `-vvv`.
///
/// A logger is one for the whole process: the first run that wants one has it.
pub(crate) fn start(verbose: u8, console: &Console) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let others = if verbose > 2 {
        LevelFilter::Debug
    } else {
        LevelFilter::Warn
    };
    let begun = Instant::now();
    let started = Builder::new()
        .filter_level(others)
        .filter_module("hoist", level)
        .target(Target::Pipe(Box::new(console.clone())))
        .format(move |buffer, record| {
            let seconds = begun.elapsed().as_secs_f64();
            let text = record.args().to_string();
            let word = record.level().as_str().to_ascii_lowercase();
            writeln!(buffer, "{seconds:8.3} {word}: {}", safe(&text))
        })
        .try_init();
    // Somebody in this process has one already, and shows what there is to see.
    _ = started;
}
