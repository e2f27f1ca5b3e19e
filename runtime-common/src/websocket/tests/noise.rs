//! At random.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::websocket::read::unmask;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn unmasking_in_pieces_is_unmasking_whole(
        data in vec(any::<u8>(), 0..100),
        key in any::<[u8; 4]>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let naive: Vec<u8> = data.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
        let mut pieces = data.clone();
        let (left, right) = pieces.split_at_mut(cut.index(data.len() + 1));
        let mut mask = key;
        unmask(left, &mut mask);
        unmask(right, &mut mask);
        prop_assert_eq!(pieces, naive);
    }

    #[test]
    fn the_fuzz_body_holds_on_noise(data in vec(any::<u8>(), 0..200)) {
        fuzz(&data);
    }

    #[test]
    fn the_fuzz_body_holds_on_damaged_streams(
        bound in any::<u8>(),
        pieces in any::<u8>(),
        which in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let (stream, _) = corpus().swap_remove(which.index(corpus().len()));
        let mut data = [&[bound, pieces], &stream[..]].concat();
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        fuzz(&data);
    }
}

/// What fuzzing has found worth keeping (`fuzz/README.md`).
#[test]
fn the_corpus_is_survived() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/websocket");
    let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(inputs.len() > 50);
    for input in inputs {
        fuzz(&std::fs::read(input.unwrap().path()).unwrap());
    }
}
