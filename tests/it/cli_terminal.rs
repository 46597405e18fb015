//! The live display on a real terminal, that of tmux: what it shows, and what it leaves behind.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::programs::on_path;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, held, on, pass};

/// A terminal in which a command runs; after its end it shows `exit=CODE`.
struct Terminal {
    tmux: PathBuf,
    dir: TempDir,
}

impl Terminal {
    /// `None` where there is no tmux, which is said.
    fn run(size: (usize, usize), args: &[&str]) -> Option<Self> {
        let Some(tmux) = on_path("tmux") else {
            // Not `eprintln`, which the harness swallows.
            let mut stderr = std::io::stderr();
            writeln!(stderr, "skipped, not on PATH: tmux").unwrap();
            return None;
        };
        let terminal = Self {
            tmux,
            dir: tempdir().unwrap(),
        };
        // The shell must outlive the Ctrl-C that it gets as well.
        let command = format!(
            "trap : INT; {} {}; echo exit=$?; exec cat",
            env!("CARGO_BIN_EXE_hoist"),
            args.join(" ")
        );
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            "sh",
            "-c",
            &command,
        ]);
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.tmux);
        let socket = self.dir.path().join("socket");
        let output = command
            .args(["-f", "/dev/null", "-S"])
            .arg(socket)
            .args(args)
            .env_remove("TMUX")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_owned()
    }

    /// The screen once it shows `text`.
    fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(
                Instant::now() < deadline,
                "no {text:?} on the screen:\n{screen}"
            );
        }
    }

    /// Nothing of the display is left, and the terminal is as it was.
    fn assert_clean(&self) {
        let screen = self.screen();
        for part in ["[#", "[-", " % "] {
            let shown = screen
                .lines()
                .find(|line| line.contains(part) && !line.contains("success"));
            assert_eq!(shown, None, "{screen}");
        }
        let flags = self.tmux(&[
            "display-message",
            "-p",
            "#{cursor_flag} #{wrap_flag} #{cursor_x}",
        ]);
        assert_eq!(
            flags.trim(),
            "1 1 0",
            "cursor shown, lines wrap, at the start of a line"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.dir.path().join("socket");
        let mut command = Command::new(&self.tmux);
        drop(command.arg("-S").arg(socket).arg("kill-server").output());
    }
}

/// Ten images of which each has a layer of its own.
fn images(dir: &Path) {
    layout(dir, &ImageSpec::many("team/app", 10, 1, 200_000));
}

/// A registry that takes no blob until the gate is open.
fn reluctant(registry: &Registry) -> (Gate, Scripted) {
    let gate = Gate::new();
    let hold = on("PUT", "/v2/")
        .containing("/blobs/")
        .then(held(&gate, pass()));
    (gate, Scripted::before(registry.address(), [hold]))
}

#[test]
fn it_shows_what_is_sent_and_leaves_lines_and_a_summary() {
    let (dir, registry) = (tempdir().unwrap(), Registry::start(Kind::Serve));
    images(dir.path());
    let (gate, server) = reluctant(&registry);
    let destination = format!("{}/demo/", server.address());
    let source = dir.path().to_str().unwrap();
    let Some(terminal) = Terminal::run((100, 40), &["push", source, &destination]) else {
        return;
    };
    let live = terminal.wait_for("[#");
    assert!(live.contains("0 of 10 images"), "{live}");
    assert!(live.contains(":1 sha256:"), "{live}");
    gate.open();
    let screen = terminal.wait_for("exit=0");
    assert_eq!(screen.matches("pushed 127.0.0.1:").count(), 10, "{screen}");
    assert_eq!(screen.matches("@sha256:").count(), 10, "{screen}");
    assert!(screen.contains("10 images found, 10 pushed"), "{screen}");
    terminal.assert_clean();
}

/// On a terminal narrower than the display believes lines are cut, not wrapped.
#[test]
fn ctrl_c_leaves_even_a_narrow_terminal_clean() {
    let (dir, registry) = (tempdir().unwrap(), Registry::start(Kind::Serve));
    images(dir.path());
    let (gate, server) = reluctant(&registry);
    let destination = format!("{}/demo/", server.address());
    let source = dir.path().to_str().unwrap();
    let Some(terminal) = Terminal::run((60, 30), &["push", source, &destination]) else {
        return;
    };
    gate.wait_for(1);
    let live = terminal.wait_for(" sha256:");
    assert_eq!(live.matches("of 10 images").count(), 1, "{live}");
    terminal.tmux(&["send-keys", "C-c"]);
    let screen = terminal.wait_for("exit=130");
    assert!(screen.contains("10 images found, 0 pushed"), "{screen}");
    terminal.assert_clean();
}

#[test]
fn a_table_is_shown_on_a_terminal() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("team/app:1").layer(1, 3000)]);
    let source = dir.path().to_str().unwrap();
    let Some(terminal) = Terminal::run((200, 10), &["list", source]) else {
        return;
    };
    let screen = terminal.wait_for("exit=0");
    let mut lines = screen.lines();
    assert!(lines.next().unwrap().starts_with("NAME "), "{screen}");
    assert!(
        lines.next().unwrap().contains("team/app:1  linux/amd64"),
        "{screen}"
    );
}
