//! Delivering a broadcast allocates nothing for each member: a package of its own, because counting
//! needs an allocator, and that needs `unsafe`.

#![cfg(test)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mles_sansio::{ConnId, Frame, Frames, GroupId};
use runtime_common::groups::{Flushed, Groups};

/// The system's allocator, which counts for each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const GROUP: GroupId = GroupId(1);

/// Allocations of `turns` deliveries of `messages` to `members`, who take everything at once.
fn allocations(members: u64, turns: usize, messages: usize, payload: usize) -> usize {
    let mut groups = Groups::new(1 << 20, u64::MAX);
    let conns: Vec<_> = (0..members).map(|slot| ConnId(1 << 32 | slot)).collect();
    for &conn in &conns {
        groups.open(conn);
        groups.join(conn, GROUP);
    }
    let frames = Frames::One(Frame::binary(vec![7; payload]));
    let mut turn = || {
        for _ in 0..messages {
            let _ = groups.broadcast(GROUP, Some(conns[0]), &frames);
        }
        for &conn in &conns {
            loop {
                let bytes = groups.next(conn).len();
                if bytes == 0 {
                    break;
                }
                let _ = groups.advance(conn, bytes);
            }
            assert_eq!(groups.flushed(conn), Flushed::UpToDate);
        }
        groups.delivered(GROUP);
    };
    turn(); // The buffers of the first are kept for the next.
    let before = COUNT.get();
    for _ in 0..turns {
        turn();
    }
    assert_eq!(groups.log_bytes(), 0);
    COUNT.get() - before
}

#[test]
fn nothing_is_allocated_for_a_member_that_is_up_to_date() {
    for payload in [0, 100, 20_000, 100_000] {
        assert_eq!(allocations(1000, 20, 1, payload), 0, "{payload}");
        assert_eq!(
            allocations(1000, 20, 30, payload),
            allocations(2, 20, 30, payload),
            "{payload}"
        );
    }
}
