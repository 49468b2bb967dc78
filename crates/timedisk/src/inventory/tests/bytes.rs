//! Bytes stay where clients have them, whatever becomes of the files of targets.

use super::*;

#[test]
fn a_disk_that_goes_can_become_a_part_of_one_that_stays() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n");
    shop.to("extent0 @/a 0 1MB\nextent1 @/b 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n");
    assert_eq!(shop.volume("target0").capacity(), 2 * MIB);
}

#[test]
fn an_image_that_was_renamed_stays_that_disk() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.write("target0", 0, 7);
    fs::rename(shop.path("a"), shop.path("z")).unwrap();
    fs::rename(shop.path("a.timedisk"), shop.path("z.timedisk")).unwrap();
    shop.to("extent0 @/z 0 1MB\ntarget0 rw extent0 any\n");
    shop.assert_holds("target0", 0, 7);
}

#[test]
fn a_disk_grows_over_one_that_goes() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/a 1048576 1MB\ntarget1 rw extent1 any\n");
    shop.to("extent0 @/a 0 2MB\ntarget0 rw extent0 any\n");
}

#[test]
fn no_name_leads_to_the_bytes_of_another_disk() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n");
    shop.write("target0", 0, 1);
    shop.write("target1", 0, 2);
    std::os::unix::fs::symlink(shop.path("a"), shop.path("link")).unwrap();
    let result = shop.change(
        "extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent5 @/link 0 1MB\ntarget5 rw extent5 any\n\
        extent1 @/b 0 1MB\ntarget1 rw extent1 any\n",
        false,
    );
    let catalogue = shop.inventory.catalogue();
    for target in &catalogue.targets {
        let mut read = [0; 512];
        target.mounts[0].disk.unit().medium().present().unwrap().read(0, &mut read).unwrap();
        let expected = if target.name.ends_with("target1") { 2 } else { 1 };
        assert_eq!(read[0], expected, "{}", target.name);
    }
    assert!(result.is_err());
}

#[test]
fn no_part_but_the_last_grows_under_a_client() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\nextent1 @/b 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n");
    shop.write("target0", MIB, 7);
    let changed = shop.change(
        "extent0 @/a 0 2MB\nextent1 @/b 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n",
        false,
    );
    assert!(changed.is_err());
    shop.assert_holds("target0", MIB, 7);
}

#[test]
fn no_byte_is_cut_out_of_the_middle() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 2MB\nextent1 @/b 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n");
    shop.write("target0", MIB, 7);
    let changed = shop.change(
        "extent0 @/a 0 1MB\nextent1 @/b 0 2MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n",
        false,
    );
    assert!(changed.is_err());
    shop.assert_holds("target0", MIB, 7);
}

#[test]
fn no_part_is_exchanged_under_a_client() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\nextent1 @/b 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n");
    shop.write("target0", MIB, 7);
    let changed = shop.change(
        "extent0 @/a 0 1MB\nextent1 @/c 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n",
        false,
    );
    assert!(changed.is_err());
    shop.assert_holds("target0", MIB, 7);
}

#[test]
fn no_part_is_exchanged_between_two_times_that_a_disk_is_served() {
    let mut shop = Shop::new();
    let device = |parts: &str| {
        let extents = "extent0 @/a 0 2MB\nextent1 @/b 0 2MB\nextent2 @/c 0 2MB\n";
        format!("{extents}device0 RAID0 {parts}\ntarget0 rw device0 any\n")
    };
    shop.to(&device("extent0 extent1"));
    shop.write("target0", 2 * MIB, 7);
    for other in ["extent1 extent0", "extent0 extent2"] {
        shop.inventory = Inventory::new(None);
        let refusal = shop.refused(&device(other));
        assert!(refusal.contains("target0") || refusal.contains("other parts"), "{refusal}");
    }
    shop.to(&device("extent0 extent1 extent2"));
    shop.assert_holds("target0", 2 * MIB, 7);
    shop.inventory = Inventory::new(None);
    shop.change(&device("extent0 extent2 extent1"), true).unwrap();
    shop.inventory = Inventory::new(None);
    shop.to(&device("extent0 extent2 extent1"));
}

#[test]
fn a_disk_that_is_resized_comes_back_with_that_size() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let at = shop.inventory.find("target0").unwrap();
    shop.inventory.units[at].disk.origin = plan::Origin::Typed;
    assert!(shop.inventory.resize(at, 2 * MIB).unwrap());
    shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(shop.inventory.bring_online(at).unwrap(), [Attention::BecameReady]);
    assert_eq!(shop.volume("target0").capacity(), 2 * MIB);
}

#[test]
fn readers_of_one_image_are_told_of_one_by_one() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(MIB).unwrap();
    let first = "extent0 @/a 0 1MB\ntarget0 ro extent0 any\n";
    shop.to(first);
    let told = |changes: Changes| (changes.added, changes.removed, changes.changed);
    let name = || vec!["target1".to_owned()];
    assert_eq!(told(shop.to(&format!("{first}target1 ro extent0 any\n"))), (name(), vec![], vec![]));
    assert_eq!(told(shop.to(&format!("{first}target1 ro extent0 10.0.0.0/8\n"))), (vec![], vec![], name()));
    assert_eq!(told(shop.to(first)), (vec![], name(), vec![]));
}
