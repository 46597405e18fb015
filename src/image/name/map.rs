//! `--map FILE`: for each name that an image has in its source, the target it goes to.
//!
//! A line is `source-name target`; what begins with `#` is a comment. A name without a host, a
//! `library/` or a tag has them filled in, as tools do it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use crate::image::digest::{Digest, quote};
use crate::image::name::SourceName;
use crate::image::reference::{Host, Reference, Repository, Tag, split_tag};

/// Where names go, below the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    path: PathBuf,
    entries: HashMap<Key, Line>,
}

/// A source name with everything filled in.
type Key = (Host, Repository, Tag);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    repository: Repository,
    /// The one of the source name where the line does not say.
    tag: Tag,
}

impl Map {
    /// The largest file that is read, in bytes.
    pub const MAX_SIZE: u64 = 8 << 20;

    /// Parses what the file at `path` holds.
    ///
    /// # Errors
    /// The first thing wrong with it: a sentence that names file and line.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let mut map = Self {
            path: path.into(),
            entries: HashMap::new(),
        };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (before, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = before + 1;
            map.add(number, line)
                .map_err(|why| format!("{} line {number}: {why}", path.display()))?;
        }
        Ok(map)
    }

    fn add(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        let line = str::from_utf8(line).map_err(|_| "is not UTF-8")?;
        let words = line.split_whitespace().take_while(|w| !w.starts_with('#'));
        let words: Vec<&str> = words.take(3).collect();
        let (name, target) = match words[..] {
            [] => return Ok(()),
            [name, target] => (name, target),
            [name] => return Err(format!("{} has no target behind it", quote(name))),
            _ => return Err("has more than a source name and a target".into()),
        };
        let key = parse_name(name)?;
        let (repository, tag) = parse_target(target)?;
        let tag = tag.unwrap_or_else(|| key.2.clone());
        match self.entries.entry(key) {
            Entry::Occupied(first) => {
                let (host, path, same) = first.key();
                let before = first.get().number;
                Err(format!("{host}/{path}:{same} is in line {before} already"))
            }
            Entry::Vacant(free) => {
                free.insert(Line {
                    number,
                    repository,
                    tag,
                });
                Ok(())
            }
        }
    }

    /// Where the image `identity` goes that has this name. One without a tag is known as `latest`
    /// and, since it may be one of several, by the start of its digest.
    pub(super) fn target(
        &self,
        name: &SourceName,
        identity: Option<&Digest>,
    ) -> Option<(Repository, Tag)> {
        let line = self.line(name, identity)?;
        Some((line.repository.clone(), line.tag.clone()))
    }

    /// The number of the line that says where that name goes.
    pub(super) fn line_number(
        &self,
        name: &SourceName,
        identity: Option<&Digest>,
    ) -> Option<usize> {
        self.line(name, identity).map(|line| line.number)
    }

    fn line(&self, name: &SourceName, identity: Option<&Digest>) -> Option<&Line> {
        let with = |tag| {
            let key = (name.host.clone(), name.repository.clone(), tag);
            self.entries.get(&key)
        };
        match &name.tag {
            Some(tag) => with(tag.clone()),
            None => {
                let by_digest = identity.map(Tag::of_digest).and_then(with);
                by_digest.or_else(|| with(Tag::latest()))
            }
        }
    }

    /// A sentence about the lines whose source names are none of `known` line numbers.
    pub(super) fn unknown(&self, known: &dyn Fn(usize) -> bool) -> Option<String> {
        let lines = self.entries.iter();
        let mut unknown: Vec<(usize, &Key)> = lines
            .map(|(key, line)| (line.number, key))
            .filter(|(number, _)| !known(*number))
            .collect();
        unknown.sort_unstable_by_key(|(number, _)| *number);
        let (number, (host, repository, tag)) = unknown.first()?;
        let path = self.path.display();
        let mut sentence = format!(
            "{path} line {number}: no image in the sources is called {host}/{repository}:{tag}"
        );
        let others: Vec<String> = unknown[1..].iter().map(|(n, _)| n.to_string()).collect();
        match others.len() {
            0 => {}
            1 => sentence.push_str(&format!("; nor the one in line {}", others[0])),
            2..=20 => sentence.push_str(&format!("; nor those in lines {}", others.join(", "))),
            count => sentence.push_str(&format!("; nor those in {count} further lines")),
        }
        Some(sentence)
    }
}

fn parse_name(text: &str) -> Result<Key, String> {
    let name = Reference::parse(text).map_err(|error| error.message().to_owned())?;
    if name.digest.is_some() {
        let quoted = quote(text);
        return Err(format!(
            "{quoted} ends in a digest, and names have none here"
        ));
    }
    let tag = name.tag.unwrap_or_else(Tag::latest);
    Ok((name.host, name.repository, tag))
}

