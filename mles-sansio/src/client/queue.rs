//! What the user has sent and the server is not known to have accepted.

use alloc::collections::VecDeque;

use crate::frame::Frame;

/// Messages in order, numbered from the first that the client ever sent.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    /// The number of the oldest one: all before are known to be accepted.
    first: u64,
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            first: 0,
            frames: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += cost(&frame);
        self.frames.push_back(frame);
    }

    /// All before `number` are accepted.
    pub(crate) fn confirm(&mut self, number: u64) {
        while self.first < number
            && let Some(frame) = self.frames.pop_front()
        {
            self.bytes -= cost(&frame);
            self.first += 1;
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Frame> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.frames.get(index)
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a message counts for: its payload, and a little for what holds it.
pub(crate) fn cost(frame: &Frame) -> usize {
    frame.payload.len() + OVERHEAD
}

const OVERHEAD: usize = 64;
