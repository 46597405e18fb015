//! Standard error, shared: lines that stay, and below them a few live ones that are redrawn.
//!
//! The cursor always rests at the start of the line below the live ones, visible, so that there is
//! nothing to restore when the process is killed. Whoever writes to standard error goes through
//! here; errors of writing are not worth failing a push and are ignored.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Cheap to clone; clones write to the same place.
#[derive(Clone)]
pub(crate) struct Console(Arc<Mutex<Screen>>);

struct Screen {
    out: Box<dyn Write + Send>,
    live: Vec<String>,
    /// No live lines any more: whoever still draws is late.
    closed: bool,
}

impl Console {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(Screen {
            out,
            live: Vec::new(),
            closed: false,
        })))
    }

    /// One or more lines that stay, above the live ones.
    pub(crate) fn line(&self, text: &str) {
        let mut screen = self.lock();
        let mut frame = screen.erase();
        frame.push_str(text);
        if !text.ends_with('\n') {
            frame.push('\n');
        }
        screen.draw_onto(&mut frame);
        screen.put(&frame);
    }

    /// A question: the answer is typed behind it.
    pub(crate) fn ask(&self, question: &str) {
        self.lock().put(question);
    }

    /// Replaces the live lines; each must fit the width.
    pub(crate) fn show(&self, lines: Vec<String>) {
        let mut screen = self.lock();
        if screen.closed {
            return;
        }
        let mut frame = String::new();
        if !screen.live.is_empty() {
            frame.push_str(&screen.up());
        }
        screen.live = lines;
        screen.draw_onto(&mut frame);
        // Lines that were there before and are not any more.
        frame.push_str("\x1b[J");
        screen.put(&frame);
    }

    /// Takes the live lines away, for good.
    pub(crate) fn close(&self) {
        let mut screen = self.lock();
        screen.closed = true;
        let frame = screen.erase();
        screen.live.clear();
        screen.put(&frame);
    }

    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    fn erase(&self) -> String {
        match self.live.len() {
            0 => String::new(),
            _ => self.up() + "\x1b[J",
        }
    }

    /// To the start of the first live line, from wherever in the line below: the terminal echoes keys
    /// there, `^C` above all.
    fn up(&self) -> String {
        format!("\r\x1b[{}A", self.live.len())
    }

    /// Without automatic line wrap, so that a terminal narrower than we believe cuts the lines: a
    /// wrapped one would be two, and the way back up too short.
    fn draw_onto(&self, frame: &mut String) {
        if self.live.is_empty() {
            return;
        }
        frame.push_str("\x1b[?7l");
        for line in &self.live {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[?7h");
    }

    /// In one piece: a frame that is cut in the middle would leave the terminal without wrap.
    fn put(&mut self, frame: &str) {
        if frame.is_empty() {
            return;
        }
        let written = self.out.write_all(frame.as_bytes());
        _ = written.and_then(|()| self.out.flush());
    }
}

/// For writers of whole lines, such as a logger.
impl Write for Console {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.line(&String::from_utf8_lossy(buf));
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What was written, for tests.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Memory {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows on the terminal; the cursor rests in the last one.
    fn expect(memory: &Memory, rows: &[&str]) {
        let (shown, row) = terminal(&memory.text());
        assert_eq!(shown, rows);
        assert_eq!(row, rows.len() - 1);
    }

    /// What a terminal of this height shows after these bytes: rows of text, and the cursor's row.
    fn terminal(text: &str) -> (Vec<String>, usize) {
        let (mut rows, mut row, mut column) = (vec![String::new()], 0, 0);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(escape) = rest.strip_prefix("\x1b[") {
                let end = escape
                    .find(|last: char| last.is_ascii_alphabetic())
                    .unwrap();
                match (&escape[..end], &escape[end..=end]) {
                    (lines, "A") => row -= lines.parse::<usize>().unwrap(),
                    ("", "J") => {
                        rows.truncate(row + 1);
                        rows[row].truncate(column);
                    }
                    ("", "K") => rows[row].truncate(column),
                    ("?7", "l" | "h") => {}
                    other => panic!("{other:?}"),
                }
                rest = &escape[end + 1..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            if c == '\r' {
                column = 0;
            } else if c == '\n' {
                (row, column) = (row + 1, 0);
                rows.resize(rows.len().max(row + 1), String::new());
            } else {
                let end = (column + 1).min(rows[row].len());
                rows[row].replace_range(column..end, &c.to_string());
                column += 1;
            }
        }
        assert_eq!(column, 0, "the cursor rests at the start of a line");
        (rows, row)
    }

    #[test]
    fn live_lines_are_redrawn_below_the_others_and_leave_nothing() {
        let memory = Memory::default();
        let console = Console::new(Box::new(memory.clone()));
        let live = |lines: &[&str]| console.show(lines.iter().map(|l| (*l).to_owned()).collect());
        live(&["10 %", "layer one"]);
        console.line("pushed a");
        live(&["50 %"]);
        expect(&memory, &["pushed a", "50 %", ""]);
        // What the terminal shows of Ctrl-C.
        memory.clone().write_all(b"^C").unwrap();
        live(&["60 %", "layer two", "layer three"]);
        console.close();
        live(&["too late"]);
        console.line("done");
        expect(&memory, &["pushed a", "done", ""]);
    }
}
