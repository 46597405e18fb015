//! Files of open uploads.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::time::SystemTime;

use tempfile::TempDir;

use crate::image::reference::Repository;
use crate::push::state::document::{Document, Read};
use crate::registry::sessions::Upload;
use crate::soak::{Outcome, Target};

/// What is asked for.
const SIZE: u64 = 1000;

pub(in crate::push) fn target() -> Target {
    let example = r#"{"version":1,"registry":"r.example","repository":"a/b","content":"sha256:x","size":1000,"location":"/v2/a/b/blobs/uploads/1?_state=x","held":7,"least":5,"written":1800000000}"#;
    let made = example.replace(
        r#""written""#,
        r#""made":{"digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":9},"written""#,
    );
    let words = "\"version\":1 \"version\":2 \"held\": \"least\": \"size\": \"location\": \"content\": \"registry\": \
        \"repository\": \"written\": 1000 1001 18446744073709551615";
    let folder: OnceCell<TempDir> = OnceCell::new();
    Target::new("file of an upload", [example, &made], move |input| {
        let folder = folder.get_or_init(|| tempfile::tempdir().unwrap());
        let path = folder.path().join("upload");
        fs::write(&path, input).unwrap();
        read(&File::open(path).unwrap())
    })
    .words(words.split(' '))
}

fn read(file: &File) -> Outcome {
    let upload = Upload {
        registry: "r.example",
        repository: &Repository::parse("a/b").unwrap(),
        content: "sha256:x",
        size: Some(SIZE),
    };
    let mut document = Document::of(&upload);
    match document.read(file) {
        Read::Left(session) => {
            assert!(session.held <= SIZE);
            document.take(&session, SystemTime::UNIX_EPOCH);
            assert_eq!(again(&document), Read::Left(session));
            Outcome::accepted()
        }
        Read::Nothing => Outcome::refused("nothing is there"),
        Read::Later => Outcome::refused("a later version has written it"),
        Read::Bad(why) => Outcome::refused(why),
    }
}

/// Written and read once more.
fn again(document: &Document) -> Read {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &document.to_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    document.read(&file)
}
