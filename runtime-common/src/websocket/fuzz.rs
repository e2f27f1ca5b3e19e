//! What holds of any bytes.

use mles_sansio::Kind;

use super::read::FIRST_CAPACITY;
use super::{Incoming, Reader};

/// Fuzz body. The first byte chooses the bound on messages, the second the pieces in which the
/// rest is read: whatever they are, the items are those of reading it whole, and memory stays
/// within twice the bytes received.
pub fn fuzz(data: &[u8]) {
    let [bound, pieces, ref stream @ ..] = *data else {
        return;
    };
    let max_message = [0, 5, 125, 126, 1000, 65_536, 1 << 20, usize::MAX][usize::from(bound & 7)];
    let read_in = |pieces: &mut dyn FnMut() -> usize| {
        let mut reader = Reader::new(max_message);
        let (mut items, mut start) = (Vec::new(), 0);
        while start < stream.len() {
            let end = stream.len().min(start + pieces());
            let mut piece = stream[start..end].to_vec();
            let mut rest = &mut piece[..];
            while !rest.is_empty() {
                let (used, item) = reader.read(rest);
                assert!(used > 0, "every call makes progress");
                assert!(
                    item.is_some() || used == rest.len(),
                    "starved means all is taken"
                );
                rest = &mut rest[used..];
                let failed = matches!(item, Some(Err(_)));
                items.extend(item);
                if failed {
                    assert_eq!(reader.buffered(), 0, "a fault frees the message");
                    return items;
                }
            }
            start = end;
            assert!(
                reader.buffered() <= 2 * end + FIRST_CAPACITY,
                "memory follows the bytes"
            );
        }
        items
    };
    let mut state = u32::from(pieces);
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % (1 + usize::from(pieces))
    };
    let whole = read_in(&mut || usize::MAX - stream.len());
    assert_eq!(whole, read_in(&mut random), "pieces make no difference");
    for item in &whole {
        if let Ok(Incoming::Message(frame)) = item {
            assert!(frame.payload.len() <= max_message, "the bound holds");
            let is_text = std::str::from_utf8(&frame.payload).is_ok();
            assert!(is_text || frame.kind == Kind::Binary, "text is UTF-8");
        }
    }
}
