//! What a file says of an upload, and whether that is to be believed.

use std::fs::File;
use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::source::Summary;
use crate::push::private;
use crate::registry::sessions::{Remembered, Upload};

const VERSION: u32 = 1;
/// More than any of them has, in bytes: a location has 8 KiB at most.
const MOST: u64 = 32 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    version: u32,
    /// As in destinations, lower case.
    registry: String,
    repository: String,
    /// Digest, or diff_id and method of compression.
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    location: String,
    #[serde(default)]
    held: u64,
    #[serde(default)]
    least: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Made>,
    /// When it was written, in seconds since 1970: for people who look at it.
    written: u64,
}

/// What the bytes turned out to be that the content does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    digest: Digest,
    size: u64,
}

/// What was found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Left(Remembered),
    /// Its bytes have not reached the disk before the machine went down.
    Nothing,
    /// A later version has written it, which is not to lose it.
    Later,
    /// Why it does not count.
    Bad(&'static str),
}

impl Document {
    pub(super) fn of(upload: &Upload<'_>) -> Self {
        Self {
            version: VERSION,
            registry: upload.registry.to_ascii_lowercase(),
            repository: upload.repository.to_string(),
            content: upload.content.to_owned(),
            size: upload.size,
            location: String::new(),
            held: 0,
            least: 0,
            made: None,
            written: 0,
        }
    }

    /// The name of its file: nothing of what is in it can lead elsewhere.
    pub(super) fn name(&self) -> String {
        let parts = [&self.registry, &self.repository, &self.content].map(String::as_str);
        Digest::of(parts.join("\n").as_bytes()).encoded().to_owned()
    }

