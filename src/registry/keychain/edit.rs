//! Puts an entry into the text of a credential file, or takes it out: all else stays as it was, in its
//! order, with fields that only others understand. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::registry::credentials::{IDENTITY, Login};
use crate::registry::keychain::document::{Damage, Document};
use crate::registry::keychain::object::Object;
use crate::registry::keychain::server::{Rank, Server};

/// Fields of an entry that a login replaces.
const OWN: [&str; 5] = [
    "auth",
    "username",
    "password",
    "identitytoken",
    "registrytoken",
];

/// The file with `login` for the registry as a whole; without one the entry only says that a helper has it.
pub(super) fn put(
    text: &str,
    server: &Server,
    login: Option<&Login>,
) -> Result<Zeroizing<String>, Damage> {
    let file = File::read(text)?;
    let is_own = |key: &str| {
        let rank = server.rank(key, None);
        rank.filter(|rank| matches!(rank, Rank::Url | Rank::Host))
    };
    let old = file.auths.0.iter().enumerate();
    let old = old.filter_map(|(at, (key, _))| Some((is_own(key)?, at)));
    let old = old.max().map(|(_, at)| at);
    let new = |kept: Option<&str>| entry(login, kept, &file.indent);
    let mut entries = Vec::new();
    for (at, (key, value)) in file.auths.0.iter().enumerate() {
        if Some(at) == old {
            entries.push((key.as_str(), new(Some(value.get()))));
        } else if is_own(key).is_none() {
            entries.push((key.as_str(), Zeroizing::new(value.get().to_owned())));
        }
    }
    if old.is_none() {
        entries.push((server.key(), new(None)));
    }
    Ok(file.write(&entries))
}

/// The file without anything about the registry and its repositories; `None` where it has nothing.
pub(super) fn remove(text: &str, server: &Server) -> Result<Option<Zeroizing<String>>, Damage> {
    let file = File::read(text)?;
    let others = file.auths.0.iter().filter(|(key, _)| !server.owns(key));
    let others = others.map(|(key, value)| (key.as_str(), Zeroizing::new(value.get().to_owned())));
    let others: Vec<_> = others.collect();
    Ok((others.len() < file.auths.0.len()).then(|| file.write(&others)))
}

struct File<'a> {
    fields: Object<'a>,
    auths: Object<'a>,
    indent: String,
    /// What stands behind the last brace.
    end: &'a str,
}

impl<'a> File<'a> {
    fn read(text: &'a str) -> Result<Self, Damage> {
        let text = text.trim_start_matches('\u{feff}');
        Document::parse(text)?;
        let empty = text.trim().is_empty();
        let body = if empty { "{}" } else { text };
        // It was a document a moment ago.
        let fields = Object::parse(body).unwrap_or_default();
        let auths = fields.get("auths").map(|auths| auths.get());
        let auths = auths.and_then(|auths| Object::parse(auths).ok());
        let end = text.rfind('}').map_or("\n", |last| &text[last + 1..]);
        Ok(Self {
            auths: auths.unwrap_or_default(),
            indent: indent(text),
            end,
            fields,
        })
    }

    fn write(&self, entries: &[(&str, Zeroizing<String>)]) -> Zeroizing<String> {
        let indent = &self.indent;
        let auths = block(
            entries.iter().map(|(key, value)| (*key, value.as_str())),
            indent,
            2,
        );
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &self.fields.0 {
            let first = fields.iter().all(|(found, _)| found != name);
            match name.as_str() {
                "auths" if first => fields.push((name, &auths)),
                "auths" => {}
                _ => fields.push((name, value.get())),
            }
        }
        if fields.iter().all(|(name, _)| *name != "auths") {
            fields.insert(0, ("auths", &auths));
        }
        let mut text = block(fields.into_iter(), indent, 1);
        text.push_str(self.end);
        text
    }
}

/// What stands in front of the first field.
fn indent(text: &str) -> String {
    let rest = text.trim_start().strip_prefix('{').unwrap_or_default();
    let line = rest.trim_start_matches('\r').strip_prefix('\n');
    let width = |of: &str| of.len() - of.trim_start_matches([' ', '\t']).len();
    match line.map(|line| &line[..width(line)]) {
        Some(indent) if !indent.is_empty() => indent.to_owned(),
        _ => "\t".to_owned(),
    }
}

/// An object over several lines.
fn block<'f>(
    fields: impl Iterator<Item = (&'f str, &'f str)>,
    indent: &str,
    depth: usize,
) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::from("{"));
    for (name, value) in fields {
        let separator = if text.len() > 1 { ",\n" } else { "\n" };
        text.push_str(separator);
        text.push_str(&indent.repeat(depth));
        text.push_str(&quoted(name));
        text.push_str(": ");
        text.push_str(value);
    }
    if text.len() > 1 {
        text.push('\n');
        text.push_str(&indent.repeat(depth - 1));
    }
    text.push('}');
    text
}

