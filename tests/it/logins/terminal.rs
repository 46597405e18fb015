//! A person at a terminal: questions, what is shown of the answers, and what is left of the terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::credentials::DOCKER;
use crate::credentials::home::Home;

/// A terminal with `hoist login` in it.
struct Session {
    controller: File,
    terminal: OwnedFd,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Session {
    fn start(home: &Home, args: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
        };
        let terminal = open().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hoist"))
            .arg("login")
            .args(args)
            .arg(home.host())
            .env_clear()
            .env("HOME", home.dir.path())
            .stdin(Stdio::from(open().unwrap()))
            .stdout(Stdio::from(open().unwrap()))
            .stderr(Stdio::from(open().unwrap()))
            .spawn()
            .unwrap();
        let controller = File::from(controller);
        let mut reader = controller.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            controller,
            terminal: terminal.into(),
            child,
            output,
            seen: String::new(),
        }
    }

    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let piece = self.output.recv_timeout(left);
            let piece = piece.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.controller.write_all(text.as_bytes()).unwrap();
    }

    fn has_echo(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO) && !modes.contains(LocalModes::ECHONL)
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.unwrap().success());
    }

    fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn user_and_password_are_asked_for_and_the_password_is_not_shown() {
    let home = Home::welcome();
    let mut session = Session::start(&home, &[]);
    session.wait_for("Username: ");
    assert!(session.has_echo());
    session.type_in("robot\n");
    session.wait_for("Password: ");
    assert!(!session.has_echo());
    session.type_in("s3cret\n");
    session.wait_for("logged in to ");
    session.wait_for("\n");
    assert_eq!(session.end(), Some(0), "{}", session.seen);
    assert!(session.has_echo());
    let shown = session.seen.replace('\r', "");
    let host = home.host();
    let expected =
        format!("Username: robot\nPassword: \nlogged in to {host} as robot, kept in ~/{DOCKER}\n");
    assert_eq!(shown, expected);
    assert_eq!(home.shown().as_deref(), Some("robot:s3cret"));
    let text = fs::read_to_string(home.path(DOCKER)).unwrap();
    assert!(
        text.contains(&home.filled("BASE64(robot:s3cret)")),
        "{text}"
    );
}

#[test]
fn a_signal_gives_the_terminal_its_echo_back() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let home = Home::welcome();
        let mut session = Session::start(&home, &["-u", "robot"]);
        session.wait_for("Password: ");
        assert!(!session.has_echo());
        session.signal(name);
        session.wait_for("error: interrupted");
        assert_eq!(session.end(), Some(code));
        assert!(session.has_echo());
        assert!(home.registry.requests().is_empty());
    }
}

#[test]
fn an_answer_that_is_none_ends_the_login() {
    for (args, typed, why) in [
        (&[][..], "\n", "error: nothing was typed"),
        (
            &[],
            "a:b\n",
            "error: the value of the answer has a colon behind \"a\": a user name has none",
        ),
        // Ctrl-D.
        (&["-u", "robot"], "\u{4}", "error: nothing was typed"),
        (&["-u", "robot"], "\n", "error: nothing was typed"),
    ] {
        let home = Home::welcome();
        let mut session = Session::start(&home, args);
        session.wait_for(": ");
        session.type_in(typed);
        session.wait_for(why);
        assert_eq!(session.end(), Some(2), "{typed:?}");
        assert!(session.has_echo());
        assert!(home.registry.requests().is_empty());
        assert!(!fs::exists(home.path(DOCKER)).unwrap());
    }
}
