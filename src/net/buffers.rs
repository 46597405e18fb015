//! The memory of one connection, as ureq wants it.
//!
//! It comes zeroed from the system and takes up room only where it is written: what goes out of files by
//! itself is never here, and on many a connection there is nothing but heads.

use ureq::unversioned::transport::Buffers;

/// Also the largest header of an answer.
pub(super) const INPUT: usize = 16 << 10;
const OUTPUT: usize = 128 << 10;

/// For the part of a payload that is about to be framed as a chunk.
const CHUNK: usize = 64 << 10;

/// Nothing is allocated before it is asked for.
#[derive(Debug, Default)]
pub(super) struct WireBuffers {
    /// First [`OUTPUT`], then [`CHUNK`] bytes.
    sending: Vec<u8>,
    input: Vec<u8>,
    /// What has arrived and was not consumed is `input[consumed..filled]`.
    consumed: usize,
    filled: usize,
    /// Something was consumed the last time: what is left may be of use by itself.
    progress: bool,
}

impl WireBuffers {
    fn sending(&mut self) -> (&mut [u8], &mut [u8]) {
        if self.sending.is_empty() {
            self.sending = vec![0; OUTPUT + CHUNK];
        }
        self.sending.split_at_mut(OUTPUT)
    }
}

impl Buffers for WireBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.sending().0
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    /// Empty when [`INPUT`] bytes wait to be consumed.
    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.input.is_empty() {
            self.input = vec![0; INPUT];
        }
        if self.consumed > 0 {
            self.input.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled = self.input.len().min(self.filled + amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.consumed = self.filled.min(self.consumed + amount);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let (output, chunk) = self.sending();
        (chunk, output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.consumed < self.filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(buffers: &mut WireBuffers, bytes: &[u8]) {
        buffers.input_append_buf()[..bytes.len()].copy_from_slice(bytes);
        buffers.input_appended(bytes.len());
    }

    #[test]
    fn what_was_not_consumed_stays_in_order() {
        let mut buffers = WireBuffers::default();
        append(&mut buffers, b"abcdef");
        assert!(!buffers.can_use_input());
        buffers.input_consume(4);
        assert!(buffers.can_use_input());
        append(&mut buffers, b"gh");
        assert_eq!(buffers.input(), b"efgh");
        buffers.input_consume(0);
        assert!(!buffers.can_use_input());
        buffers.input_consume(4);
        assert!(!buffers.can_use_input() && buffers.input().is_empty());
        assert_eq!(buffers.input_append_buf().len(), INPUT);
    }

    #[test]
    fn there_is_no_room_beyond_the_largest_header() {
        let mut buffers = WireBuffers::default();
        append(&mut buffers, &[b'x'; INPUT]);
        assert!(buffers.input_append_buf().is_empty());
        buffers.input_consume(10);
        assert_eq!(buffers.input_append_buf().len(), 10);
    }

    #[test]
    fn an_answer_that_came_early_leaves_room_for_chunks() {
        let mut buffers = WireBuffers::default();
        append(&mut buffers, &[b'x'; INPUT]);
        let (chunk, output) = buffers.tmp_and_output();
        assert_eq!((chunk.len(), output.len()), (CHUNK, OUTPUT));
    }
}
