//! A group's log: every frame encoded once, read by each member from its own cursor.
//!
//! Positions count encoded bytes since the group began. Small frames are packed into chunks, so that
//! what is pending goes out in one slice; large payloads are held by reference, never copied.

use std::collections::VecDeque;

use bytes::Bytes;
use mles_sansio::{ConnId, Frames};

use crate::websocket;

/// Payloads from this size on are referenced instead of copied: the cost of one more record and
/// write for each recipient is small beside theirs.
const SHARE: usize = 64 * 1024;
/// How far a chunk of packed frames grows.
const PACK: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Log {
    end: u64,
    chunks: VecDeque<Chunk>,
    cuts: VecDeque<Cut>,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Packed(Vec<u8>),
    Shared(Bytes),
}

/// Where a unit of one frame, or of two that belong together, lies, and who does not get it.
#[derive(Clone, Copy, Debug)]
struct Cut {
    start: u64,
    end: u64,
    except: Option<ConnId>,
}

/// Buffers of logs that were read to their end, for the next log that needs one.
#[derive(Debug, Default)]
pub(crate) struct Spares(Vec<Vec<u8>>);

impl Log {
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Appends a unit; gives back where it ends.
    pub(crate) fn append(
        &mut self,
        frames: &Frames,
        except: Option<ConnId>,
        spares: &mut Spares,
    ) -> u64 {
        let start = self.end;
        for frame in frames.iter() {
            let (head, used) = websocket::encode_header(frame.kind, frame.payload.len());
            self.pack(&head[..used], spares);
            if frame.payload.len() < SHARE {
                self.pack(&frame.payload, spares);
            } else {
                self.chunks.push_back(Chunk {
                    start: self.end,
                    data: Data::Shared(frame.payload.clone()),
                });
                self.end += frame.payload.len() as u64;
            }
        }
        let end = self.end;
        self.cuts.push_back(Cut { start, end, except });
        end
    }

    fn pack(&mut self, bytes: &[u8], spares: &mut Spares) {
        let room = |packed: &Vec<u8>| packed.len() + bytes.len() <= PACK;
        match self.chunks.back_mut() {
            Some(Chunk {
                data: Data::Packed(packed),
                ..
            }) if room(packed) => packed.extend_from_slice(bytes),
            Some(_) | None => {
                let mut packed = spares.0.pop().unwrap_or_default();
                packed.extend_from_slice(bytes);
                self.chunks.push_back(Chunk {
                    start: self.end,
                    data: Data::Packed(packed),
                });
            }
        }
        self.end += bytes.len() as u64;
    }

    /// Bytes from `at` on, not beyond `until`: as many as lie in one piece.
    pub(crate) fn slice(&self, at: u64, until: u64) -> &[u8] {
        let after = self.chunks.partition_point(|chunk| chunk.start <= at);
        let Some(chunk) = after.checked_sub(1).and_then(|i| self.chunks.get(i)) else {
            return &[];
        };
        let data = chunk.data.bytes();
        let from = offset(at, chunk.start).min(data.len());
        &data[from..data.len().min(offset(until, chunk.start)).max(from)]
    }

    /// The bytes from `at` to `until` as pieces that outlive the log.
    pub(crate) fn copy(&self, mut at: u64, until: u64) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while at < until {
            let after = self.chunks.partition_point(|chunk| chunk.start <= at);
            let Some(chunk) = after.checked_sub(1).and_then(|i| self.chunks.get(i)) else {
                break;
            };
            let range =
                offset(at, chunk.start)..chunk.data.bytes().len().min(offset(until, chunk.start));
            if range.is_empty() {
                break;
            }
            at += range.len() as u64;
            pieces.push(match &chunk.data {
                Data::Packed(packed) => Bytes::copy_from_slice(&packed[range]),
                Data::Shared(shared) => shared.slice(range),
            });
        }
        pieces
    }

    /// The end of the unit that `at` lies inside of; `at` itself between two units.
    pub(crate) fn unit_end(&self, at: u64) -> u64 {
        let index = self.cuts.partition_point(|cut| cut.end <= at);
        match self.cuts.get(index) {
            Some(cut) if cut.start < at => cut.end,
            Some(_) | None => at,
        }
    }

    /// From `at`, a place between two units, the next stretch that is not kept from `conn`:
    /// its start and its end. Empty at the end of the log.
    pub(crate) fn stretch(&self, at: u64, conn: ConnId) -> (u64, u64) {
        let first = self.cuts.partition_point(|cut| cut.end <= at);
        let mut start = at;
        let mut end = at;
        for cut in self.cuts.range(first..) {
            if cut.except != Some(conn) {
                end = cut.end;
            } else if end == start {
                start = cut.end;
                end = cut.end;
            } else {
                break;
            }
        }
        (start, end)
    }

    /// Forgets what lies wholly before `floor`, a cursor that no member is behind of.
    pub(crate) fn trim(&mut self, floor: u64, spares: &mut Spares) {
        while let Some(chunk) = self.chunks.front() {
            if chunk.start + chunk.data.bytes().len() as u64 > floor {
                break;
            }
            if let Some(Chunk {
                data: Data::Packed(packed),
                ..
            }) = self.chunks.pop_front()
            {
                spares.keep(packed);
            }
        }
        while self.cuts.front().is_some_and(|cut| cut.end <= floor) {
            self.cuts.pop_front();
        }
        if self.cuts.is_empty() && self.cuts.capacity() > CUTS_KEPT {
            self.cuts = VecDeque::new();
        }
    }

    /// Bytes of memory that the log's chunks hold.
    pub(crate) fn held(&self) -> usize {
        let capacity = |chunk: &Chunk| match &chunk.data {
            Data::Packed(packed) => packed.capacity(),
            Data::Shared(shared) => shared.len(),
        };
        self.chunks.iter().map(capacity).sum()
    }
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Packed(packed) => packed,
            Self::Shared(shared) => shared,
        }
    }
}

impl Spares {
    fn keep(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARES && buffer.capacity() <= PACK {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

fn offset(at: u64, start: u64) -> usize {
    usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX)
}

/// Buffers kept for reuse.
const SPARES: usize = 16;
/// Units whose places an idle log keeps room for.
const CUTS_KEPT: usize = 64;
