//! What a change that is refused, or fails half-way, leaves as it was.

use super::*;

const TWO: &str = "extent0 @/a 0 size\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n";

fn names(shop: &Shop) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(shop.directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn a_change_that_fails_leaves_no_disk_longer_than_it_was() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(8 * MIB).unwrap();
    shop.to(TWO);
    // a becomes another disk (block length), longer; b too, with a member that can't be made.
    shop.refused(
        "extent0 @/a 0 16MB block=4096\ntarget0 rw extent0 any\nextent1 @/b 0 1MB block=4096\n\
        extent2 @/nodir/x 0 1MB block=4096\ndevice0 RAID0 extent1 extent2\ntarget1 rw device0 any\n",
    );
    assert_eq!(shop.volume("target0").capacity(), 8 * MIB, "everything is as it was");
}

#[test]
fn a_disk_whose_image_was_renamed_is_not_closed_for_a_change_that_could_not_open_it_again() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(MIB).unwrap();
    shop.to("extent0 @/a 0 1MB\ntarget0 ro extent0 any\n");
    fs::rename(shop.path("a"), shop.path("a.moved")).unwrap();
    shop.assert_holds("target0", 0, 0);
    shop.refused("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    assert!(!shop.unit("target0").is_offline(), "not reloaded, everything goes on as before");
}

#[test]
fn an_image_that_was_removed_lives_as_long_as_it_is_served() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.write("target0", 0, 7);
    fs::remove_file(shop.path("a")).unwrap();
    shop.assert_holds("target0", 0, 7);
    shop.refused("extent0 @/a 0 1MB block=4096\ntarget0 rw extent0 any\n");
    assert!(!shop.unit("target0").is_offline(), "not reloaded, everything goes on as before");
}

#[test]
fn parts_made_for_a_change_that_fails_are_taken_back() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n");
    let before = names(&shop);
    shop.refused(
        "extent0 @/a 0 1MB\nextent5 @/new 0 1MB\ndevice0 RAID0 extent0 extent5\ntarget0 rw device0 any\n\
        extent1 @/b 0 1MB\nextent2 @/nodir/x 0 1MB\ndevice1 RAID0 extent1 extent2\ntarget1 rw device1 any\n",
    );
    assert_eq!(names(&shop), before);
}

#[test]
fn the_state_of_an_extent_made_further_on_is_taken_back() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let before = names(&shop);
    shop.refused(
        "extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/new 1048576 1MB\ntarget1 rw extent1 any\n\
        extent2 @/nodir/x 0 1MB\ntarget2 rw extent2 any\n",
    );
    assert_eq!(names(&shop), before);
}

#[test]
fn an_image_whose_state_cannot_be_written_is_taken_back() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    fs::create_dir(shop.path("new.timedisk.new")).unwrap();
    let before = names(&shop);
    assert_eq!(names(&shop), before);
}

#[test]
fn a_disk_that_is_offline_becomes_shorter_only_where_that_is_meant() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 2MB\ntarget0 rw extent0 any\n");
    let at = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5)).unwrap();
    let unasked = shop.change("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n", false);
    shop.change("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n", true).unwrap();
    shop.inventory.bring_online(at).map_err(|e| format!("{e:#}")).unwrap();
    assert!(unasked.is_err(), "a shorter disk is refused, unless --allow-shrink");
}

#[test]
fn a_disk_that_failed_grows_or_the_reload_is_refused() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.unit("target0").files[0].state().mark_flush_failed("Input/output error").unwrap();
    shop.inventory = Inventory::new(Some(shop.path("state")));
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    if let Ok(_changes) = shop.change("extent0 @/a 0 2MB\ntarget0 rw extent0 any\n", false) {
        assert_eq!(shop.volume("target0").capacity(), 2 * MIB);
    }
}

#[test]
fn taking_back_removes_nothing_that_another_has_open() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let path = shop.path("new");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    let watcher = std::thread::spawn(move || {
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            let Ok(_) = fs::metadata(&path) else { continue };
            let options = timedisk_volume::OpenOptions {
                create: false,
                ..timedisk_volume::OpenOptions::new(&path, timedisk_volume::Length::WholeFile)
            };
            if let Ok(volume) = timedisk_volume::FileVolume::open(options) {
                std::thread::sleep(Duration::from_millis(30));
                let there = path.exists();
                if !there {
                    return Some(volume.capacity());
                }
            }
        }
        None
    });
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end && !watcher.is_finished() {
        let _ = shop.change(
            "extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/new 0 1MB\ntarget1 rw extent1 any\n\
            extent2 @/nodir/x 0 1MB\ntarget2 rw extent2 any\n",
            false,
        );
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let lost = watcher.join().unwrap();
    assert_eq!(lost, None, "a disk that another has open and locked was removed");
}
