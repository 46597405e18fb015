//! Who the user is: as said here, by options and `HOIST_*` variables, or else as docker, podman and CI
//! have left it on this machine.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::cli::Surroundings;
use crate::cli::args::Args;
use crate::cli::usage::UsageError;
use crate::image::digest::quote;
use crate::image::reference::Host;
use crate::net::Secret;
use crate::registry::client::{Credentials, Keychain, Login};
use crate::registry::keychain::{Keys, Whereabouts, read_file};

/// Nobody's password is longer; a file given by mistake is.
const LONGEST: usize = 64 << 10;
/// The user whose password is an identity token.
pub(crate) const IDENTITY: &str = "<token>";
pub(crate) const PASSWORD_VARIABLE: &str = "HOIST_PASSWORD";

/// Where a push to `host` gets its credentials from.
pub(crate) fn keychain(
    args: &Args,
    around: &mut Surroundings,
    host: &Host,
    warnings: &mut Vec<String>,
) -> Result<Arc<dyn Keychain>, UsageError> {
    if let Some(credentials) = given(args, around, warnings)? {
        return Ok(Arc::new(Keys::given(host, credentials)));
    }
    if let Some(username) = &args.username {
        return Err(UsageError::new(format!(
            "no password for user {}: a password is never an argument",
            quote(username)
        ))
        .hint("--password-stdin, and the password on standard input"));
    }
    let keys = Keys::new(host, &whereabouts(args, around));
    Ok(Arc::new(keys.map_err(UsageError::new)?))
}

pub(crate) fn whereabouts<'a>(args: &'a Args, around: &'a Surroundings) -> Whereabouts<'a> {
    Whereabouts {
        env: &around.env,
        user_id: rustix::process::getuid().as_raw(),
        auth_file: args.auth_file.as_deref(),
        stop: &around.stop,
    }
}

/// What somebody said, by an option or a variable. That it is one only is sure by now.
pub(crate) fn given(
    args: &Args,
    around: &mut Surroundings,
    warnings: &mut Vec<String>,
) -> Result<Option<Credentials>, UsageError> {
    let said = match args {
        _ if args.token_file.is_some() => ("--token-file", &args.token_file),
        _ if args.password_file.is_some() => ("--password-file", &args.password_file),
        _ if args.password_stdin => ("--password-stdin", &None),
        _ if args.password_variable => (PASSWORD_VARIABLE, &None),
        _ => return Ok(None),
    };
    let origin = match said {
        (option, Some(path)) => format!("{option} {}", path.display()),
        (name, None) => name.to_owned(),
    };
    if args.username.is_none() && args.token_file.is_none() {
        return Err(UsageError::new(format!("{origin} needs a user"))
            .hint("--username NAME, or HOIST_USERNAME"));
    }
    let secret = match said {
        (_, Some(path)) => from_file(path, &origin, warnings),
        (PASSWORD_VARIABLE, None) => from_variable(around),
        (_, None) => from_stdin(&mut around.stdin),
    };
    let wrong = |why: String| UsageError::new(format!("{origin}: {why}"));
    let secret = secret.map_err(wrong)?;
    let login = match &args.username {
        Some(username) => Some(Login::new(username.clone(), secret)),
        None => Login::bearer(secret),
    };
    let login = login.ok_or_else(|| wrong("there is more in it than a token".to_owned()))?;
    Ok(Some(Credentials { login, origin }))
}

fn from_file(path: &Path, origin: &str, warnings: &mut Vec<String>) -> Result<Secret, String> {
    let content = read_file(path, true)?;
    if let Some(mode) = content.open_mode {
        let path = path.display();
        warnings.push(format!(
            "everybody on this machine can read {origin} (mode {mode:04o}): chmod 600 {path}"
        ));
    }
    line(&content.text)
}

fn from_variable(around: &Surroundings) -> Result<Secret, String> {
    let text = around.env.get(OsStr::new(PASSWORD_VARIABLE));
    let text = text.and_then(|text| text.to_str());
    text.map(Secret::from)
        .ok_or_else(|| "is not UTF-8".to_owned())
}

/// One byte more than a secret with a line end has: there is something to see then.
fn from_stdin(stdin: &mut dyn Read) -> Result<Secret, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
    let read = stdin.take(LONGEST as u64 + 3).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8".to_owned())?;
    line(text)
}

/// All of a text, without one line end at its end.
fn line(text: &str) -> Result<Secret, String> {
    let line = text
        .strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'));
    match line.unwrap_or(text) {
        "" => Err("there is nothing in it".to_owned()),
        long if long.len() > LONGEST => Err("more than 64 KiB are no secret".to_owned()),
        line => Ok(line.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_whole_and_loses_one_line_end() {
        let longest = "x".repeat(LONGEST);
        let ended = format!("{longest}\r\n");
        let too_long = format!("{longest}y");
        for (input, expected) in [
            ("secret", Some("secret")),
            ("secret\n", Some("secret")),
            ("secret\r\n", Some("secret")),
            ("secret\r", Some("secret\r")),
            ("secret\n\n", Some("secret\n")),
            (" spaces ", Some(" spaces ")),
            (&longest, Some(longest.as_str())),
            (&ended, Some(longest.as_str())),
            (&too_long, None),
            ("", None),
            ("\n", None),
        ] {
            let read = from_stdin(&mut input.as_bytes());
            let read = read.as_ref().map(Secret::expose);
            assert_eq!(read.ok(), expected, "{input:.20}");
        }
        assert!(from_stdin(&mut &[0xff, 0xfe][..]).is_err());
    }
}
