#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| timedisk_iscsi::fuzzing::session(data));