/// The entry as docker writes it, and what else `kept`, the old one, held.
fn entry(login: Option<&Login>, kept: Option<&str>, indent: &str) -> Zeroizing<String> {
    let auth = |user: &str, password: &str| {
        let pair = Zeroizing::new(format!("{user}:{password}"));
        Zeroizing::new(format!("\"{}\"", STANDARD.encode(&*pair)))
    };
    let own = match login {
        None => Vec::new(),
        Some(Login::Password { username, password }) => {
            vec![("auth", auth(username, password.expose()))]
        }
        // Without the first, podman and skopeo pass the entry over.
        Some(Login::IdentityToken(token)) => vec![
            ("auth", auth(IDENTITY, "")),
            ("identitytoken", quoted(token.expose())),
        ],
        Some(Login::Bearer(token)) => vec![("registrytoken", quoted(token.expose()))],
    };
    let kept = kept.and_then(|kept| Object::parse(kept).ok());
    let kept = kept.unwrap_or_default().0;
    let kept = kept
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.as_str()));
    let kept = kept.map(|(name, value)| (name.as_str(), value.get()));
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    block(own.chain(kept), indent, 3)
}

fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::Host;

    fn server(host: &str) -> Server {
        Server::new(&Host::parse(host).unwrap())
    }

    fn password() -> Login {
        Login::new("u".into(), "p".into())
    }

    #[test]
    fn a_login_changes_its_own_entry_and_nothing_else() {
        let before = "{
\t\"HttpHeaders\": {
\t\t\"User-Agent\": \"x\"
\t},
\t\"auths\": {
\t\t\"z.io\": {
\t\t\t\"auth\": \"!\"
\t\t},
\t\t\"https://r.io/v1/\": {
\t\t\t\"auth\": \"old\",
\t\t\t\"email\": \"me@r.io\",
\t\t\t\"identitytoken\": \"old\"
\t\t},
\t\t\"r.io/team\": {
\t\t\t\"auth\": \"dGVhbTp0\"
\t\t},
\t\t\"a.io\": 7
\t},
\t\"number\": 1.10e400,
\t\"psFormat\": \"\\u0041\"
}
";
        let old = "\t\t\t\"auth\": \"old\",
\t\t\t\"email\": \"me@r.io\",
\t\t\t\"identitytoken\": \"old\"
";
        let new = "\t\t\t\"auth\": \"dTpw\",
\t\t\t\"email\": \"me@r.io\"
";
        let after = put(before, &server("r.io"), Some(&password())).unwrap();
        assert_eq!(*after, before.replace(old, new));
        let again = put(&after, &server("r.io"), Some(&password())).unwrap();
        assert_eq!(again, after);
    }

    #[test]
    fn what_is_written_is_what_docker_and_podman_write() {
        let fresh = "{\n\t\"auths\": {\n\t\t\"r.io\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t}\n\t}\n}";
        for before in ["{}", "{\"auths\": null}", "{\"auths\":{\"r.io\":{}}}"] {
            let after = put(before, &server("r.io"), Some(&password())).unwrap();
            assert_eq!(*after, fresh, "{before}");
        }
        let from_nothing = put("", &server("r.io"), Some(&password())).unwrap();
        assert_eq!(*from_nothing, format!("{fresh}\n"));
        for (before, host, login, expected) in [
            (
                "{\n  \"x\": 1\n}\n",
                "docker.io",
                None,
                "{\n  \"auths\": {\n    \"https://index.docker.io/v1/\": {}\n  },\n  \"x\": 1\n}\n",
            ),
            (
                "{\"auths\":{\"docker.io\":{},\"https://index.docker.io/v1/\":{}}}",
                "docker.io",
                Some(Login::IdentityToken("a\"b".into())),
                "{\n\t\"auths\": {\n\t\t\"docker.io\": {\n\t\t\t\"auth\": \"PHRva2VuPjo=\",\n\t\t\t\"identitytoken\": \"a\\\"b\"\n\t\t}\n\t}\n}",
            ),
            (
                "{\"auths\":{\"r.io:5000\":{}}}",
                "r.io",
                Some(Login::Bearer("t".into())),
                "{\n\t\"auths\": {\n\t\t\"r.io:5000\": {},\n\t\t\"r.io\": {\n\t\t\t\"registrytoken\": \"t\"\n\t\t}\n\t}\n}",
            ),
        ] {
            let after = put(before, &server(host), login.as_ref()).unwrap();
            assert_eq!(*after, expected, "{before}");
        }
    }

    #[test]
    fn a_logout_takes_all_that_is_about_the_registry() {
        for (before, expected) in [
            ("", None),
            ("{}", None),
            (
                "{\"auths\":{\"s.io\":{\"auth\":\"!\"}},\"credsStore\":\"x\"}",
                None,
            ),
            (
                "{\"auths\":{\"r.io\":{},\"s.io\":{ },\"https://R.io/v2\":{},\"r.io/a\":{}},\"x\":[1, 2]}\n",
                Some("{\n\t\"auths\": {\n\t\t\"s.io\": { }\n\t},\n\t\"x\": [1, 2]\n}\n"),
            ),
            ("{\"auths\":{\"r.io\":7}}", Some("{\n\t\"auths\": {}\n}")),
        ] {
            let after = remove(before, &server("r.io")).unwrap();
            assert_eq!(
                after.as_ref().map(|text| text.as_str()),
                expected,
                "{before}"
            );
        }
    }

    #[test]
    fn what_is_damaged_is_not_written_over() {
        for text in ["hunter2", "[]", "{\"auths\":7}", "{\"credHelpers\":7}"] {
            assert!(
                put(text, &server("r.io"), Some(&password())).is_err(),
                "{text}"
            );
            assert!(remove(text, &server("r.io")).is_err(), "{text}");
        }
    }
}