fn parse_target(text: &str) -> Result<(Repository, Option<Tag>), String> {
    let refused = |why: &str| Err(format!("{} is not a target: {why}", quote(text)));
    if let Some((first, _)) = text.split_once('/')
        && Host::is_meant(first)
        && Host::parse(first).is_ok()
    {
        return refused(
            "it begins with a registry's host, and targets are repositories below the destination",
        );
    }
    if text.contains('@') {
        return refused("it ends in a digest, and images keep the digest they have");
    }
    let (repository, tag) = split_tag(text);
    let repository = Repository::parse(repository).map_err(|e| e.message().to_owned())?;
    let tag = tag.map(Tag::parse).transpose();
    Ok((repository, tag.map_err(|e| e.message().to_owned())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Map, String> {
        Map::parse(Path::new("names.txt"), text.as_bytes())
    }

    fn target(map: &Map, name: &str) -> Option<String> {
        let name = Reference::parse(name).unwrap();
        let name = SourceName {
            host: name.host,
            repository: name.repository,
            tag: name.tag,
        };
        let found = map.target(&name, Some(&Digest::of(b"")));
        found.map(|(repository, tag)| format!("{repository}:{tag}"))
    }

    #[test]
    fn a_line_says_where_a_name_goes() {
        let hex = Digest::of(b"").short().to_owned();
        let text = format!(
            "\u{feff}# comment\r\n\
             nginx:1.25 web:1   # the old one\r\n\
             \n\
             \tq.io/team/app\tteam/app:stable\n\
             [::1]:5000/a:1 b\n\
             layout:{hex} first"
        );
        let map = parse(&text).unwrap();
        for (name, expected) in [
            ("docker.io/library/nginx:1.25", Some("web:1")),
            ("index.docker.io/nginx:1.25", Some("web:1")),
            ("nginx:1.26", None),
            ("nginx", None),
            ("q.io/team/app:latest", Some("team/app:stable")),
            ("q.io/team/app", Some("team/app:stable")),
            ("q.io/team/app:1", None),
            ("[::1]:5000/a:1", Some("b:1")),
            ("layout", Some(&format!("first:{hex}"))),
        ] {
            assert_eq!(target(&map, name).as_deref(), expected, "{name}");
        }
        assert_eq!(parse("").unwrap().entries.len(), 0);
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let digest = Digest::of(b"");
        for (line, why) in [
            ("nginx", "\"nginx\" has no target behind it"),
            ("nginx # web:1", "\"nginx\" has no target behind it"),
            ("nginx web 1", "more than a source name and a target"),
            ("Nginx:1 web", "must be lower-case"),
            ("nginx: web", "is not a tag: it is empty"),
            (&format!("{digest} web"), "it is a digest"),
            (&format!("nginx:1@{digest} web"), "ends in a digest"),
            ("nginx Web", "must be lower-case"),
            ("nginx web:", "is not a tag: it is empty"),
            ("nginx web/", "between slashes is empty"),
            ("nginx /web", "between slashes is empty"),
            ("nginx ../web", "begins and ends with"),
            ("nginx q.io/web:1", "begins with a registry's host"),
            (
                "nginx localhost:5000/web:1",
                "begins with a registry's host",
            ),
            (&format!("nginx web@{digest}"), "images keep the digest"),
            (
                "docker.io/app:latest y",
                "docker.io/library/app:latest is in line 1 already",
            ),
        ] {
            let error = parse(&format!("app x\n\n{line}\nb b\n")).unwrap_err();
            assert!(error.starts_with("names.txt line 3: "), "{line}: {error}");
            assert!(error.contains(why), "{line}: {error}");
        }
        let error = Map::parse(Path::new("m"), b"a b\n\xff\xfe x\n").unwrap_err();
        assert_eq!(error, "m line 2: is not UTF-8");
    }

    #[test]
    fn lines_for_names_that_nothing_has_are_told() {
        let of = |lines: usize| {
            let lines = (1..=lines).map(|n| format!("app:{n} x:{n}\n"));
            parse(&lines.collect::<String>()).unwrap()
        };
        let says = |map: Map, known: &[usize]| map.unknown(&|line| known.contains(&line));
        assert_eq!(says(of(2), &[1, 2]), None);
        let one = "names.txt line 2: no image in the sources is called docker.io/library/app:2";
        assert_eq!(says(of(2), &[1]).as_deref(), Some(one));
        let two = format!("{one}; nor the one in line 4");
        assert_eq!(says(of(4), &[1, 3]), Some(two));
        let three = format!("{one}; nor those in lines 4, 5");
        assert_eq!(says(of(5), &[1, 3]), Some(three));
        let many = format!("{one}; nor those in 40 further lines");
        assert_eq!(says(of(42), &[1]), Some(many));
    }
}
