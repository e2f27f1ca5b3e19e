//! See `runtime_common::http::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runtime_common::http::fuzz(data));
