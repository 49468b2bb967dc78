#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| timedisk_scsi::fuzzing::cdb(data));
