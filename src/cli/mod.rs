//! The command line: flags, settings, exit codes, wording. One file per command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};

/// A process as data: what `main` collects, and what tests make up.
pub struct Process {
    /// Without the program's name.
    pub args: Vec<OsString>,
    pub env: BTreeMap<OsString, OsString>,
    pub stdin: Box<dyn Read + Send>,
    pub stdout: Box<dyn Write + Send>,
    pub stderr: Box<dyn Write + Send>,
    pub stdout_is_terminal: bool,
    pub stderr_is_terminal: bool,
}

impl Process {
    /// The real one.
    pub fn current() -> Self {
        unimplemented!()
    }
}

/// The exit codes, part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
}

impl Exit {
    pub fn code(self) -> u8 {
        0
    }
}

/// Runs one command to its end.
pub fn run(_process: Process) -> Exit {
    unimplemented!()
}
