//! The text of a value, and what may be made of it.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::cli::usage::UsageError;
use crate::cli::values;
use crate::image::digest::quote;
use crate::image::filter::Filter;
use crate::image::reference::ReferenceError;
use crate::net::Proxy;

/// The value of an option, as somebody wrote it.
pub(crate) struct Given<'a> {
    /// What it is the value of, as an error says it: `--jobs`, `HOIST_JOBS`, `"jobs"`.
    called: &'a str,
    value: &'a OsStr,
}

impl<'a> Given<'a> {
    pub(crate) fn new(called: &'a str, value: &'a OsStr) -> Self {
        Self { called, value }
    }

    pub(super) fn text(&self) -> Result<&'a str, UsageError> {
        let text = self.value.to_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| self.illegal("some UTF-8 text"))
    }

    pub(super) fn glob(&self) -> Result<String, UsageError> {
        let text = self.text()?;
        Filter::check_glob(text).map_err(|why| self.refused(&why))?;
        Ok(text.to_owned())
    }

    /// A user name for basic authentication: RFC 7617 section 2 forbids a colon and control characters.
    /// What stands behind the colon is not repeated: most likely it is the password.
    pub(crate) fn username(&self) -> Result<String, UsageError> {
        let text = self.text()?;
        if let Some((name, _)) = text.split_once(':') {
            let message = format!(
                "the value of {} has a colon behind {}: a user name has none, and a password is \
                 never an argument",
                self.called,
                quote(name)
            );
            return Err(UsageError::new(message).hint("--password-stdin, --password-file"));
        }
        match text.contains(char::is_control) {
            true => Err(self.illegal("a name without control characters")),
            false => Ok(text.to_owned()),
        }
    }

    pub(super) fn path(&self) -> Result<PathBuf, UsageError> {
        self.path_of("a file")
    }

    pub(super) fn folder(&self) -> Result<PathBuf, UsageError> {
        self.path_of("a folder")
    }

    fn path_of(&self, what: &str) -> Result<PathBuf, UsageError> {
        if self.value.is_empty() {
            return Err(self.illegal(&format!("the path of {what}")));
        }
        Ok(self.value.into())
    }

    /// A proxy, which may have a password in its URL, or `none`.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>, UsageError> {
        let text = self.text()?;
        if text == "none" {
            return Ok(None);
        }
        let proxy = Proxy::parse(text, self.called);
        proxy.map(Some).map_err(UsageError::new)
    }

    /// What `parse` makes of the text; its error is a fragment that says what is legal.
    pub(super) fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, UsageError> {
        let text = match self.value.is_empty() {
            true => "",
            false => self.text()?,
        };
        parse(text).map_err(|legal| self.illegal(&legal))
    }

    pub(super) fn number(&self, from: u32, to: u32) -> Result<u32, UsageError> {
        self.parsed(|text| values::number(text, from..=to))
    }

    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, UsageError> {
        let found = choices.iter().find(|(name, _)| self.value == *name);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.illegal(&names.join(" or "))
        })
    }

    /// The error of a type whose message quotes the text already.
    pub(super) fn refused(&self, why: &str) -> UsageError {
        UsageError::new(format!("{}: {why}", self.called))
    }

    /// The same with what to write instead.
    pub(super) fn refused_with_hint(&self, why: &ReferenceError) -> UsageError {
        let error = self.refused(why.message());
        match why.hint() {
            Some(hint) => error.hint(format!("{} {hint}", self.called)),
            None => error,
        }
    }

    fn illegal(&self, legal: &str) -> UsageError {
        UsageError::value(self.called, &self.value.to_string_lossy(), legal)
    }
}
