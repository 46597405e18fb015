//! The small documents of a compressed archive, kept from the first pass: manifests, configs, lists.
//!
//! Which members are manifests is known only at the end, so all that look like JSON are kept; when
//! they are too many the largest ones go first, which are the SBOMs and attestations.

use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use crate::image::oci::MAX_LIST;

/// The largest document that is kept, in bytes.
pub(super) const MAX_DOCUMENT: u64 = MAX_LIST;

/// Bytes of all that is kept while the archive is looked into.
const MAX_LOOKING: usize = 24 << 20;

/// Bytes that stay for the push, so that configs need not be decoded for. There may be very many
/// archives in one push.
const MAX_STAYING: usize = 1 << 20;

/// Members that are remembered: more than the index of an archive takes.
const MAX_MEMBERS: usize = 128 << 10;

/// What tells the compression of a layer.
pub(super) const HEAD: usize = 8;

/// By the position of the member's content.
#[derive(Default)]
pub(super) struct Documents {
    members: HashMap<u64, Member>,
    /// The kept ones, largest first.
    sizes: BinaryHeap<(usize, u64)>,
    total: usize,
}

enum Member {
    Whole(Arc<[u8]>),
    Head {
        bytes: Box<[u8]>,
        /// Whether it was left out for others.
        crowded: bool,
    },
}

impl Documents {
    /// Whether content of this beginning and size is to be kept whole.
    pub(super) fn wants(head: &[u8], size: u64) -> bool {
        let first = head.trim_ascii_start().first();
        size <= MAX_DOCUMENT && matches!(first, Some(b'{' | b'['))
    }

    pub(super) fn keep(&mut self, at: u64, bytes: Vec<u8>) {
        if self.members.len() >= MAX_MEMBERS {
            return;
        }
        self.total += bytes.len();
        self.sizes.push((bytes.len(), at));
        self.members.insert(at, Member::Whole(bytes.into()));
        self.reduce_to(MAX_LOOKING);
    }

    pub(super) fn keep_head(&mut self, at: u64, head: &[u8]) {
        if self.members.len() < MAX_MEMBERS {
            let bytes = head.into();
            let crowded = false;
            self.members.insert(at, Member::Head { bytes, crowded });
        }
    }

    /// To what may stay when the archive has been looked into.
    pub(super) fn reduce(&mut self) {
        self.reduce_to(MAX_STAYING);
        self.members
            .retain(|_, member| matches!(member, Member::Whole(_)));
        self.members.shrink_to_fit();
        self.sizes.shrink_to_fit();
    }

    fn reduce_to(&mut self, most: usize) {
        while self.total > most {
            let Some((size, at)) = self.sizes.pop() else {
                return;
            };
            self.total -= size;
            if let Some(member) = self.members.get_mut(&at) {
                member.leave_out();
            }
        }
    }

    pub(super) fn whole(&self, at: u64) -> Option<Arc<[u8]>> {
        match self.members.get(&at)? {
            Member::Whole(bytes) => Some(Arc::clone(bytes)),
            Member::Head { .. } => None,
        }
    }

    /// The first bytes of a member, and an error behind them.
    pub(super) fn beginning(&self, at: u64) -> io::Result<Box<dyn Read + Send>> {
        let (bytes, why) = match self.members.get(&at) {
            Some(Member::Head { bytes, crowded }) => {
                let why = if *crowded {
                    "the archive has more than 24 MiB of documents, too many to keep of a compressed one: decompress it first"
                } else {
                    "it is no JSON document"
                };
                (bytes.to_vec(), why)
            }
            Some(Member::Whole(bytes)) => return Ok(Box::new(io::Cursor::new(Arc::clone(bytes)))),
            None => (Vec::new(), "the archive has too many members"),
        };
        Ok(Box::new(io::Cursor::new(bytes).chain(Refusal(why))))
    }
}

impl Member {
    fn leave_out(&mut self) {
        if let Self::Whole(bytes) = self {
            let bytes = bytes.iter().take(HEAD).copied().collect();
            let crowded = true;
            *self = Self::Head { bytes, crowded };
        }
    }
}

struct Refusal(&'static str);

impl Read for Refusal {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(documents: &Documents, at: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut reader = documents.beginning(at).unwrap();
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(format!("{} bytes, {error}", bytes.len())),
        }
    }

    #[test]
    fn what_looks_like_json_is_wanted() {
        for (head, size, wanted) in [
            (b"{\"a\":1}".as_slice(), 7, true),
            (b"\n [1]", 5, true),
            (b"", 0, false),
            (b"\x1f\x8b{", 3, false),
            (b"{", MAX_DOCUMENT, true),
            (b"{", MAX_DOCUMENT + 1, false),
        ] {
            assert_eq!(Documents::wants(head, size), wanted, "{head:?} {size}");
        }
    }

    #[test]
    fn the_largest_goes_first_when_there_is_too_much() {
        let mut documents = Documents::default();
        documents.keep(0, b"{}".to_vec());
        documents.keep(1, vec![b'['; MAX_LOOKING / 2]);
        documents.keep(2, vec![b'{'; MAX_LOOKING / 2 - 2]);
        assert!((0..3).all(|at| documents.whole(at).is_some()));
        documents.keep(3, b"{}".to_vec());
        assert!(documents.whole(1).is_none());
        assert!([0, 2, 3].iter().all(|at| documents.whole(*at).is_some()));
        assert!(
            all(&documents, 1)
                .unwrap_err()
                .starts_with("8 bytes, the archive has more")
        );
        assert_eq!(all(&documents, 0).unwrap(), b"{}");
        documents.keep_head(4, b"plain");
        assert_eq!(
            all(&documents, 4).unwrap_err(),
            "5 bytes, it is no JSON document"
        );
        documents.reduce();
        assert!(documents.whole(2).is_none());
        assert!(documents.whole(0).is_some());
    }
}
