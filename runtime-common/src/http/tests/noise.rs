//! At random.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_fuzz_body_holds_on_noise(data in vec(any::<u8>(), 0..300)) {
        fuzz(&data);
    }

    #[test]
    fn the_fuzz_body_holds_on_damaged_heads(
        pieces in any::<u8>(),
        head in prop_oneof![Just(UPGRADE), Just(BROWSER)],
        damage in vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..4),
    ) {
        let mut data = [&[pieces], head.as_bytes()].concat();
        for (at, how, byte) in damage {
            let at = at.index(data.len());
            match how {
                0 => data[at] = byte,
                1 => data.insert(at, b"\r\n\0: ,"[usize::from(byte % 6)]),
                _ => {
                    data.remove(at);
                }
            }
        }
        fuzz(&data);
    }

    #[test]
    fn any_key_and_path_is_taken(key in "[A-Za-z0-9+/]{22}==", path in "(/[a-z0-9.%]{0,9}){1,3}") {
        let request = UPGRADE
            .replace("dGhlIHNhbXBsZSBub25jZQ==", &key)
            .replace("/any/path", &path);
        let expected = SWITCHING
            .replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &websocket::accept_key(key.as_bytes()));
        let response = expected.into_bytes();
        prop_assert_eq!(answer(&request), Ok(Answer::Upgrade { response }));
    }
}

/// What fuzzing has found worth keeping (`fuzz/README.md`).
#[test]
fn the_corpus_is_survived() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/http");
    let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(inputs.len() > 50);
    for input in inputs {
        fuzz(&std::fs::read(input.unwrap().path()).unwrap());
    }
}
