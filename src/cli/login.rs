//! `hoist login`: shows who we are to a registry and, when it takes that, keeps it where docker and
//! podman look for it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::cli::args::Args;
use crate::cli::options::Given;
use crate::cli::results::{OWNER, write_file};
use crate::cli::settings::Settings;
use crate::cli::signals::{self, Signal};
use crate::cli::terminal::Terminal;
use crate::cli::usage::UsageError;
use crate::cli::{Exit, Streams, Surroundings, identity, logging, network, summary};
use crate::image::digest::quote;
use crate::image::reference::Host;
use crate::net;
use crate::observe::console::Console;
use crate::observe::event::{Emit, Event};
use crate::observe::text::safe;
use crate::registry::client::{self, Checked, Client, Credentials, Login};
use crate::registry::clock::{Stop, SystemClock};
use crate::registry::error::{Error, ErrorKind};
use crate::registry::keychain::{Keeper, Keys};

/// What is left behind is what waits for an answer from a person, or from the registry.
const PATIENCE: Duration = Duration::from_millis(200);
const USAGE: &str = "hoist login HOST";

/// Everything a login needs to know.
struct Attempt {
    host: Host,
    args: Args,
    http: Arc<net::Http>,
    keeper: Keeper,
    terminal: Terminal,
    console: Console,
    stop: Stop,
}

/// Why nobody is logged in.
enum Refusal {
    Usage(UsageError),
    Registry(Error),
    /// The login is right, and cannot be kept.
    Local(String),
}

enum Happening {
    Ended(Result<String, Refusal>),
    Signal(Signal),
}

pub(crate) fn run(settings: &Settings, around: Surroundings, mut streams: Streams) -> Exit {
    let attempt = match settle(settings, &around, &streams.console) {
        Ok(attempt) => attempt,
        Err(error) => return streams.refuse(&error),
    };
    logging::start(logging::Filter::of(&attempt.args), &streams.console);
    let (terminal, host) = (attempt.terminal.clone(), attempt.host.clone());
    let stop = around.stop.clone();
    let mut around = around;
    let signals = std::mem::replace(&mut around.signals, Box::new(|| Ok(channel().1)));
    let (sender, happenings) = channel();
    let ended = sender.clone();
    if let Err(error) = signals::forward(signals, sender, Happening::Signal) {
        let warning = format!("warning: a signal may leave the terminal without echo: {error}");
        streams.console.line(&warning);
    }
    // The answer to a question may never come: whoever waits for it can be left behind.
    let work = move || _ = ended.send(Happening::Ended(attempt.run(&mut around)));
    if let Err(error) = std::thread::Builder::new().spawn(work) {
        let message = format!("login to {host} failed: {error}");
        summary::error(&streams.console, &message, None);
        return Exit::Failed;
    }
    match happenings.recv() {
        Ok(Happening::Ended(Ok(line))) => streams.conclude(&(safe(&line) + "\n"), Exit::Done),
        Ok(Happening::Ended(Err(refusal))) => refusal.tell(&host, streams),
        Ok(Happening::Signal(signal)) => {
            if terminal.abandon() {
                streams.console.ask("\n");
            }
            stop.stop();
            // A helper that runs is ended first.
            _ = happenings.recv_timeout(PATIENCE);
            summary::error(&streams.console, "interrupted", None);
            Exit::of(signal)
        }
        Err(_) => {
            terminal.abandon();
            let message = "the login ended in a panic: this is a bug in hoist";
            summary::error(&streams.console, message, None);
            Exit::Failed
        }
    }
}

/// What can be found wrong before anybody is asked anything.
fn settle(
    settings: &Settings,
    around: &Surroundings,
    console: &Console,
) -> Result<Attempt, UsageError> {
    let host = host(settings, USAGE)?;
    let args = settings.args(Some(&host))?;
    let net = network::settle(&args, &around.env, &host)?;
    let http = net::Http::new(&net).map_err(UsageError::new)?;
    let keeper = Keeper::for_login(&host, &identity::whereabouts(&args, around));
    let keeper = keeper.map_err(|why| UsageError::new(why).hint("--auth-file FILE"))?;
    Ok(Attempt {
        host,
        args,
        http: Arc::new(http),
        keeper,
        terminal: Terminal::new(console),
        console: console.clone(),
        stop: around.stop.clone(),
    })
}

/// The one operand.
pub(super) fn host(settings: &Settings, usage: &str) -> Result<Host, UsageError> {
    let operands = &settings.typed().operands;
    let [typed] = operands.as_slice() else {
        let message = match operands.get(1) {
            None => "no registry".to_owned(),
            Some(extra) => format!(
                "one registry at a time: what is {}?",
                quote(&extra.to_string_lossy())
            ),
        };
        return Err(UsageError::new(message).hint(usage));
    };
    let wrong = || {
        UsageError::new(format!(
            "{} is no registry",
            quote(&typed.to_string_lossy())
        ))
    };
    let text = typed.to_str().ok_or_else(wrong)?;
    let mut schemes = ["https://", "http://"].iter();
    let bare = schemes.find_map(|scheme| text.strip_prefix(scheme));
    let name = bare.unwrap_or(text);
    let name = name.split_once('/').map_or(name, |(host, _)| host);
    if name != text && Host::parse(name).is_ok() {
        let command = usage.trim_end_matches("HOST");
        return Err(wrong().hint(format!("{command}{name}")));
    }
    Host::parse(text).map_err(|error| UsageError::reference(&error))
}

