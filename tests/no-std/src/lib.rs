//! The core in a program that has no standard library. See Cargo.toml.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};

use mles_sansio::client::{Client, ClientConfig, ClientEvent};
use mles_sansio::{Config, Event, Instant, Node, Now, Seed};

struct Nowhere;

// An allocator can't be written in safe code. This one is linked and never run.
unsafe impl GlobalAlloc for Nowhere {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOWHERE: Nowhere = Nowhere;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Makes the whole core reachable.
#[unsafe(no_mangle)]
pub extern "C" fn handle_one() -> usize {
    let mut node = Node::new(Config::default(), &Seed([0; 32]));
    let now = Now { mono: Instant::from_micros(0), unix: 0 };
    let client = Client::new(ClientConfig::new("alice", "example"), &Seed([0; 32]));
    let dialed = client.map_or(0, |mut client| client.handle(now, ClientEvent::Timeout).count());
    node.handle(now, Event::Timeout).count() + dialed
}
