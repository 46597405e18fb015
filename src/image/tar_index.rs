//! Which member of a tar file lies where, found out in one pass over its headers.
//!
//! Nothing is unpacked, and a name from the archive never reaches the file system: names are keys. Of
//! two members with one name the last counts, as it does for `tar` and `docker load`; what is named by
//! digest is checked by digest anyway. Memory is bounded whatever the file says.
//!
//! POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic
//! Tar Format".

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use tar::{EntryType, GnuExtSparseHeader, Header};

const BLOCK: u64 = 512;

/// The largest extended header (long name, PAX records) that is read: Go's archive/tar has the same.
const MAX_EXTENSION: u64 = 1 << 20;

/// Bytes of memory that the index may take: some 80,000 members with usual names.
const MAX_WEIGHT: usize = 16 << 20;

/// Links that are followed from one name before it counts as a loop.
const MAX_LINKS: usize = 16;

#[derive(Default)]
pub(crate) struct TarIndex {
    members: HashMap<Box<[u8]>, Member>,
    weight: usize,
    outside: usize,
    damage: Option<String>,
}

/// Where the content of a member lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

enum Member {
    File(Extent),
    /// Relative to the folder it is in.
    Symlink(Box<[u8]>),
    /// Relative to the root of the archive.
    HardLink(Box<[u8]>),
    /// Why it cannot be used, as the end of a sentence.
    Unusable(&'static str),
}

impl TarIndex {
    /// Reads all headers; `None` when it does not begin as a tar file does.
    ///
    /// What is damaged further on gives what was found before, and [`TarIndex::damage`].
    ///
    /// # Errors
    /// Those of reading; [`io::ErrorKind::Interrupted`] once `stopped` says true.
    pub(crate) fn read(
        tape: &mut impl Tape,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<Option<Self>> {
        let mut scan = Scan {
            tape,
            stopped,
            position: 0,
            recognised: false,
            overrides: Overrides::default(),
            index: Self::default(),
        };
        match scan.run() {
            Ok(()) => {}
            Err(Stop::Read(error)) => return Err(error),
            Err(Stop::Damage(what)) => scan.index.damage = Some(what),
        }
        let Scan {
            recognised, index, ..
        } = scan;
        Ok(recognised.then_some(index))
    }

    /// Where the content of the member `name` lies, links followed; `None` when there is none. The
    /// error ends a sentence that begins with the name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Extent>, String> {
        let mut name = member_name(name.as_bytes()).ok_or(LEADS_OUT)?;
        for _ in 0..=MAX_LINKS {
            match self.members.get(name.as_slice()) {
                None if self.is_full() => {
                    return Err("was not looked for: the archive has too many members".into());
                }
                None => return Ok(None),
                Some(Member::File(extent)) => return Ok(Some(*extent)),
                Some(Member::Unusable(why)) => return Err((*why).into()),
                Some(Member::Symlink(target)) => {
                    let folder = name.iter().rposition(|&b| b == b'/').unwrap_or(0);
                    name = resolve(target, &name[..folder]).ok_or(LINK_LEADS_OUT)?;
                }
                Some(Member::HardLink(target)) => {
                    name = resolve(target, &[]).ok_or(LINK_LEADS_OUT)?;
                }
            }
        }
        Err("is a link that leads in a circle".into())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name.as_bytes())
    }

    /// Whether there are members in the folder `prefix`, which ends in a slash.
    pub(crate) fn has_below(&self, prefix: &str) -> bool {
        let prefix = prefix.as_bytes();
        self.members.keys().any(|name| name.starts_with(prefix))
    }

    /// What is wrong with the file as a tar file, if anything: it is cut off, or a header is none.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// How many members were left out because their names are absolute or lead upwards.
    pub(crate) fn outside(&self) -> usize {
        self.outside
    }

    /// Whether members have the names that archives have.
    pub(crate) fn holds_archives(&self) -> bool {
        let endings = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".oci"].map(str::as_bytes);
        let is_archive = |name: &[u8]| endings.iter().any(|ending| name.ends_with(ending));
        self.members.keys().any(|name| is_archive(name))
    }

    /// Whether members have the names that tools give to the parts of images.
    pub(crate) fn looks_like_images(&self) -> bool {
        self.members.keys().any(|name| is_part_of_image(name))
    }

    /// Of all members that can be read.
    #[cfg(test)]
    pub(crate) fn extents(&self) -> Vec<Extent> {
        let extent = |member: &Member| match member {
            Member::File(extent) => Some(*extent),
            _ => None,
        };
        self.members.values().filter_map(extent).collect()
    }

    fn is_full(&self) -> bool {
        self.weight > MAX_WEIGHT
    }

    fn insert(&mut self, name: &[u8], member: Member) {
        let Some(name) = member_name(name) else {
            self.outside += 1;
            return;
        };
        let link = match &member {
            Member::Symlink(target) | Member::HardLink(target) => target.len(),
            Member::File(_) | Member::Unusable(_) => 0,
        };
        self.weight = self.weight.saturating_add(name.len() + link + 128);
        let is_root = matches!(
            name.as_slice(),
            b"manifest.json" | b"index.json" | b"oci-layout"
        );
        if is_root || !self.is_full() {
            self.members.insert(name.into(), member);
        }
    }
}