impl Attempt {
    fn run(mut self, around: &mut Surroundings) -> Result<String, Refusal> {
        let mut warnings = std::mem::take(&mut self.keeper.warnings);
        let credentials = self.credentials(around, &mut warnings)?;
        for warning in &warnings {
            self.warn(warning);
        }
        let login = credentials.login.clone();
        if self.check(credentials).map_err(Refusal::Registry)? == Checked::NotAsked {
            let host = &self.host;
            self.warn(&format!(
                "{host} answers everybody: whether this login is right is not known"
            ));
        }
        let path = self.keeper.path().to_path_buf();
        let unwritten = |error| {
            let path = path.display();
            Refusal::Local(format!("writing {path} failed: {error}"))
        };
        let _turn = folder(&path).map_err(unwritten)?;
        let kept = self.keeper.keep(&login).map_err(Refusal::Local)?;
        if let Some(text) = &kept.text {
            write_file(&kept.path, text, OWNER).map_err(unwritten)?;
        }
        let who = match login {
            Login::Password { username, .. } => format!(" as {username}"),
            Login::IdentityToken(_) | Login::Bearer(_) => " with a token".to_owned(),
        };
        let (host, place) = (&self.host, &kept.place);
        Ok(format!("logged in to {host}{who}, kept in {place}"))
    }

    /// As given, or asked for.
    fn credentials(
        &mut self,
        around: &mut Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials, Refusal> {
        let unanswered = |why: String| Refusal::Usage(UsageError::new(why));
        let args = &mut self.args;
        let asks = around.stdin_is_terminal;
        if asks && args.username.is_none() && args.token_file.is_none() {
            let name = self.terminal.ask(&mut around.stdin, "Username: ");
            let name = name.map_err(unanswered)?;
            let name = Given::new("the answer", OsStr::new(&name)).username();
            args.username = Some(name.map_err(Refusal::Usage)?);
        }
        let given = identity::given(args, around, warnings).map_err(Refusal::Usage)?;
        if let Some(given) = given {
            return Ok(given);
        }
        let username = args.username.clone().filter(|_| asks).ok_or_else(|| {
            let what = if args.username.is_some() {
                "password"
            } else {
                "user"
            };
            let message = format!("no {what}, and standard input is no terminal to ask for one");
            let error = UsageError::new(message);
            Refusal::Usage(error.hint("--username NAME --password-stdin"))
        })?;
        let password = self.terminal.ask_secret(&mut around.stdin, "Password: ");
        let login = Login::new(username, password.map_err(unanswered)?);
        let origin = "the terminal".to_owned();
        Ok(Credentials { login, origin })
    }

    fn check(&self, credentials: Credentials) -> Result<Checked, Error> {
        let settings = client::Settings {
            keychain: Arc::new(Keys::given(&self.host, credentials)),
            known_service: None,
            sessions: None,
            retries: 0,
            chunk_size: None,
            plain_http: self.args.plain_http,
            insecure: self.args.insecure,
            limits: client::Limits::default(),
        };
        let clock = SystemClock {
            stop: self.stop.clone(),
        };
        let events = Warnings {
            console: self.console.clone(),
            quiet: self.args.quiet,
        };
        let http = Arc::clone(&self.http);
        let client = Client::new(
            &self.host,
            http,
            settings,
            Arc::new(clock),
            Arc::new(events),
        );
        client.check_login()
    }

    fn warn(&self, warning: &str) {
        if !self.args.quiet {
            self.console.line(&safe(&format!("warning: {warning}")));
        }
    }
}

/// The folder of a credential file, made for its owner alone where there was none. Until it is dropped
/// other logins wait: each changes the whole file.
pub(super) fn folder(path: &Path) -> io::Result<File> {
    // A link is followed when the file is written, too.
    let file = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.exists() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
    }
    let folder = File::open(folder)?;
    // Not every file system can; then it is as it is with docker.
    _ = folder.lock();
    Ok(folder)
}

impl Refusal {
    fn tell(self, host: &Host, streams: Streams) -> Exit {
        let (message, hint, exit) = match self {
            Self::Usage(error) => return streams.refuse(&error),
            Self::Registry(error) => {
                let exit = match error.kind {
                    ErrorKind::Auth => Exit::Auth,
                    ErrorKind::Unreachable => Exit::Unreachable,
                    _ => Exit::Failed,
                };
                (error.reason, error.hint, exit)
            }
            Self::Local(message) => (message, None, Exit::Failed),
        };
        let message = format!("login to {host} failed: {message}");
        summary::error(&streams.console, &message, hint.as_deref());
        exit
    }
}

/// What the wire has to say.
struct Warnings {
    console: Console,
    quiet: bool,
}

impl Emit for Warnings {
    fn emit(&self, event: Event) {
        if let Event::Warning { message } = event
            && !self.quiet
        {
            self.console.line(&safe(&format!("warning: {message}")));
        }
    }
}
