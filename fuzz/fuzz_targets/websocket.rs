//! See `runtime_common::websocket::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runtime_common::websocket::fuzz(data));
