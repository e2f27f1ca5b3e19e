//! What the model does not show: that nothing large is copied, and what happens at the edges.

use mles_sansio::{Closing, ConnId, Frame, Frames, GroupId};

use crate::groups::{Flushed, Groups, Progress};
use crate::websocket::header_len;

const OUTBOX: usize = 1 << 20;
const ONE: ConnId = ConnId(1 << 32);
const TWO: ConnId = ConnId(2 << 32 | 1);
const GROUP: GroupId = GroupId(7);

/// Two members of one group.
fn two() -> Groups {
    let mut groups = Groups::new(OUTBOX, u64::MAX);
    for conn in [ONE, TWO] {
        groups.open(conn);
        groups.join(conn, GROUP);
    }
    groups
}

/// Takes everything that is queued.
fn drain(groups: &mut Groups, conn: ConnId) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = groups.next(conn).to_vec();
        if bytes.is_empty() {
            return all;
        }
        groups.advance(conn, bytes.len());
        all.extend(bytes);
    }
}

fn broadcast(groups: &mut Groups, except: Option<ConnId>, frame: Frame) {
    let _ = groups.broadcast(GROUP, except, &Frames::One(frame));
}

/// The payload of the frame that is next leaves from where it lies.
fn is_shared(groups: &mut Groups, conn: ConnId, payload: &[u8]) -> bool {
    let head = header_len(payload.len());
    while groups.next(conn).len() <= head {
        let length = groups.next(conn).len();
        groups.advance(conn, length);
    }
    groups.next(conn).as_ptr() == payload.as_ptr()
}

#[test]
fn a_large_payload_is_never_copied() {
    let large = Frame::binary(vec![1; 64 * 1024]);
    let payload = large.payload.clone();
    let mut groups = two();
    broadcast(&mut groups, None, large.clone());
    groups.delivered(GROUP);
    assert!(is_shared(&mut groups, ONE, &payload));
    // Begun, and then taken out of the log.
    groups.advance(ONE, 10);
    groups.leave(ONE);
    assert_eq!(groups.next(ONE).as_ptr(), payload[10..].as_ptr());
    groups.discard(ONE);
    assert_eq!(groups.next(ONE).as_ptr(), payload[10..].as_ptr());
    // Not begun.
    groups.leave(TWO);
    assert!(is_shared(&mut groups, TWO, &payload));
    assert_eq!(groups.log_bytes(), 0);

    let mut groups = two();
    assert!(!groups.send(ONE, &Frames::One(large.clone())));
    assert!(is_shared(&mut groups, ONE, &payload));
    let _ = groups.replay(TWO, [large].into());
    let first = groups.next(TWO).len();
    groups.advance(TWO, first);
    let gone = first - header_len(payload.len());
    assert_eq!(groups.next(TWO).as_ptr(), payload[gone..].as_ptr());
    groups.discard(TWO);
    assert_eq!(groups.next(TWO).as_ptr(), payload[gone..].as_ptr());
}

#[test]
fn many_tiny_frames_leave_the_log_in_one_pass() {
    let mut groups = two();
    let many = OUTBOX / 3;
    for i in 0..=many {
        let except = (i == many / 2).then_some(ONE);
        broadcast(&mut groups, except, Frame::text("x"));
    }
    groups.delivered(GROUP);
    assert!(!groups.blocked(ONE));
    groups.close(ONE, Closing::Restarting);
    let bytes = drain(&mut groups, ONE);
    let (data, close) = bytes.split_at(many * 3);
    assert!(data.chunks(3).all(|frame| frame == [0x81, 1, b'x']));
    assert_eq!(close[0], 0x88);
    assert_eq!(groups.flushed(ONE), Flushed::Closed);
}

#[test]
fn who_sends_and_does_not_read_is_not_behind() {
    let mut groups = two();
    broadcast(&mut groups, None, Frame::text("in progress"));
    broadcast(&mut groups, None, Frame::text("waits"));
    groups.advance(ONE, 1);
    for _ in 0..10 * OUTBOX / 1000 {
        broadcast(&mut groups, Some(ONE), Frame::binary(vec![0; 1000]));
        drain(&mut groups, TWO);
        assert!(!groups.blocked(ONE));
        groups.delivered(GROUP);
        groups.flushed(TWO);
        assert!(groups.log_bytes() < 2 * OUTBOX, "its own do not pile up");
    }
    broadcast(&mut groups, Some(TWO), Frame::text("last"));
    let expected = b"\x0bin progress\x81\x05waits\x81\x04last";
    assert_eq!(drain(&mut groups, ONE), expected);
}

/// L3.5
#[test]
fn a_ping_does_not_wait_for_the_end_of_a_replay() {
    let mut groups = two();
    let frames: Vec<_> = (0..100).map(|i| Frame::binary(vec![i; 700])).collect();
    let _ = groups.replay(ONE, frames.into());
    assert_eq!(groups.next(ONE).len(), 16 * 1024);
    groups.advance(ONE, 10);
    groups.ping(ONE);
    assert_eq!(groups.next(ONE).len(), 694);
    groups.advance(ONE, 694);
    assert_eq!(groups.next(ONE), [0x89, 0]);
}

/// L3.4
#[test]
fn what_is_dropped_in_a_header_is_completed() {
    let mut groups = two();
    let _ = groups.replay(ONE, [Frame::text(""), Frame::text("dropped")].into());
    groups.advance(ONE, 1);
    groups.discard(ONE);
    assert_eq!(drain(&mut groups, ONE), [0]);
    assert_eq!(groups.flushed(ONE), Flushed::Drained);
    groups.close(ONE, Closing::Answer);
    assert_eq!(drain(&mut groups, ONE), [0x88, 2, 3, 0xe8]);
}

#[test]
fn an_empty_replay_is_over_at_once() {
    let mut groups = two();
    assert_eq!(groups.replay(ONE, [].into()), Progress::Replayed);
    broadcast(&mut groups, None, Frame::text(""));
    assert_eq!(drain(&mut groups, ONE), [0x81, 0]);
}

/// L3.5
#[test]
fn control_frames_survive_an_overrun() {
    let mut groups = two();
    for _ in 0..3 {
        broadcast(&mut groups, None, Frame::binary(vec![0; OUTBOX]));
    }
    groups.advance(ONE, 10);
    groups.ping(ONE);
    assert!(groups.blocked(ONE));
    let bytes = drain(&mut groups, ONE);
    assert_eq!(bytes.len(), OUTBOX + 2);
    assert!(bytes.ends_with(&[0x89, 0]));
}

#[test]
fn a_broadcast_elsewhere_does_not_bring_back_own_messages() {
    let mut groups = two();
    let other = GroupId(8);
    groups.open(ConnId(3 << 32 | 2));
    groups.join(ConnId(3 << 32 | 2), other);
    broadcast(&mut groups, None, Frame::text("before"));
    assert_eq!(drain(&mut groups, ONE).len(), 8);
    broadcast(&mut groups, Some(ONE), Frame::text("own"));
    let _ = groups.broadcast(other, Some(ONE), &Frames::One(Frame::text("")));
    assert!(groups.next(ONE).is_empty());
}
