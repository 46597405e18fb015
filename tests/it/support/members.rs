//! Any tar file, good or wrong on purpose, written member by member.

use std::fs;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// A tar file that is being written; the same members give the same bytes.
pub(crate) struct Members(Builder<Vec<u8>>);

impl Members {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Everything in a folder, sorted by name, as containerd writes it.
    pub(crate) fn of_folder(dir: &Path) -> Self {
        let mut members = Self::new();
        let mut names = Vec::new();
        list(dir, "", &mut names);
        names.sort();
        for name in names {
            members.file(&name, &fs::read(dir.join(&name)).unwrap());
        }
        members
    }

    /// A regular file; a long name is written as GNU tar does.
    pub(crate) fn file(&mut self, name: &str, bytes: &[u8]) {
        let mut header = header(EntryType::Regular, bytes.len() as u64);
        self.0.append_data(&mut header, name, bytes).unwrap();
    }

    pub(crate) fn symlink(&mut self, name: &str, target: &str) {
        let mut header = header(EntryType::Symlink, 0);
        self.0.append_link(&mut header, name, target).unwrap();
    }

    pub(crate) fn hard_link(&mut self, name: &str, target: &str) {
        let mut header = header(EntryType::Link, 0);
        self.0.append_link(&mut header, name, target).unwrap();
    }

    /// A member whose name is written as it is, up to 100 bytes, legal or not.
    pub(crate) fn raw(&mut self, kind: EntryType, name: &[u8], bytes: &[u8]) {
        self.raw_sized(kind, name, bytes, bytes.len() as u64);
    }

    /// Like [`Members::raw`], with a header that claims `size` bytes.
    pub(crate) fn raw_sized(&mut self, kind: EntryType, name: &[u8], bytes: &[u8], size: u64) {
        let mut header = header(kind, size);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
    }

    /// A header as it is, with what follows it.
    pub(crate) fn header(&mut self, header: &Header, blocks: &[u8]) {
        self.0.append(header, blocks).unwrap();
    }

    /// A PAX header with these records for the member that follows.
    pub(crate) fn pax(&mut self, records: &[(&str, &str)]) {
        let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
        self.0.append_pax_extensions(records).unwrap();
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    pub(crate) fn write(self, path: &Path) {
        fs::write(path, self.into_bytes()).unwrap();
    }
}

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header
}

fn list(dir: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}
