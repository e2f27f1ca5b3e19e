//! Runs the fuzz bodies of `bodies/mod.rs` on random bytes, and on headers that are nearly right: the
//! vectors, with a few bytes changed. `PROPTEST_CASES` runs them for longer.

mod bodies;
mod common;

use std::sync::LazyLock;

use common::runs;
use proptest::prelude::*;

/// The text of every header vector.
static HEADERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let cases = common::vectors("headers.json");
    let inputs = cases.iter().filter_map(|case| case["input"].as_str());
    inputs.map(|input| input.as_bytes().to_vec()).collect()
});

/// A vector with some of its bytes replaced, removed or doubled.
fn nearly_a_header() -> impl Strategy<Value = Vec<u8>> {
    const BYTES: &[u8] = b"{}[]\",:\\u0dDcC8e+-. \t\n\x00\xc3\xa9\xed";
    let edits = proptest::collection::vec(
        (any::<prop::sample::Index>(), 0..3_u8, 0..BYTES.len()),
        0..5,
    );
    (any::<prop::sample::Index>(), edits).prop_map(|(which, edits)| {
        let mut bytes = HEADERS[which.index(HEADERS.len())].clone();
        for (at, edit, byte) in edits {
            let at = at.index(bytes.len() + 1);
            match edit {
                0 => bytes.insert(at, BYTES[byte]),
                1 if at < bytes.len() => bytes[at] = BYTES[byte],
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(runs(5000))]

    #[test]
    fn headers_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        bodies::header(&data);
    }

    #[test]
    fn headers_nearly_right(data in nearly_a_header()) {
        bodies::header(&data);
    }
}

proptest! {
    #![proptest_config(runs(1500))]

    #[test]
    fn lives_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        bodies::node(&data);
    }
}

#[test]
fn every_vector_is_survived() {
    assert!(HEADERS.len() > 100);
    for header in HEADERS.iter() {
        bodies::header(header);
        bodies::node(header);
    }
}

/// What fuzzing has found worth keeping (`fuzz/README.md`).
#[test]
fn the_corpus_is_survived() {
    for (target, body) in [
        ("header", bodies::header as fn(&[u8])),
        ("node", bodies::node),
    ] {
        let folder = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).expect("the corpus");
        let inputs: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        assert!(inputs.len() > 50, "{target}: {}", inputs.len());
        for input in inputs {
            body(&std::fs::read(input).expect("an input"));
        }
    }
}
