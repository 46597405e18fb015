//! Runs the hoist binary and speaks about what came out.
//!
//! The environment is empty but for what a test gives, so that no registry login, proxy or setting
//! of the machine has a say. A command that hangs is killed and fails its test.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command as Spawn, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than any test needs on a loaded machine.
const HANGS: Duration = Duration::from_secs(120);

/// `hoist(["push", "a.tar", "localhost:5000/"])`: a command to be run.
pub(crate) fn hoist<I>(args: I) -> Command
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    Command {
        within: Vec::new(),
        args: args.into_iter().map(Into::into).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        dir: None,
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The program and the arguments that run it, where something does.
    within: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    dir: Option<PathBuf>,
}

impl Command {
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Run by another program, whose last arguments are the command.
    pub(crate) fn within(mut self, program: Vec<OsString>) -> Self {
        self.within = program;
        self
    }

    /// What the command reads on standard input; nothing by default.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub(crate) fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it, for tests that talk to it while it runs.
    pub(crate) fn spawn(self) -> Running {
        let mut words = self
            .within
            .iter()
            .map(OsString::as_os_str)
            .collect::<Vec<_>>();
        words.push(env!("CARGO_BIN_EXE_hoist").as_ref());
        let mut spawn = Spawn::new(words[0]);
        spawn
            .args(&words[1..])
            .args(&self.args)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("TMPDIR", std::env::temp_dir())
            .envs(self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(dir) = &self.dir {
            spawn.current_dir(dir);
        }
        let mut child = spawn.spawn().expect("the hoist binary starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let input = self.stdin;
        // A command that does not read its input closes the pipe: no failure of the test.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        Running {
            stdout: collect(child.stdout.take().expect("stdout is a pipe")),
            stderr: collect(child.stderr.take().expect("stderr is a pipe")),
            started: Instant::now(),
            child,
            args: self.args,
        }
    }
}

/// A command that has been started; killed when dropped.
pub(crate) struct Running {
    child: Child,
    args: Vec<OsString>,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
}

impl Running {
    /// `signal("INT")`, or several at once: `signal("TERM TERM")`.
    pub(crate) fn signal(&self, names: &str) {
        let kill = |name| format!("kill -{name} {}", self.child.id());
        let kills: Vec<String> = names.split(' ').map(kill).collect();
        let sent = Spawn::new("sh").args(["-c", &kills.join(";")]).status();
        assert!(sent.expect("sh is there").success(), "kill -{names}");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until standard output holds `text`; all of it so far.
    pub(crate) fn wait_for_stdout(&mut self, text: &str) -> String {
        self.stdout.wait_for(text, &self.args)
    }

    /// Waits until standard error holds `text`; all of it so far.
    pub(crate) fn wait_for_stderr(&mut self, text: &str) -> String {
        self.stderr.wait_for(text, &self.args)
    }

    /// The most memory it has had at once so far, in bytes: `VmHWM` of proc(5).
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the command runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        kibibytes.expect("VmHWM in kB").parse::<u64>().unwrap() << 10
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Output {
        let deadline = self.started + HANGS;
        let ended = self.stdout.read_to_end(deadline) && self.stderr.read_to_end(deadline);
        if !ended {
            drop(self.child.kill());
        }
        let status = self.child.wait().expect("a child can be waited for");
        let output = Output {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            elapsed: self.started.elapsed(),
            args: std::mem::take(&mut self.args),
        };
        assert!(ended, "killed after {HANGS:?}: {output}");
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a command ended and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
    status: ExitStatus,
    args: Vec<OsString>,
}

impl Output {
    /// `None` when a signal killed it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert!(self.code() == Some(code), "expected exit {code}: {self}");
        self
    }

    /// The whole of standard output is one JSON document: this one.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(document) => document,
            Err(error) => panic!("standard output is not one JSON document: {error}: {self}"),
        }
    }

    pub(crate) fn stdout_lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    #[track_caller]
    pub(crate) fn expect_stderr(self, part: &str) -> Self {
        assert!(
            self.stderr.contains(part),
            "no {part:?} on standard error: {self}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn expect_stdout(self, expected: &str) -> Self {
        assert!(
            self.stdout == expected,
            "expected on standard output:\n{expected}\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        writeln!(f, "hoist {}", args.join(" "))?;
        writeln!(f, "{} after {:?}", self.status, self.elapsed)?;
        writeln!(f, "--- standard output\n{}", self.stdout)?;
        write!(f, "--- standard error\n{}", self.stderr)
    }
}

/// One output stream of a child, read by a thread of its own so that the child never blocks.
struct Stream {
    pieces: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

fn collect(mut pipe: impl Read + Send + 'static) -> Stream {
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    Stream {
        pieces,
        seen: Vec::new(),
    }
}

impl Stream {
    /// False when it had not ended at `deadline`.
    fn read_to_end(&mut self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.seen.extend(piece),
                Err(error) => return error == std::sync::mpsc::RecvTimeoutError::Disconnected,
            }
        }
    }

    fn wait_for(&mut self, text: &str, args: &[OsString]) -> String {
        let deadline = Instant::now() + HANGS;
        while !self.text().contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.seen.extend(piece),
                Err(error) => panic!("{args:?}: no {text:?}, {error}:\n{}", self.text()),
            }
        }
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}
