//! Disks that have mirrors come, go, and remember.

use super::*;

const PAIR: &str =
    "extent0 @/a 0 1MB\nextent1 @/b 0 1MB\ndevice0 RAID1 extent0 extent1\ntarget0 rw device0 any\n";

fn shop() -> Shop {
    let shop = Shop::new();
    fs::create_dir(shop.path("state")).unwrap();
    shop
}

/// A daemon that ends and one that begins.
fn again(shop: &mut Shop) {
    shop.inventory.close_all();
    shop.inventory = Inventory::new(Some(shop.path("state")));
}

#[test]
fn a_change_that_fails_leaves_nothing_of_a_new_mirror() {
    let mut shop = shop();
    shop.refused(&format!("{PAIR}extent2 @/no/such/folder/c 0 1MB\ntarget1 rw extent2 any\n"));
    let left = |directory: &Path| -> Vec<PathBuf> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(left(&shop.path("state")), Vec::<PathBuf>::new());
    let mut names: Vec<String> = left(shop.directory.path())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into())
        .collect();
    names.sort();
    assert_eq!(names, ["auths", "state", "targets"]);
    shop.to(PAIR);
    shop.write("target0", 0, 7);
}

#[test]
fn who_the_disk_is_and_what_is_saved_does_not_hang_on_one_member() {
    let mut shop = shop();
    shop.to(PAIR);
    shop.write("target0", 0, 7);
    let serial = shop.serial("target0");
    let save = |shop: &Shop, value: &str| {
        let saved = &shop.unit("target0").saved;
        timedisk_scsi::SettingsStore::save(&**saved, "mode.caching.wce", value).unwrap();
    };
    let load = |shop: &Shop| {
        let saved = &shop.unit("target0").saved;
        timedisk_scsi::SettingsStore::load(&**saved, "mode.caching.wce")
    };
    save(&shop, "0");
    for (value, gone) in [("1", "a"), ("2", "b"), ("3", "a")] {
        again(&mut shop);
        fs::rename(shop.path(gone), shop.path("away")).unwrap();
        shop.to(PAIR);
        assert_eq!(shop.serial("target0"), serial);
        save(&shop, value);
        again(&mut shop);
        fs::rename(shop.path("away"), shop.path(gone)).unwrap();
        shop.to(PAIR);
        assert_eq!(load(&shop).as_deref(), Some(value), "{gone} was away");
        assert_eq!(shop.serial("target0"), serial);
        let mut from = 0;
        let healing = shop.unit("target0").healing.as_ref().unwrap();
        let mirror = &healing.mirrors[0].volume;
        while mirror.resync(&mut from, &mut || true).unwrap() != timedisk_volume::Resynced::Nothing {}
    }
    shop.assert_holds("target0", 0, 7);
}

#[test]
fn a_concatenation_of_mirrors_grows_by_another_at_the_next_start() {
    let mut shop = shop();
    let extents = "extent0 @/a 0 1MB\nextent1 @/b 0 1MB\nextent2 @/c 0 1MB\nextent3 @/d 0 1MB\n\
        device0 RAID1 extent0 extent1\ndevice1 RAID1 extent2 extent3\n";
    shop.to(&format!("{extents}device2 RAID0 device0\ntarget0 rw device2 any\n"));
    shop.write("target0", 0, 7);
    let longer = format!("{extents}device2 RAID0 device0 device1\ntarget0 rw device2 any\n");
    assert!(shop.refused(&longer).contains("offline"));
    again(&mut shop);
    shop.to(&longer);
    shop.write("target0", MIB, 8);
    shop.assert_holds("target0", 0, 7);
    assert_eq!(fs::read(shop.path("d")).unwrap()[..512], [8; 512]);
}
