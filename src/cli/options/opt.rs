//! What an option is.

use crate::cli::args::{Args, Command};
use crate::cli::options::Given;
use crate::cli::usage::UsageError;

/// One option of one or more commands.
#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) take: Take,
    pub(crate) commands: &'static [Command],
    /// A fragment without a final dot, for the help.
    pub(crate) help: &'static str,
    /// How a configuration file writes its value.
    pub(crate) form: Form,
    /// May be given more than once, and all count.
    pub(crate) repeatable: bool,
    pub(crate) scope: Scope,
    /// Of the environment.
    pub(crate) variable: Option<&'static str>,
    /// What its variable holds is for nobody but the one who needs it: that it is there is all that
    /// settings know.
    pub(crate) secret: bool,
}

/// What a value is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// Relative to the file.
    Path,
    Number,
    /// A number of bytes or seconds, or text with a unit.
    Measure,
}

/// Where in a configuration file an option may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Nowhere,
    /// Beside `registries`.
    Top,
    /// There, and in the section of a registry.
    Both,
    /// In the section of a registry only.
    Registry,
}

/// Whether an option has a value, and what it does to what was typed so far.
#[derive(Debug)]
pub(crate) enum Take {
    Flag(fn(&mut Args)),
    Value {
        /// As the help calls it.
        name: &'static str,
        set: Setter,
    },
}

type Setter = fn(&mut Args, &Given<'_>) -> Result<(), UsageError>;

impl Opt {
    /// An option without a value, of `push` alone.
    pub(super) const fn flag(long: &'static str, set: fn(&mut Args), help: &'static str) -> Self {
        Self::new(long, Take::Flag(set), help)
    }

    /// An option with a value, of `push` alone.
    pub(super) const fn value(
        long: &'static str,
        name: &'static str,
        set: Setter,
        help: &'static str,
    ) -> Self {
        Self::new(long, Take::Value { name, set }, help)
    }

    const fn new(long: &'static str, take: Take, help: &'static str) -> Self {
        Self {
            long,
            short: None,
            take,
            commands: &[Command::Push],
            help,
            form: Form::Text,
            repeatable: false,
            scope: Scope::Top,
            variable: None,
            secret: false,
        }
    }

    pub(super) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn on(mut self, commands: &'static [Command]) -> Self {
        self.commands = commands;
        self
    }

    pub(super) const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    pub(super) const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    pub(super) const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    pub(super) const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Does to `args` what the option is for.
    pub(crate) fn apply(&self, args: &mut Args, given: &Given<'_>) -> Result<(), UsageError> {
        match self.take {
            Take::Flag(set) => {
                set(args);
                Ok(())
            }
            Take::Value { set, .. } => set(args, given),
        }
    }
}
