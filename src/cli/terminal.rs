//! Questions to a person at a terminal, some of them without echo.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::net::Secret;
use crate::observe::console::Console;

/// Longest answer, in bytes.
const LONGEST: usize = 64 << 10;

/// Standard input, being a terminal, and standard error. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Terminal {
    console: Console,
    /// As it was before its echo was taken away.
    before: Arc<Mutex<Option<Termios>>>,
}

impl Terminal {
    pub(crate) fn new(console: &Console) -> Self {
        Self {
            console: console.clone(),
            before: Arc::default(),
        }
    }

    /// `Username: ` and what is typed then.
    pub(crate) fn ask(&self, stdin: &mut dyn Read, question: &str) -> Result<String, String> {
        self.console.ask(question);
        let line = read_line(stdin)?;
        Ok(line.trim().to_owned())
    }

    /// The same with nothing to be seen of the answer.
    pub(crate) fn ask_secret(
        &self,
        stdin: &mut dyn Read,
        question: &str,
    ) -> Result<Secret, String> {
        let blind =
            |error: io::Error| format!("the terminal goes on showing what is typed: {error}");
        self.hide().map_err(blind)?;
        self.console.ask(question);
        let line = read_line(stdin);
        self.restore(OptionalActions::Now);
        line.map(|line| line.as_str().into())
    }

    /// The end of the line is shown: the answer ends there.
    fn hide(&self) -> io::Result<()> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        *before = Some(shown);
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(())
    }

    /// Ends a question to which nobody waits for the answer any more; true where there was one without
    /// echo. What was typed of it is thrown away: a shell would take it for a command.
    pub(crate) fn abandon(&self) -> bool {
        self.restore(OptionalActions::Flush)
    }

    /// Gives the terminal its echo back; true where it had none.
    fn restore(&self, how: OptionalActions) -> bool {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shown) = before.take() else {
            return false;
        };
        // A terminal that has gone away needs no echo.
        _ = tcsetattr(io::stdin(), how, &shown);
        true
    }
}

fn read_line(stdin: &mut dyn Read) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0];
    loop {
        match stdin.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("standard input cannot be read: {error}")),
            Ok(0) if bytes.is_empty() => return Err("nothing was typed".to_owned()),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if bytes.len() == LONGEST => {
                return Err("more than 64 KiB were typed".to_owned());
            }
            Ok(_) => bytes.push(byte[0]),
        }
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "what was typed is not UTF-8")?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.is_empty() {
        true => Err("nothing was typed".to_owned()),
        false => Ok(Zeroizing::new(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line() {
        let longest = "x".repeat(LONGEST);
        let too_long = format!("{longest}x\n");
        for (typed, expected) in [
            ("secret\nmore", Ok("secret")),
            ("secret\r\n", Ok("secret")),
            (" two words \n", Ok(" two words ")),
            ("secret", Ok("secret")),
            (longest.as_str(), Ok(longest.as_str())),
            (too_long.as_str(), Err("more than 64 KiB were typed")),
            ("\n", Err("nothing was typed")),
            ("", Err("nothing was typed")),
        ] {
            let read = read_line(&mut typed.as_bytes());
            let read = read.as_ref().map(|line| line.as_str());
            assert_eq!(read.map_err(String::as_str), expected, "{typed:.20}");
        }
        assert!(read_line(&mut &[0xff, b'\n'][..]).is_err());
    }
}
