//! The command line: flags, settings, exit codes, wording. One file per command.
//!
//! Two steps: what was typed becomes [`args::Args`] without a look at anything else; that, the
//! environment and the streams become what a command needs.

mod args;
mod cache;
mod folders;
mod help;
mod identity;
mod limits;
mod list;
mod logging;
mod login;
mod logout;
mod naming;
mod network;
mod options;
mod push;
mod results;
mod serve;
mod settings;
mod settle;
mod signals;
#[cfg(test)]
pub(crate) mod soak;
mod summary;
mod terminal;
mod usage;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek as _, Write};
use std::os::fd::AsFd as _;
use std::sync::mpsc::Receiver;

use crate::cli::args::{Args, Command, Output};
use crate::cli::settings::Settings;
pub use crate::cli::signals::Signal;
use crate::cli::usage::UsageError;
use crate::net::redact;
use crate::observe::console::Console;
use crate::observe::text::safe;
use crate::push::report::{Bytes, ErrorReport, Outcome, Report, Waited};
use crate::registry::clock::Stop;

/// A process as data: what `main` collects, and what tests make up.
pub struct Process {
    /// Without the program's name.
    pub args: Vec<OsString>,
    pub env: BTreeMap<OsString, OsString>,
    pub stdin: Box<dyn Read + Send>,
    /// Standard input again, where that is a regular file and stands at its start: it can be read in
    /// any order then.
    pub stdin_file: Option<File>,
    pub stdin_is_terminal: bool,
    pub stdout: Box<dyn Write + Send>,
    pub stderr: Box<dyn Write + Send>,
    pub stdout_is_terminal: bool,
    pub stderr_is_terminal: bool,
    pub signals: Signals,
}

/// Where signals come from. Asked only by commands that end in order: until then, and for all
/// others, the system's defaults hold.
pub type Signals = Box<dyn FnOnce() -> io::Result<Receiver<Signal>> + Send>;

impl Process {
    /// The real one.
    pub fn current() -> Self {
        Self {
            args: std::env::args_os().skip(1).collect(),
            env: std::env::vars_os().collect(),
            stdin: Box::new(io::stdin()),
            stdin_file: stdin_file(),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            signals: Box::new(signals::of_this_process),
        }
    }
}

/// A file that somebody has read from already goes on where that ended, as a pipe does.
fn stdin_file() -> Option<File> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let at_start = is_file && file.stream_position().is_ok_and(|position| position == 0);
    at_start.then_some(file)
}

/// The exit codes, part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything was pushed, or there already.
    Done,
    /// 1: at least one image failed.
    Failed,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: no image found, all filtered out, or no source that could be read.
    Nothing,
    /// 4: authentication or authorisation refused, and nothing pushed.
    Auth,
    /// 5: registry unreachable, and nothing pushed.
    Unreachable,
    /// 6: refused by policy, and nothing pushed.
    Policy,
    /// 130: ended by SIGINT.
    Interrupted,
    /// 143: ended by SIGTERM.
    Terminated,
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Nothing,
        Self::Auth,
        Self::Unreachable,
        Self::Policy,
        Self::Interrupted,
        Self::Terminated,
    ];

    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Nothing => 3,
            Self::Auth => 4,
            Self::Unreachable => 5,
            Self::Policy => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Of a command that a signal has ended.
    fn of(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }

    /// The one with this code; what is no code of ours is a failure.
    fn from_code(code: u8) -> Self {
        let found = Self::ALL.into_iter().find(|exit| exit.code() == code);
        found.unwrap_or(Self::Failed)
    }
}

/// The streams of a command and how it is to use them.
struct Streams {
    stdout: Box<dyn Write + Send>,
    stdout_is_terminal: bool,
    /// Standard error.
    console: Console,
    output: Output,
    quiet: bool,
}