    pub(super) fn take(&mut self, session: &Remembered, now: SystemTime) {
        self.location.clone_from(&session.location);
        self.held = session.held;
        self.least = session.least;
        self.made = session.made.clone().map(|made| Made {
            digest: made.digest,
            size: made.size,
        });
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.written = since.as_secs();
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always can be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// In bytes, where it is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// What `file` says of this upload.
    pub(super) fn read(&self, file: &File) -> Read {
        match file.metadata() {
            Ok(metadata) if private::is_ours(&metadata) => {}
            Ok(_) => return Read::Bad("others can write to it"),
            Err(_) => return Read::Bad("it cannot be read"),
        }
        let mut bytes = Vec::new();
        match file.take(MOST + 1).read_to_end(&mut bytes) {
            Ok(_) => self.parse(&bytes),
            Err(_) => Read::Bad("it cannot be read"),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Read {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        const DAMAGED: Read = Read::Bad("it is damaged");
        if bytes.is_empty() {
            return Read::Nothing;
        }
        if bytes.len() as u64 > MOST {
            return DAMAGED;
        }
        match serde_json::from_slice::<Versioned>(bytes) {
            Ok(Versioned { version: VERSION }) => {}
            Ok(Versioned { version }) if version > VERSION => return Read::Later,
            _ => return DAMAGED,
        }
        match serde_json::from_slice::<Self>(bytes) {
            Ok(found) if self.is_same_upload(&found) => Read::Left(Remembered {
                location: found.location,
                held: found.held,
                least: found.least,
                made: found.made.map(|made| Summary {
                    digest: made.digest,
                    size: made.size,
                }),
            }),
            Ok(_) => Read::Bad("it is of another upload"),
            Err(_) => DAMAGED,
        }
    }

    fn is_same_upload(&self, found: &Self) -> bool {
        let sizes = self.size.zip(found.size);
        (&self.registry, &self.repository, &self.content)
            == (&found.registry, &found.repository, &found.content)
            && sizes.is_none_or(|(one, other)| one == other)
            && self.size.is_none_or(|size| found.held <= size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::Repository;

    fn document(registry: &str, repository: &str, content: &str, size: Option<u64>) -> Document {
        Document::of(&Upload {
            registry,
            repository: &Repository::parse(repository).unwrap(),
            content,
            size,
        })
    }

    fn session() -> Remembered {
        Remembered {
            location: "/v2/app/blobs/uploads/1?_state=x".into(),
            held: 7,
            least: 5,
            made: None,
        }
    }

    #[test]
    fn each_upload_has_a_file_of_its_own() {
        let names = [
            document("r.io", "app", "sha256:a", Some(1)),
            document("r.io:1", "app", "sha256:a", Some(1)),
            document("r.io", "app/b", "sha256:a", Some(1)),
            document("r.io", "app", "sha256:b", Some(1)),
        ]
        .map(|document| document.name());
        for (place, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 64);
            assert!(!names[..place].contains(name));
        }
        let upper = document("R.io", "app", "sha256:a", None);
        assert_eq!(upper.name(), names[0]);
    }

    #[test]
    fn what_was_written_is_read_for_the_same_upload_alone() {
        let mut written = document("r.io", "app", "sha256:a", Some(10));
        written.take(&session(), SystemTime::UNIX_EPOCH);
        let bytes = written.to_bytes();
        let other = Read::Bad("it is of another upload");
        for (asked, expected) in [
            (
                document("R.io", "app", "sha256:a", Some(10)),
                Read::Left(session()),
            ),
            (
                document("r.io", "app", "sha256:a", None),
                Read::Left(session()),
            ),
            (
                document("r.io", "app", "sha256:a", Some(11)),
                Read::Bad("it is of another upload"),
            ),
            (
                document("r.io", "app", "sha256:b", Some(10)),
                Read::Bad("it is of another upload"),
            ),
            (
                document("r.io", "lib", "sha256:a", Some(10)),
                Read::Bad("it is of another upload"),
            ),
            (document("q.io", "app", "sha256:a", Some(10)), other),
        ] {
            assert_eq!(asked.parse(&bytes), expected, "{asked:?}");
        }
    }

    #[test]
    fn what_was_made_is_read_again() {
        let made = Remembered {
            made: Some(Summary {
                digest: Digest::of(b"made"),
                size: 9,
            }),
            ..session()
        };
        let mut written = document("r.io", "app", "sha256:a gzip", None);
        written.take(&made, SystemTime::UNIX_EPOCH);
        let text = String::from_utf8(written.to_bytes()).unwrap();
        assert_eq!(written.parse(text.as_bytes()), Read::Left(made));
        let odd = text
            .replace("sha256:a gzip", "x")
            .replace("\"size\":9", "\"size\":-9");
        assert_eq!(written.parse(odd.as_bytes()), Read::Bad("it is damaged"));
    }

    #[test]
    fn what_is_damaged_or_of_another_version_does_not_count() {
        let mut written = document("r.io", "app", "sha256:a", Some(10));
        written.take(&session(), SystemTime::UNIX_EPOCH);
        let whole = written.to_bytes();
        assert_eq!(written.parse(b""), Read::Nothing);
        for end in 1..whole.len() {
            assert_eq!(written.parse(&whole[..end]), Read::Bad("it is damaged"));
        }
        let large = [&whole[..], &vec![b' '; MOST as usize]].concat();
        let text = String::from_utf8(whole).unwrap();
        for (bytes, expected) in [
            (large, Read::Bad("it is damaged")),
            (
                text.replace("\"version\":1", "\"version\":0").into(),
                Read::Bad("it is damaged"),
            ),
            (
                text.replace("\"version\":1", "\"version\":2").into(),
                Read::Later,
            ),
            (
                text.replace("\"held\":7", "\"held\":-7").into(),
                Read::Bad("it is damaged"),
            ),
            (b"{\"version\":2}".into(), Read::Later),
            (b"[1]".into(), Read::Bad("it is damaged")),
            (vec![0; 100], Read::Bad("it is damaged")),
        ] {
            assert_eq!(written.parse(&bytes), expected);
        }
        let more = text.replace("\"held\":7", "\"held\":11");
        assert_eq!(
            written.parse(more.as_bytes()),
            Read::Bad("it is of another upload")
        );
    }
}
