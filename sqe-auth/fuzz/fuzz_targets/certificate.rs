#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sqe_auth::fuzz::certificate(bytes));