const LEADS_OUT: &str = "is a name that leads out of the archive";
const LINK_LEADS_OUT: &str = "is a link that leads out of the archive";
const SPARSE: &str = "is stored as a sparse file, which cannot be read in place";
const CUT: &str = "reaches behind the end of the file";

/// `name` without empty and `.` components; `None` when it is absolute or has `..` in it.
fn member_name(name: &[u8]) -> Option<Vec<u8>> {
    let leads_up = name.split(|&b| b == b'/').any(|part| part == b"..");
    if leads_up { None } else { resolve(name, &[]) }
}

/// What a link in `folder` points to; `None` when that is outside the archive.
fn resolve(target: &[u8], folder: &[u8]) -> Option<Vec<u8>> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in folder
        .split(|&b| b == b'/')
        .chain(target.split(|&b| b == b'/'))
    {
        match part {
            b"" | b"." => {}
            b".." => {
                kept.pop()?;
            }
            part => kept.push(part),
        }
    }
    Some(kept.join(&b'/'))
}

fn is_part_of_image(name: &[u8]) -> bool {
    let is_id = |text: &[u8]| text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit);
    let hex_before = |ending: &[u8]| name.strip_suffix(ending).is_some_and(is_id);
    let folder = name.split(|&b| b == b'/').next().unwrap_or_default();
    matches!(name, b"oci-layout" | b"repositories")
        || name.starts_with(b"blobs/sha256/")
        || name.strip_prefix(b"sha256:").is_some_and(is_id)
        || is_id(folder)
        || [b".json".as_slice(), b".tar", b".tar.gz"]
            .into_iter()
            .any(hex_before)
}

/// What a pass goes over: each call asks for what lies at or behind what the one before asked for.
/// [`io::ErrorKind::InvalidData`] says that bytes cannot be had because the file is damaged.
pub(crate) trait Tape {
    /// Reads what lies at position `at`: all that `bytes` takes, fewer only where the tape ends.
    fn fill(&mut self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// Goes over the content of a member, and on to position `end`. The length of the tape when it
    /// ends before that.
    fn pass(&mut self, content: Extent, end: u64) -> io::Result<Result<(), u64>>;

    /// The end mark has been seen.
    fn finish(&mut self) -> io::Result<()>;
}

/// A file that may be read anywhere.
pub(crate) struct Positions<'a> {
    file: &'a File,
    length: u64,
}

impl<'a> Positions<'a> {
    pub(crate) fn new(file: &'a File, length: u64) -> Self {
        Self { file, length }
    }
}