impl Streams {
    /// Writes results. A reader that has gone away is no error; all else is.
    fn result(&mut self, text: &str) -> io::Result<()> {
        let written = self.stdout.write_all(text.as_bytes());
        match written.and_then(|()| self.stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// [`Self::result`] as the last thing of a command that would end with `exit`.
    fn conclude(&mut self, text: &str, exit: Exit) -> Exit {
        match self.result(text) {
            Ok(()) => exit,
            Err(error) => {
                let message = format!("writing to standard output failed: {error}");
                summary::error(&self.console, &message, None);
                if exit == Exit::Done {
                    Exit::Failed
                } else {
                    exit
                }
            }
        }
    }

    /// Wrong usage, said in the form that was asked for. What was typed is quoted; a password in a URL is
    /// not.
    fn refuse(mut self, error: &UsageError) -> Exit {
        let error = UsageError {
            message: redact(&error.message),
            hint: error.hint.as_deref().map(redact),
        };
        summary::error(&self.console, &error.message, error.hint.as_deref());
        if self.output == Output::Json {
            let report = Report {
                exit_code: Exit::Usage.code(),
                ..empty_report(Outcome::Usage, error.report())
            };
            return self.conclude(&results::document(&report), Exit::Usage);
        }
        Exit::Usage
    }
}

/// Of a run that ended before its engine could say anything.
fn empty_report(outcome: Outcome, error: ErrorReport) -> Report {
    Report {
        version: 1,
        outcome,
        exit_code: Exit::Failed.code(),
        images: Vec::new(),
        bytes: Bytes::default(),
        requests: 0,
        retries: 0,
        waited_ms: 0,
        waited: Waited::default(),
        duration_ms: 0,
        errors: vec![error],
        warnings: Vec::new(),
    }
}

/// Runs one command to its end.
pub fn run(process: Process) -> Exit {
    let (typed, wrong) = args::parse(process.args);
    let mut streams = Streams {
        stdout: process.stdout,
        stdout_is_terminal: process.stdout_is_terminal,
        console: Console::new(process.stderr),
        output: typed.output,
        quiet: typed.quiet,
    };
    if let Some(wrong) = wrong {
        return streams.refuse(&wrong);
    }
    if let Some(text) = told(&typed) {
        return match text {
            Ok(text) => streams.conclude(&text, Exit::Done),
            Err(error) => streams.refuse(&error),
        };
    }
    let surroundings = Surroundings {
        env: process.env,
        stdin: process.stdin,
        stdin_file: process.stdin_file,
        stdin_is_terminal: process.stdin_is_terminal,
        stderr_is_terminal: process.stderr_is_terminal,
        signals: process.signals,
        stop: Stop::default(),
    };
    let command = typed.command;
    let settled = Settings::gather(typed, &surroundings.env)
        .and_then(|settings| settings.args(None).map(|args| (settings, args)));
    let (settings, args) = match settled {
        Ok(settled) => settled,
        Err(error) => return streams.refuse(&error),
    };
    streams.output = args.output;
    streams.quiet = args.quiet;
    if let Some(warning) = settings.warning.as_ref().filter(|_| !streams.quiet) {
        streams.console.line(&safe(&format!("warning: {warning}")));
    }
    match command {
        Some(Command::Push) => push::run(&settings, surroundings, streams),
        Some(Command::List) => list::run(args, surroundings, streams),
        Some(Command::Serve) => serve::run(args, surroundings, streams),
        Some(Command::Cache) => cache::run(args, surroundings, streams),
        Some(Command::Login) => login::run(&settings, surroundings, streams),
        Some(Command::Logout) => logout::run(&settings, surroundings, streams),
        Some(Command::Help) | None => {
            streams.refuse(&UsageError::new("no command").hint("hoist --help"))
        }
    }
}

/// What a command may look at besides its arguments.
struct Surroundings {
    env: BTreeMap<OsString, OsString>,
    stdin: Box<dyn Read + Send>,
    stdin_file: Option<File>,
    stdin_is_terminal: bool,
    stderr_is_terminal: bool,
    signals: Signals,
    /// Set when a signal came.
    stop: Stop,
}

/// The text that was asked for instead of a command's work, or besides any.
fn told(args: &Args) -> Option<Result<String, UsageError>> {
    if args.version {
        return Some(Ok(help::version()));
    }
    match (args.help, args.command) {
        (_, Some(Command::Help)) => Some(help::topic(&args.operands)),
        (true, Some(command)) => Some(Ok(help::command(command))),
        (true, None) => Some(Ok(help::overview())),
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_what_the_help_and_the_contract_say() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130, 143]);
        let text = help::topic(&["exit-codes".into()]).unwrap();
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), exit);
            let listed = text
                .lines()
                .any(|line| line.split_whitespace().next() == Some(&exit.code().to_string()));
            assert!(listed, "{exit:?} is not explained");
        }
        assert_eq!(Exit::from_code(99), Exit::Failed);
    }
}
