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

#[test]
fn members_are_compared_when_it_is_time_and_a_restart_does_not_forget_when_that_was() {
    use timedisk_scsi::SettingsStore;
    let pair = PAIR.replace("extent0 extent1\n", "extent0 extent1 scrub=daily\n");
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let times = |shop: &Shop| {
        let comparisons = &shop.unit("target0").healing.as_ref().unwrap().mirrors[0].comparisons;
        (comparisons.last(), comparisons.next())
    };
    let mut shop = shop();
    shop.to(&pair);
    let (last, next) = times(&shop);
    assert_eq!(last, None, "it begins a day after it was first said");
    assert!((now() + 86_000..now() + 86_401).contains(&next.unwrap()));
    shop.write("target0", 0, 7);
    let long_ago = now() - 100_000;
    shop.unit("target0").saved.save("scrub.device0", &format!("ended {long_ago}")).unwrap();
    again(&mut shop);
    let mut file = fs::OpenOptions::new().write(true).open(shop.path("b")).unwrap();
    std::io::Write::write_all(&mut file, b"other").unwrap();
    shop.to(&pair);
    let until = Instant::now() + Duration::from_secs(20);
    while times(&shop).0.is_none_or(|last| last == long_ago) {
        assert!(Instant::now() < until, "{:?}", times(&shop));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read(shop.path("b")).unwrap()[..512], [7; 512]);
    let before = times(&shop);
    assert!((now() + 86_000..now() + 86_401).contains(&before.1.unwrap()));
    again(&mut shop);
    shop.to(&pair);
    assert_eq!(times(&shop), before);
    again(&mut shop);
    shop.to(PAIR);
    assert_eq!(times(&shop), (before.0, None));
}
