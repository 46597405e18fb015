//! Programs that keep credentials: `docker-credential-NAME` with a verb as its argument, the rest on
//! standard input and output.
//!
//! docker/docker-credential-helpers `credentials/credentials.go`. Nothing secret is in the arguments or
//! the environment; what a program prints when it fails may hold secrets and is shown to nobody.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::net::Secret;
use crate::registry::clock::Stop;
use crate::registry::credentials::Login;

/// How long a program gets. Some ask a person, or the network.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest output that is read.
const LONGEST: u64 = 256 << 10;
/// How often an ending program is looked at.
const LOOK: Duration = Duration::from_millis(2);
const LOOK_FOR_STOP: Duration = Duration::from_millis(50);
/// What all of them print when they do not know a registry.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// Secrets that hoist was given and that are none of a helper's business.
const PRIVATE: [&str; 2] = ["HOIST_PASSWORD", "DOCKER_AUTH_CONFIG"];

/// How programs are run.
#[derive(Clone)]
pub(super) struct Programs {
    env: BTreeMap<OsString, OsString>,
    patience: Duration,
    stop: Stop,
}

/// Why a program did not do what it should: a fragment that follows its name.
#[derive(Debug)]
pub(super) enum Trouble {
    BadName,
    Missing,
    Unstartable(io::Error),
    Late(Duration),
    Stopped,
    TooMuch,
    Failed(ExitStatus),
    Garbage,
}

#[derive(Deserialize, Serialize)]
struct Answer {
    #[serde(
        rename = "ServerURL",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    server: String,
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}

impl Programs {
    pub(super) fn new(env: &BTreeMap<OsString, OsString>, stop: &Stop) -> Self {
        let mut env = env.clone();
        env.retain(|name, _| !PRIVATE.iter().any(|private| name == private));
        Self {
            env,
            patience: PATIENCE,
            stop: stop.clone(),
        }
    }

    /// `None` where the program does not know `server`.
    pub(super) fn get(&self, suffix: &str, server: &str) -> Result<Option<Login>, Trouble> {
        let input = Zeroizing::new(server.as_bytes().to_vec());
        let (status, output) = self.run(suffix, "get", input)?;
        if !status.success() {
            return match is_not_found(&output) {
                true => Ok(None),
                false => Err(Trouble::Failed(status)),
            };
        }
        answer_of(&output)
    }

    pub(super) fn store(
        &self,
        suffix: &str,
        server: &str,
        username: &str,
        secret: &Secret,
    ) -> Result<(), Trouble> {
        let answer = Answer {
            server: server.to_owned(),
            username: username.to_owned(),
            secret: secret.expose().to_owned(),
        };
        let input = serde_json::to_vec(&answer).map(Zeroizing::new);
        drop(Secret::new(answer.secret));
        let input = input.map_err(|_| Trouble::Garbage)?;
        match self.run(suffix, "store", input)?.0 {
            status if status.success() => Ok(()),
            status => Err(Trouble::Failed(status)),
        }
    }

    /// Whether there was something to erase.
    pub(super) fn erase(&self, suffix: &str, server: &str) -> Result<bool, Trouble> {
        if self.get(suffix, server)?.is_none() {
            return Ok(false);
        }
        let input = Zeroizing::new(server.as_bytes().to_vec());
        let (status, output) = self.run(suffix, "erase", input)?;
        match status.success() || is_not_found(&output) {
            true => Ok(true),
            false => Err(Trouble::Failed(status)),
        }
    }

