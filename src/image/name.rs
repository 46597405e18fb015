//! What images are called: names found in sources, the destination typed, and the targets they make.

mod assign;
mod destination;
mod map;
mod naming;
mod rename;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

pub use crate::image::name::assign::{Assigned, Named, Target, assign};
pub use crate::image::name::destination::Destination;
pub use crate::image::name::map::Map;
pub use crate::image::name::naming::{KnownNames, Naming};
pub use crate::image::name::rename::Rename;

use crate::image::reference::{Host, Reference, ReferenceError, Repository, Tag, is_separator};

/// Endings of archives, taken off a file's name as often as there is one.
const ENDINGS: [&str; 8] = [
    ".tar", ".tgz", ".tzst", ".gz", ".zst", ".zstd", ".oci", ".docker",
];

/// One name as a source gives it. At least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FoundName {
    /// Normalised: `docker.io` and `library/` filled in.
    pub repository: Option<(Host, Repository)>,
    pub tag: Option<Tag>,
}

impl FoundName {
    /// A line of RepoTags, or `io.containerd.image.name`. A digest behind it names nothing.
    pub fn from_reference(text: &str) -> Result<Self, ReferenceError> {
        let Reference {
            host,
            repository,
            tag,
            ..
        } = Reference::parse(text)?;
        Ok(Self {
            repository: Some((host, repository)),
            tag,
        })
    }

    /// What the annotations of an entry of `index.json` say. `ref_name` without `/` or `:` is a tag.
    ///
    /// # Errors
    /// When what they say is no name, and nothing else there is one.
    pub fn from_annotations(
        containerd_name: Option<&str>,
        ref_name: Option<&str>,
    ) -> Result<Option<Self>, ReferenceError> {
        let full = containerd_name.filter(|name| !is_placeholder(name));
        let full = full.map(Self::from_reference).transpose();
        let short = ref_name.filter(|name| !is_placeholder(name));
        let short = short.map(Self::from_ref_name).transpose();
        match (full, short) {
            (Ok(Some(mut name)), short) => {
                if name.tag.is_none()
                    && let Ok(Some(Self { tag, .. })) = short
                {
                    name.tag = tag;
                }
                Ok(Some(name))
            }
            (_, Ok(Some(name))) => Ok(Some(name)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(None), Ok(None)) => Ok(None),
        }
    }

    /// `org.opencontainers.image.ref.name`: a tag, or what a tool was given as the whole name.
    fn from_ref_name(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(['/', ':']) {
            return Self::from_reference(text);
        }
        Ok(Self {
            repository: None,
            tag: Some(Tag::parse(text)?),
        })
    }
}

/// `repository:tag` with everything filled in, or the tag alone.
impl fmt::Display for FoundName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repository, &self.tag) {
            (Some((host, repository)), Some(tag)) => write!(f, "{host}/{repository}:{tag}"),
            (Some((host, repository)), None) => write!(f, "{host}/{repository}"),
            (None, Some(tag)) => write!(f, "{tag}"),
            (None, None) => Ok(()),
        }
    }
}

/// Names in the order they came, each once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Vec<FoundName>,
    seen: HashSet<FoundName>,
}

impl Names {
    pub(crate) fn add(&mut self, name: FoundName) {
        if self.seen.insert(name.clone()) {
            self.list.push(name);
        }
    }

    pub(crate) fn into_list(self) -> Vec<FoundName> {
        self.list
    }
}

/// A name as a source gives it, with the repository that stands for none: what rules are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceName {
    pub(crate) host: Host,
    pub(crate) repository: Repository,
    pub(crate) tag: Option<Tag>,
}

/// `names`, each once: a tag that stands alone goes with the first repository among them, if there
/// is one, and a repository without a tag is left out where it has one by another name.
pub(crate) fn resolve(names: &[FoundName]) -> Vec<FoundName> {
    let first = names.iter().find_map(|name| name.repository.as_ref());
    let whole = |name: &FoundName| FoundName {
        repository: name.repository.as_ref().or(first).cloned(),
        tag: name.tag.clone(),
    };
    let mut resolved: Vec<FoundName> = names.iter().map(whole).collect();
    let tagged = resolved.iter().filter(|name| name.tag.is_some());
    let tagged: HashSet<_> = tagged.map(|name| name.repository.clone()).collect();
    let mut seen = HashSet::new();
    resolved.retain(|name| {
        (name.tag.is_some() || !tagged.contains(&name.repository)) && seen.insert(name.clone())
    });
    resolved
}

/// Names that stores give to what has none: empty, a bare digest, Docker's dangling images.
fn is_placeholder(name: &str) -> bool {
    let name = name.strip_prefix("docker.io/library/").unwrap_or(name);
    name.is_empty()
        || name.starts_with("moby-dangling@")
        || crate::image::digest::Digest::parse(name).is_ok_and(|d| d.algorithm().is_some())
}

/// The repository of an image that has none: the base name of its file or folder without archive
/// endings, made legal. `None` when no letter or digit is left.
pub(crate) fn repository_of_path(path: &Path) -> Option<Repository> {
    // `.` and `..` have a name only on disk.
    let absolute = match path.file_name() {
        Some(_) => None,
        None => std::fs::canonicalize(path).ok(),
    };
    let base = absolute.as_deref().unwrap_or(path).file_name()?;
    let name = base.to_string_lossy().to_lowercase();
    Repository::parse(&legal_component(without_endings(&name))).ok()
}

