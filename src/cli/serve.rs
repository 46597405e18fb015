//! `hoist serve`: the embedded registry until a signal comes.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::cli::args::Args;
use crate::cli::usage::UsageError;
use crate::cli::{Exit, Streams, Surroundings, logging, summary};
use crate::image::digest::quote;
use crate::observe::console::Console;
use crate::observe::text::safe;
use crate::serve::{Access, Options, Server};

/// How long requests that are being answered get to end.
const PATIENCE: Duration = Duration::from_millis(850);

pub(crate) fn run(args: Args, around: Surroundings, mut streams: Streams) -> Exit {
    let options = match settled(&args) {
        Ok(options) => options,
        Err(error) => return streams.refuse(&error),
    };
    logging::start(logging::Filter::of(&args), &streams.console);
    let (dir, listen) = (options.dir.display().to_string(), options.listen);
    let started = Server::start(options, log(args.verbose > 0, &streams.console));
    let server = match started {
        Ok(server) => server,
        Err(error) => {
            let message = format!("serving {dir} on {listen} failed: {error}");
            summary::error(&streams.console, &message, hint(&error));
            return Exit::Failed;
        }
    };
    if let Some(error) = server.unwritable().filter(|_| !streams.quiet) {
        let warning = format!("warning: {dir} can be read only, and pushes will fail: {error}");
        streams.console.line(&safe(&warning));
    }
    let signals = match (around.signals)() {
        Ok(signals) => signals,
        Err(error) => {
            let message = format!("listening for signals failed: {error}");
            summary::error(&streams.console, &message, None);
            return Exit::Failed;
        }
    };
    if let Err(error) = streams.result(&ready(server.address())) {
        let message = format!("writing to standard output failed: {error}");
        summary::error(&streams.console, &message, None);
        return Exit::Failed;
    }
    // An end of the channel is an end like any other: nobody can send a signal any more.
    _ = signals.recv();
    let (sender, ended) = channel();
    let stop = move || {
        drop(server);
        _ = sender.send(());
    };
    if std::thread::Builder::new().spawn(stop).is_ok() {
        // Ended or not: the process is about to be.
        _ = ended.recv_timeout(PATIENCE);
    }
    Exit::Done
}

/// Scripts wait for this line and take the address from it.
fn ready(address: SocketAddr) -> String {
    format!("listening on http://{address}\n")
}

fn settled(args: &Args) -> Result<Options, UsageError> {
    const USAGE: &str = "hoist serve DIR";
    match args.operands.as_slice() {
        [] => Err(UsageError::new("no folder").hint(USAGE)),
        [dir] if dir.is_empty() => Err(UsageError::new("\"\" is no folder").hint(USAGE)),
        [dir] => {
            let mut options = Options::new(dir);
            options.listen = args.listen.unwrap_or(options.listen);
            Ok(options)
        }
        [_, extra, ..] => {
            let message = format!(
                "one folder at a time: what is {}?",
                quote(&extra.to_string_lossy())
            );
            Err(UsageError::new(message).hint(USAGE))
        }
    }
}

fn hint(error: &std::io::Error) -> Option<&'static str> {
    (error.kind() == std::io::ErrorKind::AddrInUse).then_some("--listen 127.0.0.1:0")
}

/// One line per request, where that was asked for.
fn log(shown: bool, console: &Console) -> Box<dyn Fn(&Access) + Send + Sync> {
    if !shown {
        return Box::new(|_| {});
    }
    let console = console.clone();
    Box::new(move |access| {
        let Access {
            method,
            target,
            status,
            received,
        } = access;
        console.line(&safe(&format!("{method} {target} {status} {received}")));
    })
}