    fn run(
        &self,
        suffix: &str,
        verb: &str,
        input: Zeroizing<Vec<u8>>,
    ) -> Result<(ExitStatus, Zeroizing<Vec<u8>>), Trouble> {
        let program = self.locate(suffix)?;
        let deadline = Instant::now() + self.patience;
        let child = Command::new(program)
            .arg(verb)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What it starts in its turn is ended with it.
            .process_group(0)
            .spawn()
            .map_err(Trouble::Unstartable)?;
        let mut running = Running(child);
        let (sender, receiver) = channel();
        if let Some(mut stdin) = running.0.stdin.take() {
            // One that does not read must not be waited for; what it does not want is no error.
            let write = move || drop(stdin.write_all(&input));
            Builder::new().spawn(write).map_err(Trouble::Unstartable)?;
        }
        if let Some(stdout) = running.0.stdout.take() {
            let read = move || {
                let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
                let read = stdout.take(LONGEST + 1).read_to_end(&mut bytes);
                // Nobody waits for one that is late.
                _ = sender.send(read.map(|_| bytes));
            };
            Builder::new().spawn(read).map_err(Trouble::Unstartable)?;
        }
        let output = self.wait(&receiver, deadline)?;
        let output = output.map_err(Trouble::Unstartable)?;
        if output.len() as u64 > LONGEST {
            return Err(Trouble::TooMuch);
        }
        let status = self.end(&mut running, deadline)?;
        Ok((status, output))
    }

    /// Until the output has ended, the deadline has come, or it is time to stop.
    fn wait<T>(&self, output: &Receiver<T>, deadline: Instant) -> Result<T, Trouble> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.stop.is_stopped() {
                return Err(Trouble::Stopped);
            }
            match output.recv_timeout(left.min(LOOK_FOR_STOP)) {
                Ok(output) => return Ok(output),
                Err(_) if left.is_zero() => return Err(Trouble::Late(self.patience)),
                Err(_) => {}
            }
        }
    }

    /// The same for the program itself, which has nothing more to say.
    fn end(&self, running: &mut Running, deadline: Instant) -> Result<ExitStatus, Trouble> {
        loop {
            if let Some(status) = running.0.try_wait().map_err(Trouble::Unstartable)? {
                return Ok(status);
            }
            if self.stop.is_stopped() {
                return Err(Trouble::Stopped);
            }
            if Instant::now() >= deadline {
                return Err(Trouble::Late(self.patience));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The first one on `PATH`, whose relative folders are passed over.
    fn locate(&self, suffix: &str) -> Result<PathBuf, Trouble> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !suffix.bytes().all(plain) {
            return Err(Trouble::BadName);
        }
        let name = program(suffix);
        let path = self.env.get(OsStr::new("PATH"));
        let folders = path.into_iter().flat_map(std::env::split_paths);
        let mut files = folders
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&name));
        let runs = |file: &PathBuf| {
            let metadata = std::fs::metadata(file);
            metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        files.find(runs).ok_or(Trouble::Missing)
    }
}

/// Its name as a file.
pub(super) fn program(suffix: &str) -> String {
    format!("docker-credential-{suffix}")
}

/// What a program prints that knows the registry.
pub(super) fn answer_of(output: &[u8]) -> Result<Option<Login>, Trouble> {
    let answer: Answer = serde_json::from_slice(output).map_err(|_| Trouble::Garbage)?;
    let secret = Secret::new(answer.secret);
    match (answer.username.is_empty(), secret.expose().is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Err(Trouble::Garbage),
        (false, _) => Ok(Some(Login::new(answer.username, secret))),
    }
}

fn is_not_found(output: &[u8]) -> bool {
    output.trim_ascii() == NOT_FOUND.as_bytes()
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => f.write_str("has a name that no program should have"),
            Self::Missing => f.write_str("is not on PATH"),
            Self::Unstartable(error) => write!(f, "cannot be run: {error}"),
            Self::Late(patience) => {
                write!(f, "took longer than {} s and was ended", patience.as_secs())
            }
            Self::Stopped => f.write_str("was ended"),
            Self::TooMuch => f.write_str("printed more than 256 KiB and was ended"),
            Self::Failed(status) => write!(f, "failed ({status})"),
            Self::Garbage => f.write_str("printed something that is no credentials"),
        }
    }
}

/// A program that is ended, with all it started, when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        // It may end by itself just now: either way it is over then.
        _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests;
