#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| timedisk_config::fuzzing::fuzz(data));
