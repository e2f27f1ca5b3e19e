//! See `bodies::header`.
#![no_main]

#[path = "../../mles-sansio/tests/bodies/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::header(data));
