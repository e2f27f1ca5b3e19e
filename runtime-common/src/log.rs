//! A group's log: every frame encoded once, read by each member from its own cursor.
//!
//! Positions count encoded bytes since the group began. Small frames are packed into chunks, so that
//! what is pending goes out in one slice; large payloads are held by reference, never copied.

use std::collections::VecDeque;
use std::ops::Range;

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
    /// Where the first of `cuts` begins.
    floor: u64,
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

/// Where a unit of one frame, or of two that belong together, ends, and who does not get it. Small:
/// there may be a million of them for tiny frames.
#[derive(Clone, Copy, Debug)]
struct Cut {
    end: u64,
    except: ConnId,
}

/// Buffers of logs that were read to their end, for the next log that needs one: a turn may write to
/// hundreds of logs, and growing each anew is what most of its allocations would be.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    buffers: Vec<Vec<u8>>,
    /// What they hold.
    bytes: usize,
}

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
        let (end, except) = (self.end, except.unwrap_or(NOBODY));
        self.cuts.push_back(Cut { end, except });
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
                let mut packed = spares.take();
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

    /// From `at` on, everything can be had without a copy.
    pub(crate) fn freeze(&mut self, at: u64) {
        let first = self.chunks.partition_point(|chunk| chunk.start <= at);
        for chunk in self.chunks.range_mut(first.saturating_sub(1)..) {
            if let Data::Packed(packed) = &mut chunk.data {
                chunk.data = Data::Shared(std::mem::take(packed).into());
            }
        }
    }

    /// The end of the unit that `at` lies inside of; `at` itself between two units.
    pub(crate) fn unit_end(&self, at: u64) -> u64 {
        let index = self.first_cut(at);
        match self.cuts.get(index) {
            Some(cut) if self.cut_start(index) < at => cut.end,
            Some(_) | None => at,
        }
    }

    /// The units from `at` on that are not kept from `conn`; the first is what is left of it, if `at`
    /// lies inside.
    pub(crate) fn units(&self, at: u64, conn: ConnId) -> impl Iterator<Item = Range<u64>> {
        let mut start = at;
        self.cuts
            .range(self.first_cut(at)..)
            .filter_map(move |cut| {
                let unit = std::mem::replace(&mut start, cut.end)..cut.end;
                (cut.except != conn).then_some(unit)
            })
    }

    /// From `at`, a place between two units, the next stretch that is not kept from `conn`:
    /// its start and its end. Empty at the end of the log; not much longer than one slice can be.
    pub(crate) fn stretch(&self, at: u64, conn: ConnId) -> (u64, u64) {
        let mut start = at;
        let mut end = at;
        for cut in self.cuts.range(self.first_cut(at)..) {
            if cut.except != conn {
                end = cut.end;
            } else if end == start {
                start = cut.end;
                end = cut.end;
            } else {
                break;
            }
            if end - start > PACK as u64 {
                break;
            }
        }
        (start, end)
    }

    /// The first cut that ends after `at`.
    fn first_cut(&self, at: u64) -> usize {
        self.cuts.partition_point(|cut| cut.end <= at)
    }

    fn cut_start(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            Some(before) => self.cuts[before].end,
            None => self.floor,
        }
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
        while let Some(cut) = self.cuts.front().filter(|cut| cut.end <= floor) {
            self.floor = cut.end;
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
        if self.bytes + buffer.capacity() <= SPARES {
            self.bytes += buffer.capacity();
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }
}

fn offset(at: u64, start: u64) -> usize {
    usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX)
}

/// Whom a unit is kept from that is for every member: no connection has this id.
const NOBODY: ConnId = ConnId(u64::MAX);
/// Bytes of buffers kept for reuse.
const SPARES: usize = 2 << 20;
/// Units whose places an idle log keeps room for.
const CUTS_KEPT: usize = 64;
