//! Archives that are compressed as a whole with gzip or zstd, read without a copy of what is in them.
//!
//! One pass decodes everything, indexes it and keeps the small documents (manifests, configs). After
//! that, blobs are read through a decoder that only goes forward: it is handed from reader to reader,
//! going on where the last one stopped. Who wants what lies behind it, or comes while another reads,
//! gets a decoder of its own that begins at the start: slower, never wrong, and nobody waits.

mod decoder;
mod documents;
mod frame;
mod idle;
mod pass;

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::archive::{Archive, no_files};
use crate::image::error::{ErrorKind, ImageError};
use crate::image::file::SourceFile;
use crate::image::found::{Found, Watch};
use crate::image::magic;
use crate::image::packed::decoder::Decoder;
pub(crate) use crate::image::packed::decoder::Form;
use crate::image::packed::documents::Documents;
use crate::image::packed::pass::Forward;
use crate::image::source::{Content, Image, Place, Source, Stored};
use crate::image::tar_index::TarIndex;

/// The largest zstd window that is read: what `zstd --long=27` makes.
const MAX_WINDOW_LOG: u32 = 27;
const MAX_WINDOW: u64 = 1 << MAX_WINDOW_LOG;

/// Windows up to here are what the levels of zstd make; larger ones are announced.
const USUAL_WINDOW: u64 = 8 << 20;

/// The images of a compressed archive.
pub(crate) fn read(file: SourceFile, form: Form, watch: Watch<'_>) -> Result<Found, ImageError> {
    let path = file.path().to_path_buf();
    let unreadable = |error: io::Error| ImageError::unreadable(&path, &error);
    let window = window(&file, form)?;
    let decoder = Decoder::new(&file, form, window).map_err(unreadable)?;
    let mut forward = Forward::new(decoder, &file, watch);
    let index = TarIndex::read(&mut forward, watch.stopped).map_err(unreadable)?;
    let passed = forward.into_passed();
    let Some(index) = index else {
        let message = no_archive(form, &passed);
        return Err(ImageError::new(ErrorKind::NotAnImage, &path, message));
    };
    let source = Arc::new(Packed {
        file,
        form,
        window,
        documents: Mutex::new(passed.documents),
        looking: AtomicBool::new(true),
        last: AtomicU64::new(u64::MAX),
        tag: idle::Tag::new(),
    });
    let mut found =
        Archive::new(Arc::clone(&source) as Arc<dyn Source>, index, watch.stopped).images()?;
    source.settle(&found);
    if window > USUAL_WINDOW && !found.images.is_empty() {
        let message = format!(
            "is compressed with a window of {} MiB: reading it takes as much memory",
            window >> 20
        );
        found.warnings.push(ImageError::broken(&path, message));
    }
    Ok(found)
}

/// How much of what was decoded a decoder must remember, in bytes.
fn window(file: &SourceFile, form: Form) -> Result<u64, ImageError> {
    let Form::Zstd = form else {
        return Ok(32 << 10);
    };
    let path = file.path();
    let open = file.file();
    let window = open.and_then(|open| frame::first_window(&open));
    match window.map_err(|error| ImageError::unreadable(path, &error))? {
        Some(window) if window > MAX_WINDOW => {
            let message = format!(
                "is compressed with a window of {} MiB, and none above {} MiB is read: compress it \
                 with zstd --long={MAX_WINDOW_LOG} or less",
                window >> 20,
                MAX_WINDOW >> 20
            );
            Err(ImageError::new(ErrorKind::Unsupported, path, message))
        }
        Some(window) => Ok(window),
        None => {
            let message = "begins like a zstd file and has no frame of one";
            Err(ImageError::new(ErrorKind::NotAnImage, path, message))
        }
    }
}

fn no_archive(form: Form, passed: &pass::Passed) -> String {
    let form = form.name();
    if let Some(damage) = &passed.damage {
        return format!("is compressed with {form} and cannot be read: {damage}");
    }
    match magic::compression(&passed.head) {
        Some(inner) => format!(
            "is a {inner} file compressed once more with {form}, which is not looked into: decompress it first"
        ),
        None => format!("is compressed with {form}, and what is in it is no archive"),
    }
}

/// A compressed archive as a source of bytes. Places are positions in what it decompresses to.
struct Packed {
    file: SourceFile,
    form: Form,
    window: u64,
    documents: Mutex<Documents>,
    /// Whether it is still being looked into: then only what was kept may be read, or each of
    /// thousands of documents could cost a decoding of everything.
    looking: AtomicBool,
    /// Where the last blob of an image ends: a decoder that is there has done its work.
    last: AtomicU64,
    tag: idle::Tag,
}

impl Packed {
    fn documents(&self) -> MutexGuard<'_, Documents> {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// It has been looked into, and these are its images.
    fn settle(&self, found: &Found) {
        let ends = found.images.iter().flat_map(stored).map(end);
        self.last
            .store(ends.max().unwrap_or_default(), Ordering::Relaxed);
        self.looking.store(false, Ordering::Relaxed);
        self.documents().reduce();
    }

    /// A decoder that stands at `at`.
    fn decoder(&self, at: u64) -> io::Result<Decoder> {
        let mut decoder = match self.tag.take(at) {
            Some(decoder) => decoder,
            None => Decoder::new(&self.file, self.form, self.window)?,
        };
        if decoder.skip_to(at, &mut |_| Ok(()))? < at {
            let message = "the file ends earlier than when it was looked into";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(decoder)
    }
}

impl Source for Packed {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn open(&self, place: &Place, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let Place::Extent { offset: start } = place else {
            return Err(no_files());
        };
        if let Some(bytes) = self.documents().whole(*start) {
            let mut cursor = Cursor::new(bytes);
            cursor.set_position(offset);
            return Ok(Box::new(cursor));
        }
        if self.looking.load(Ordering::Relaxed) {
            return self.documents().beginning(*start);
        }
        Ok(Box::new(Borrowed {
            decoder: Some(self.decoder(start.saturating_add(offset))?),
            last: self.last.load(Ordering::Relaxed),
            tag: self.tag.clone(),
        }))
    }

    fn is_sequential(&self) -> bool {
        true
    }
}

/// All bytes that pushing `image` may read.
fn stored(image: &Image) -> Vec<&Stored> {
    match &image.content {
        Content::Found(tree) => {
            let nodes = tree.nodes.iter();
            let blobs = nodes.flat_map(|node| node.blobs.iter().chain(&node.foreign));
            blobs.map(|(_, stored)| stored).collect()
        }
        Content::Made(parts) => parts.layers.iter().map(|layer| &layer.stored).collect(),
    }
}

fn end(stored: &Stored) -> u64 {
    use crate::image::source::Body as _;
    match stored.place() {
        Place::Extent { offset } => offset.saturating_add(stored.size()),
        Place::Blob(_) | Place::Inline(_) | Place::Elsewhere => 0,
    }
}

/// A reader that gives its decoder back, wherever it stands then.
struct Borrowed {
    /// Always there, until dropped or failed.
    decoder: Option<Decoder>,
    last: u64,
    tag: idle::Tag,
}

impl Read for Borrowed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else {
            return Err(io::Error::other("reading has failed before"));
        };
        let result = decoder.read(buf);
        if result.is_err() {
            self.decoder = None;
        }
        result
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let decoder = self.decoder.take();
        if let Some(decoder) = decoder.filter(|decoder| decoder.position() < self.last) {
            self.tag.put(decoder);
        }
    }
}