fn without_endings(name: &str) -> &str {
    let mut rest = name;
    while let Some(shorter) = ENDINGS.iter().find_map(|ending| rest.strip_suffix(ending)) {
        if shorter.is_empty() {
            break;
        }
        rest = shorter;
    }
    rest
}

/// `text`, lower-case already, with `-` for each run that a component cannot have.
fn legal_component(text: &str) -> String {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut legal = String::with_capacity(text.len());
    let mut rest = text.trim_matches(|c| !letter(c));
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !letter(c)).unwrap_or(rest.len()));
        let (run, next) = after.split_at(after.find(letter).unwrap_or(after.len()));
        legal.push_str(word);
        if !run.is_empty() {
            legal.push_str(if is_separator(run) { run } else { "-" });
        }
        rest = next;
    }
    legal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    #[test]
    fn annotations_give_names() {
        let dangling = format!("moby-dangling@{}", Digest::of(b""));
        let digest = Digest::of(b"").to_string();
        for (containerd, ref_name, expected) in [
            (None, None, None),
            (None, Some(""), None),
            (Some(dangling.as_str()), None, None),
            (Some(digest.as_str()), Some("1.2"), Some("1.2")),
            (None, Some("1.2"), Some("1.2")),
            (None, Some("nginx:1.2"), Some("docker.io/library/nginx:1.2")),
            (None, Some("a.example/b"), Some("a.example/b")),
            (
                Some("docker.io/library/nginx:1.2"),
                Some("1.2"),
                Some("docker.io/library/nginx:1.2"),
            ),
            (Some("localhost/a/b"), Some("v1"), Some("localhost/a/b:v1")),
            (Some("Not A Name"), Some("v1"), Some("v1")),
            (Some("app:1"), Some("1+2"), Some("docker.io/library/app:1")),
        ] {
            let found = FoundName::from_annotations(containerd, ref_name).unwrap();
            let text = found.map(|name| name.to_string());
            assert_eq!(text.as_deref(), expected, "{containerd:?} {ref_name:?}");
        }
    }

    #[test]
    fn annotations_that_are_no_name_are_told() {
        for (containerd, ref_name, why) in [
            (None, Some("1+2"), "'+' cannot be"),
            (None, Some("Team/App:1"), "must be lower-case"),
            (Some("A B"), None, "must be lower-case"),
            (Some("A/b:"), Some(".x"), "is not a tag"),
        ] {
            let error = FoundName::from_annotations(containerd, ref_name).unwrap_err();
            assert!(error.message().contains(why), "{ref_name:?}: {error}");
        }
    }

    #[test]
    fn a_digest_behind_a_name_is_dropped() {
        let text = format!("nginx@{}", Digest::of(b""));
        let name = FoundName::from_reference(&text).unwrap();
        assert_eq!(name.to_string(), "docker.io/library/nginx");
        assert_eq!(name.tag, None);
    }

    #[test]
    fn names_are_whole_and_each_there_once() {
        let name = |text: &&str| match text.strip_prefix(':') {
            Some(_) => FoundName::from_annotations(None, text.strip_prefix(':'))
                .unwrap()
                .unwrap(),
            None => FoundName::from_reference(text).unwrap(),
        };
        for (names, expected) in [
            (&[][..], &[][..]),
            (&[":1", ":1"], &["1"]),
            (&[":1", "a.io/b"], &["a.io/b:1"]),
            (
                &["a.io/b:1", ":2", "a.io/c"],
                &["a.io/b:1", "a.io/b:2", "a.io/c"],
            ),
            (&["a.io/b:1", "a.io/b", "a.io/b:1"], &["a.io/b:1"]),
            (
                &["nginx", "docker.io/library/nginx"],
                &["docker.io/library/nginx"],
            ),
        ] {
            let names: Vec<FoundName> = names.iter().map(name).collect();
            let found: Vec<String> = resolve(&names).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn files_and_folders_give_names() {
        for (path, expected) in [
            ("app.tar", Some("app")),
            ("/a/b/app.tar.gz", Some("app")),
            ("App.TGZ", Some("app")),
            ("app.oci.tar.zst", Some("app")),
            ("app.docker.tar", Some("app")),
            ("app-1.2.tar", Some("app-1.2")),
            ("layout/", Some("layout")),
            ("dir/layout.oci", Some("layout")),
            ("My App (1).tar", Some("my-app-1")),
            ("a__b_c..d._e--f.tar", Some("a__b_c-d-e--f")),
            ("_app_.tar", Some("app")),
            ("Ärger.tar", Some("rger")),
            (".tar", Some("tar")),
            ("gz.gz", Some("gz")),
            ("-", None),
            ("_", None),
            ("日本.tar", None),
            ("/", None),
        ] {
            let found = repository_of_path(Path::new(path));
            assert_eq!(found.as_ref().map(Repository::as_str), expected, "{path}");
        }
    }

    #[test]
    fn the_folder_one_stands_in_has_a_name_too() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("images/deep");
        std::fs::create_dir_all(&inner).unwrap();
        let name = |path: &Path| repository_of_path(path).unwrap();
        assert_eq!(name(&inner.join("..")).as_str(), "images");
        assert_eq!(name(&inner.join(".")).as_str(), "deep");
    }
}
