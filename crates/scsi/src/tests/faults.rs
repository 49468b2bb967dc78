//! What clients are told when the volume fails.

use timedisk_volume::ErrorKind;

use super::*;

#[test]
fn each_error_of_the_volume_has_its_sense() {
    let write = block_cdb(0x2a, 0, 0, 1);
    let zero = block_cdb(0x93, 0x09, 0, 1);
    let unmap = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0];
    let mut list = [0; 24];
    (list[1], list[3], list[19]) = (22, 16, 1);
    let flush = block_cdb(0x35, 0, 0, 0);
    let read = block_cdb(0x28, 0, 0, 1);
    type Row<'a> = (&'a [u8], &'a [u8], ErrorKind, (u8, u8, u8));
    let table: [Row<'_>; 8] = [
        (&write, &[0; BLOCK], ErrorKind::NoSpace, (0x07, 0x27, 0x07)),
        (&write, &[0; BLOCK], ErrorKind::WriteFailed, (0x03, 0x0c, 0x00)),
        (&write, &[0; BLOCK], ErrorKind::FlushFailed, (0x03, 0x0c, 0x00)),
        (&write, &[0; BLOCK], ErrorKind::ReadOnly, (0x07, 0x27, 0x00)),
        (&zero, &[], ErrorKind::NoSpace, (0x07, 0x27, 0x07)),
        (&unmap, &list, ErrorKind::WriteFailed, (0x03, 0x0c, 0x00)),
        (&flush, &[], ErrorKind::FlushFailed, (0x03, 0x0c, 0x00)),
        (&read, &[], ErrorKind::ReadFailed, (0x03, 0x11, 0x00)),
    ];
    for (cdb, data, kind, sense) in table {
        let bench = Bench::new();
        bench.volume.fail(kind);
        assert_eq!(bench.refused_with(cdb, data), sense, "{cdb:x?} {kind:?}");
    }
}

#[test]
fn settings_that_cannot_be_saved_do_not_apply() {
    struct Broken;
    impl SettingsStore for Broken {
        fn load(&self, _: &str) -> Option<String> {
            None
        }
        fn save(&self, _: &str, _: &str) -> Result<(), String> {
            Err("no".into())
        }
    }
    let volume = Arc::new(Probe::new(1 << 20));
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let unit = LogicalUnit::new(volume, identity(), format, Some(Arc::new(Broken)));
    let unit = Arc::new(unit);
    let server = DeviceServer::new("iqn.x", 1, vec![(0, unit.clone())]);
    let mut list = [0; 24];
    list[4..6].copy_from_slice(&[0x08, 18]);
    let done = server.execute(
        NEXUS,
        LUN,
        &[0x15, 0x11, 0, 0, 24, 0],
        server.plan(LUN, &[0x15, 0x11, 0, 0, 24, 0]),
        &list,
        &mut [],
    );
    assert_eq!(triple(&done), (0x04, 0x44, 0x00));
    assert!(unit.modes().write_cache);
}