impl Tape for Positions<'_> {
    fn fill(&mut self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let most = left.min(bytes.len());
        self.file.read_exact_at(&mut bytes[..most], at)?;
        Ok(most)
    }

    fn pass(&mut self, _: Extent, end: u64) -> io::Result<Result<(), u64>> {
        Ok(if end <= self.length {
            Ok(())
        } else {
            Err(self.length)
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The pass over the headers.
struct Scan<'a, T> {
    tape: &'a mut T,
    stopped: &'a dyn Fn() -> bool,
    /// Of the next header.
    position: u64,
    /// Whether there was a header at all.
    recognised: bool,
    overrides: Overrides,
    index: TarIndex,
}

/// What extended headers say about the member that follows.
#[derive(Default)]
struct Overrides {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

enum Stop {
    Read(io::Error),
    Damage(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Damage(error.to_string()),
            _ => Self::Read(error),
        }
    }
}

impl<T: Tape> Scan<'_, T> {
    fn run(&mut self) -> Result<(), Stop> {
        while let Some(header) = self.next_header()? {
            let data = self.position + BLOCK;
            let kind = header.entry_type();
            let size = self.data_size(&header)?;
            let end = size
                .checked_next_multiple_of(BLOCK)
                .and_then(|padded| data.checked_add(padded))
                .ok_or_else(|| self.damaged("gives an impossible size"))?;
            let extent = Extent { offset: data, size };
            if is_extension(kind) {
                self.read_extension(kind, extent)?;
                self.position = end;
                continue;
            }
            let moved = self.skip_sparse_map(&header)?;
            let end = end.saturating_add(moved);
            let passed = self.tape.pass(extent, end);
            self.remember(&header, extent, matches!(passed, Ok(Ok(()))));
            self.position = end;
            if let Err(length) = passed? {
                return Err(Stop::Damage(format!(
                    "it ends after {length} bytes, in the middle of a member that reaches to byte {end}"
                )));
            }
        }
        Ok(self.tape.finish()?)
    }

    /// The header at `position`; `None` at the end of the archive.
    fn next_header(&mut self) -> Result<Option<Header>, Stop> {
        if (self.stopped)() {
            return Err(Stop::Read(io::ErrorKind::Interrupted.into()));
        }
        let mut header = Header::new_old();
        match self.tape.fill(header.as_mut_bytes(), self.position)? as u64 {
            0 => return Err(Stop::Damage("it ends without an end mark".into())),
            BLOCK => {}
            _ => return Err(self.damaged("is cut off")),
        }
        if header.as_bytes().iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let (before, after) = (&header.as_bytes()[..148], &header.as_bytes()[156..]);
        let sum: u32 = before.iter().chain(after).map(|&b| u32::from(b)).sum();
        let blanks = 8 * u32::from(b' ');
        if header.cksum().ok() != Some(sum + blanks) {
            return Err(self.damaged("does not have its checksum"));
        }
        self.recognised = true;
        Ok(Some(header))
    }

    /// Bytes of content behind the header. Links, devices and folders have none, whatever they claim.
    fn data_size(&self, header: &Header) -> Result<u64, Stop> {
        let kind = header.entry_type();
        let has_none = kind.is_symlink()
            || kind.is_hard_link()
            || kind.is_dir()
            || kind.is_character_special()
            || kind.is_block_special()
            || kind.is_fifo();
        if has_none {
            return Ok(0);
        }
        if let Some(size) = self.overrides.size.filter(|_| !is_extension(kind)) {
            return Ok(size);
        }
        header
            .entry_size()
            .map_err(|_| self.damaged("gives an impossible size"))
    }

    fn read_extension(&mut self, kind: EntryType, extent: Extent) -> Result<(), Stop> {
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        if extent.size > MAX_EXTENSION {
            return Err(self.damaged("has an extension of more than 1 MiB"));
        }
        let mut bytes = vec![0; usize::try_from(extent.size).unwrap_or_default()];
        self.read_block(extent.offset, &mut bytes)?;
        if kind.is_pax_local_extensions() {
            return self.read_pax(&bytes);
        }
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        let place = match kind {
            EntryType::GNULongName => &mut self.overrides.name,
            _ => &mut self.overrides.link,
        };
        *place = Some(bytes);
        Ok(())
    }

    /// The `tar` crate splits records at line ends, which values may hold; so they are taken by
    /// their lengths here.
    fn read_pax(&mut self, mut records: &[u8]) -> Result<(), Stop> {
        while !records.is_empty() {
            let (record, rest) =
                split_record(records).ok_or_else(|| self.damaged("has bad PAX records"))?;
            records = rest;
            let (key, value) = record;
            match key {
                // A sparse member's `path` is made up, its own name is in `GNU.sparse.name`.
                b"path" if self.overrides.sparse => {}
                b"path" | b"GNU.sparse.name" => self.overrides.name = Some(value.into()),
                b"linkpath" => self.overrides.link = Some(value.into()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|s| s.parse().ok());
                    let size = size.ok_or_else(|| self.damaged("gives an impossible size"))?;
                    self.overrides.size = Some(size);
                }
                _ => {}
            }
            self.overrides.sparse |= key.starts_with(b"GNU.sparse.");
        }
        Ok(())
    }

    /// Steps over the blocks that the map of a GNU sparse member may go on in; returns their length.
    fn skip_sparse_map(&mut self, header: &Header) -> Result<u64, Stop> {
        if !header.entry_type().is_gnu_sparse() {
            return Ok(0);
        }
        self.overrides.sparse = true;
        let mut more = header.as_gnu().is_some_and(|gnu| gnu.is_extended());
        let mut length = 0;
        while more {
            let mut block = GnuExtSparseHeader::new();
            let at = self.position + BLOCK + length;
            self.read_block(at, block.as_mut_bytes())?;
            more = block.is_extended();
            length += BLOCK;
        }
        Ok(length)
    }

    fn remember(&mut self, header: &Header, extent: Extent, fits: bool) {
        let overrides = std::mem::take(&mut self.overrides);
        let kind = header.entry_type();
        let link = || {
            let own = || header.link_name_bytes().unwrap_or_default().into_owned();
            overrides.link.unwrap_or_else(own).into()
        };
        let member = match kind {
            EntryType::Directory => return,
            _ if overrides.sparse => Member::Unusable(SPARSE),
            _ if !fits => Member::Unusable(CUT),
            EntryType::Regular | EntryType::Continuous => Member::File(extent),
            EntryType::Symlink => Member::Symlink(link()),
            EntryType::Link => Member::HardLink(link()),
            _ => Member::Unusable("is no regular file"),
        };
        let name = overrides.name;
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        self.index.insert(&name, member);
    }

    fn read_block(&mut self, at: u64, block: &mut [u8]) -> Result<(), Stop> {
        if self.tape.fill(block, at)? < block.len() {
            return Err(self.damaged("is cut off"));
        }
        Ok(())
    }

    fn damaged(&self, what: &str) -> Stop {
        Stop::Damage(format!("the tar header at byte {} {what}", self.position))
    }
}

fn is_extension(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

type Record<'a> = (&'a [u8], &'a [u8]);

/// Key and value of the first record (`LENGTH KEY=VALUE\n`), and what follows it.
fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let blank = records.iter().position(|&b| b == b' ')?;
    let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
    let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    Some((
        (&record[..equals], &record[equals + 1..]),
        &records[length..],
    ))
}
