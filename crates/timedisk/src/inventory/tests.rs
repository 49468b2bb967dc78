//! One plan after another, over real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use timedisk_scsi::{Absence, Attention};
use timedisk_target::Catalogue;
use timedisk_volume::{Durability, Volume};

use super::change::Changes;
use super::{Inventory, Unit};
mod access;
mod bytes;
mod mirrors;
mod refused;
mod state;
use crate::command_line::ServeOptions;
use crate::plan::{self, Plan};

const MIB: u64 = 1 << 20;

/// A directory with a file of targets, and what is open of it.
struct Shop {
    directory: tempfile::TempDir,
    inventory: Inventory,
}

impl Shop {
    fn new() -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let inventory = Inventory::new(Some(directory.path().join("state")));
        Shop { directory, inventory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `@` stands for the directory.
    fn plan(&self, text: &str) -> Plan {
        let targets = self.path("targets");
        fs::write(&targets, text.replace('@', self.directory.path().to_str().unwrap())).unwrap();
        let auths = self.path("auths");
        fs::write(&auths, "ann:chap:ann's long secret\n").unwrap();
        let options = ServeOptions {
            targets: Some(targets),
            iqn_base: "iqn.2026-01.org.example".into(),
            block_length: 512,
            ..ServeOptions::default()
        };
        plan::gather(&options).unwrap_or_else(|unplanned| panic!("{unplanned:?}")).plan
    }

    fn change(&mut self, text: &str, allow_shrink: bool) -> anyhow::Result<Changes> {
        let plan = self.plan(text);
        let prepared = self.inventory.prepare(plan, allow_shrink)?;
        let mut changes = self.inventory.commit(prepared, Instant::now() + Duration::from_secs(5))?;
        assert_eq!(changes.close_leaving(Instant::now() + Duration::from_secs(5)), [""; 0]);
        Ok(changes)
    }

    fn to(&mut self, text: &str) -> Changes {
        self.change(text, false).unwrap()
    }

    #[track_caller]
    fn refused(&mut self, text: &str) -> String {
        format!("{:#}", self.change(text, false).expect_err("it is refused"))
    }

    fn unit(&self, name: &str) -> &Unit {
        self.inventory.unit(self.inventory.find(name).unwrap()).unwrap()
    }

    fn volume(&self, name: &str) -> Arc<dyn Volume> {
        self.unit(name).served.unit().medium().present().unwrap()
    }

    fn write(&self, name: &str, offset: u64, byte: u8) {
        self.volume(name).write(offset, &[byte; 512], Durability::Durable).unwrap();
    }

    #[track_caller]
    fn assert_holds(&self, name: &str, offset: u64, byte: u8) {
        let mut read = [0; 512];
        self.volume(name).read(offset, &mut read).unwrap();
        assert_eq!(read, [byte; 512]);
    }

    fn serial(&self, name: &str) -> String {
        self.unit(name).served.unit().identity().serial.clone()
    }
}

fn attentions(changes: &Changes) -> Vec<Attention> {
    changes.attentions.iter().map(|(_, attention)| *attention).collect()
}

#[test]
fn disks_come_go_and_stay() {
    let mut shop = Shop::new();
    let first =
        shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n");
    assert_eq!(first.added, ["target0", "target1"]);
    shop.write("target0", 0, 7);
    let (kept, serial) = (Arc::clone(&shop.unit("target0").served), shop.serial("target0"));
    let next =
        shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent2 @/c 0 2MB\ntarget2 rw extent2 any\n");
    assert_eq!(
        (next.added, next.removed, next.changed),
        (vec!["target2".into()], vec!["target1".into()], vec![])
    );
    assert!(next.attentions.is_empty());
    assert!(Arc::ptr_eq(&kept, &shop.unit("target0").served), "its sessions notice nothing");
    assert_eq!(shop.serial("target0"), serial);
    assert!(shop.inventory.find("target1").is_none());
    let another = timedisk_volume::FileVolume::open(timedisk_volume::OpenOptions::new(
        shop.path("b"),
        timedisk_volume::Length::WholeFile,
    ));
    another.expect("the file of a disk that is gone is free");
}

#[test]
fn a_disk_that_gets_another_name_stays_that_disk() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let before = Arc::clone(&shop.unit("target0").served);
    let changes = shop.to("extent5 @/a 0 1MB\ntarget9 rw extent5 10.0.0.0/8\n");
    assert_eq!((changes.changed.as_slice(), changes.added.len()), (&["target9".to_owned()][..], 0));
    assert!(Arc::ptr_eq(&before, &shop.unit("target9").served));
    assert_eq!(before.name(), "target9");
}

#[test]
fn a_longer_disk_grows_where_it_is() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.write("target0", 0, 3);
    let before = Arc::clone(&shop.unit("target0").served);
    let changes = shop.to("extent0 @/a 0 3MB\ntarget0 rw extent0 any\n");
    assert_eq!(attentions(&changes), [Attention::CapacityChanged]);
    assert!(Arc::ptr_eq(&before, &shop.unit("target0").served));
    assert_eq!(shop.volume("target0").capacity(), 3 * MIB);
    shop.assert_holds("target0", 0, 3);
    shop.write("target0", 3 * MIB - 512, 9);
    assert_eq!(fs::metadata(shop.path("a")).unwrap().len(), 3 * MIB);
}

#[test]
fn a_file_that_has_grown_is_seen_at_the_next_reload() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(MIB).unwrap();
    let text = "extent0 @/a 0 size\ntarget0 rw extent0 any\n";
    shop.to(text);
    assert!(attentions(&shop.to(text)).is_empty());
    fs::OpenOptions::new().write(true).open(shop.path("a")).unwrap().set_len(2 * MIB).unwrap();
    assert_eq!(attentions(&shop.to(text)), [Attention::CapacityChanged]);
    assert_eq!(shop.volume("target0").capacity(), 2 * MIB);
}

#[test]
fn a_shorter_disk_is_refused_at_reload_and_at_start_unless_it_is_meant() {
    let mut shop = Shop::new();
    let (long, short) =
        ("extent0 @/a 0 2MB\ntarget0 rw extent0 any\n", "extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.to(long);
    let refusal = shop.refused(short);
    assert!(refusal.contains("target0") && refusal.contains("--allow-shrink"), "{refusal}");
    assert_eq!(shop.volume("target0").capacity(), 2 * MIB);
    shop.inventory = Inventory::new(None);
    let refusal = shop.refused(short);
    assert!(refusal.contains("2MB") && refusal.contains("--allow-shrink"), "{refusal}");
    shop.to(long);
    let changes = shop.change(short, true).unwrap();
    assert_eq!(attentions(&changes), [Attention::CapacityChanged]);
    assert_eq!(shop.volume("target0").capacity(), MIB);
    assert_eq!(fs::metadata(shop.path("a")).unwrap().len(), 2 * MIB, "the file keeps its length");
    drop(changes);
    shop.inventory = Inventory::new(None);
    shop.to(short);
}

#[test]
fn protection_changes_while_the_disk_is_served() {
    let mut shop = Shop::new();
    let (rw, ro) =
        ("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n", "extent0 @/a 0 1MB\ntarget0 ro extent0 any\n");
    shop.to(rw);
    let unit = Arc::clone(shop.unit("target0").served.unit());
    assert_eq!(attentions(&shop.to(ro)), [Attention::WriteProtectionChanged]);
    assert!(unit.is_read_only());
    assert_eq!(attentions(&shop.to(rw)), [Attention::WriteProtectionChanged]);
    assert!(!unit.is_read_only());
    drop(unit);
    shop.inventory = Inventory::new(None);
    shop.to(ro);
    let unit = Arc::clone(shop.unit("target0").served.unit());
    assert!(shop.volume("target0").is_read_only(), "it was opened for reading only");
    assert_eq!(attentions(&shop.to(rw)), [Attention::WriteProtectionChanged]);
    assert!(!unit.is_read_only() && Arc::ptr_eq(&unit, shop.unit("target0").served.unit()));
    shop.write("target0", 0, 1);
}

#[test]
fn a_plan_of_which_one_disk_fails_changes_nothing_and_leaves_nothing_behind() {
    let mut shop = Shop::new();
    let good = "extent0 @/a 0 1MB\ntarget0 rw extent0 any\n";
    shop.to(good);
    fs::create_dir(shop.path("folder")).unwrap();
    let bad = "extent0 @/a 0 2MB\ntarget0 ro extent0 none\nextent1 @/new 0 1MB\ntarget1 rw extent1 any\n\
        extent2 @/folder 0 1MB\ntarget2 rw extent2 any\n";
    let refusal = shop.refused(bad);
    assert!(refusal.contains("target2") && refusal.contains("is a directory"), "{refusal}");
    assert_eq!(shop.volume("target0").capacity(), MIB);
    assert!(!shop.unit("target0").served.unit().is_read_only());
    assert!(shop.inventory.find("target1").is_none());
    let left = |name: &str| fs::symlink_metadata(shop.path(name)).is_ok();
    assert!(!left("new") && !left("new.timedisk"));
    assert!(shop.to(good).attentions.is_empty());
}

#[test]
fn a_file_changes_hands_within_one_reload_or_stays_where_it_was() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.write("target0", 512, 5);
    let old = Arc::clone(&shop.unit("target0").served);
    // The same bytes with another start: another disk in the same file.
    let (text, broken) = (
        "extent0 @/a 512 512KB\ntarget0 rw extent0 any\n",
        "extent0 @/a 512 512KB\ntarget0 rw extent0 any\nextent1 @/a/x 0 1MB\ntarget1 rw extent1 any\n",
    );
    shop.refused(broken);
    shop.assert_holds("target0", 512, 5);
    shop.to(text);
    assert!(!Arc::ptr_eq(&old, &shop.unit("target0").served), "clients see another disk");
    assert_eq!(old.unit().medium().absence(), Some(Absence::Offline));
    shop.assert_holds("target0", 0, 5);
}

#[test]
fn a_change_that_fails_half_way_brings_everything_back() {
    let mut shop = Shop::new();
    let before = "extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n";
    shop.to(before);
    shop.write("target0", 0, 8);
    // The second extent's file is only known to be no file once the first one's has been let go of.
    fs::create_dir(shop.path("folder")).unwrap();
    let text =
        "extent0 @/a 0 1MB\nextent1 @/folder 0 1MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n";
    let refusal = shop.refused(text);
    assert!(refusal.contains("is a directory"), "{refusal}");
    shop.assert_holds("target0", 0, 8);
    shop.write("target0", 0, 9);
    assert!(shop.unit("target0").served.unit().medium().absence().is_none());
}

#[test]
fn a_disk_of_several_extents_is_one_after_the_other_and_grows_by_another() {
    let mut shop = Shop::new();
    let one = "extent0 @/a 0 1MB\ntarget0 rw extent0 any\n";
    let two = "extent0 @/a 0 1MB\nextent1 @/b 0 2MB\ndevice0 RAID0 extent0 extent1\ntarget0 rw device0 any\n";
    shop.to(one);
    shop.write("target0", 0, 4);
    let (served, serial) = (Arc::clone(&shop.unit("target0").served), shop.serial("target0"));
    assert_eq!(attentions(&shop.to(two)), [Attention::CapacityChanged]);
    assert!(Arc::ptr_eq(&served, &shop.unit("target0").served), "its clients keep their disk");
    assert_eq!((shop.volume("target0").capacity(), shop.serial("target0")), (3 * MIB, serial));
    shop.assert_holds("target0", 0, 4);
    shop.write("target0", MIB - 256, 6);
    assert_eq!(fs::read(shop.path("b")).unwrap()[..257], [vec![6; 256], vec![0]].concat());
    let refusal = shop.refused(one);
    assert!(refusal.contains("--allow-shrink"), "{refusal}");
    shop.assert_holds("target0", MIB - 256, 6);
}

#[test]
fn another_serial_number_or_block_length_is_another_disk_to_clients() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.write("target0", 0, 4);
    let old = Arc::clone(&shop.unit("target0").served);
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any serial=MINE block=4096\n");
    let new = Arc::clone(shop.unit("target0").served.unit());
    assert!(!Arc::ptr_eq(old.unit(), &new));
    assert_eq!((new.identity().serial.as_str(), new.block_length()), ("MINE", 4096));
    assert_eq!(new.identity().naa[0] >> 4, 3);
    assert_ne!(new.identity().naa, old.unit().identity().naa);
    shop.assert_holds("target0", 0, 4);
}

#[test]
fn disks_are_resized_taken_away_and_brought_back() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(MIB).unwrap();
    let text = "extent0 @/a 0 size\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n";
    shop.to(text);
    let (sized, fixed) = (shop.inventory.find("target0").unwrap(), shop.inventory.find("target1").unwrap());
    assert!(shop.inventory.resize(sized, 2 * MIB).unwrap());
    assert!(!shop.inventory.resize(sized, 2 * MIB).unwrap(), "it has that size already");
    assert_eq!(shop.volume("target0").capacity(), 2 * MIB);
    for (position, bytes, words) in [
        (sized, MIB, "never shrinks"),
        (sized, 3 * MIB + 1, "no whole blocks of 512"),
        (fixed, 2 * MIB, "targets, line 3; write there `extent1 "),
    ] {
        let error = format!("{:#}", shop.inventory.resize(position, bytes).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    shop.inventory.take_offline(sized, deadline).unwrap();
    assert_eq!(shop.unit("target0").served.unit().medium().absence(), Some(Absence::Offline));
    assert!(shop.inventory.take_offline(sized, deadline).is_err());
    assert!(shop.inventory.resize(sized, 3 * MIB).is_err());
    assert!(shop.to(text).attentions.is_empty(), "a reload leaves it offline");
    fs::OpenOptions::new().write(true).open(shop.path("a")).unwrap().set_len(3 * MIB).unwrap();
    let told = shop.inventory.bring_online(sized).unwrap();
    assert_eq!(told, [Attention::BecameReady, Attention::CapacityChanged]);
    assert!(shop.inventory.bring_online(sized).is_err());
    assert!(shop.inventory.accept_loss(sized).unwrap_err().to_string().contains("nothing to accept"));
}

#[test]
fn disks_are_found_by_every_name_that_means_one() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(MIB).unwrap();
    let two_readers = "extent0 @/a 0 1MB\ntarget0 ro extent0 any\ntarget1 ro extent0 any\n";
    shop.to(&format!("{two_readers}extent2 @/c 0 1MB\ntarget2 rw extent2 any\n"));
    let (first, third) = (shop.inventory.find("target0").unwrap(), shop.inventory.find("target2").unwrap());
    assert_ne!(first, third);
    assert_eq!(shop.inventory.find("target1"), Some(first), "they share the extent");
    assert_eq!(shop.inventory.find("iqn.2026-01.org.example:target2"), Some(third));
    assert_eq!(shop.inventory.find("iqn.2026-01.org.example:target2/0"), Some(third));
    assert_eq!(shop.inventory.find(shop.path("c").to_str().unwrap()), Some(third));
    assert_eq!(shop.inventory.find("target"), None);
    let Catalogue { targets, .. } = shop.inventory.catalogue();
    assert_eq!(targets.len(), 3);
    assert!(Path::new(&shop.path("a")).exists());
}

#[test]
fn an_image_that_has_vanished_is_not_made_anew() {
    let mut shop = Shop::new();
    let text = "extent0 @/a 0 1MB\ntarget0 rw extent0 any\n";
    shop.to(text);
    shop.write("target0", 0, 1);
    let disk = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(disk, Instant::now() + Duration::from_secs(5)).unwrap();
    fs::rename(shop.path("a"), shop.path("elsewhere")).unwrap();
    let refusal = format!("{:#}", shop.inventory.bring_online(disk).unwrap_err());
    assert!(refusal.contains("is not there") && refusal.contains("mounted"), "{refusal}");
    fs::remove_file(shop.path("a.timedisk")).unwrap();
    assert!(shop.inventory.bring_online(disk).is_err(), "not even without its state");
    shop.inventory = Inventory::new(None);
    shop.to(text);
    shop.inventory = Inventory::new(None);
    fs::remove_file(shop.path("a")).unwrap();
    assert!(shop.refused(text).contains("a.timedisk says that it was served before"));
    assert!(!shop.path("a").exists());
}

#[test]
fn a_member_that_leaves_a_device_becomes_a_disk_of_its_own() {
    let mut shop = Shop::new();
    let extents = "extent0 @/a 0 1MB\nextent1 @/b 0 1MB\n";
    shop.to(&format!("{extents}device0 RAID0 extent0 extent1\ntarget0 rw device0 any\n"));
    shop.write("target0", MIB, 5);
    let apart = format!("{extents}target0 rw extent0 any\ntarget1 rw extent1 any\n");
    assert!(shop.refused(&apart).contains("--allow-shrink"));
    shop.assert_holds("target0", MIB, 5);
    shop.change(&apart, true).unwrap();
    shop.assert_holds("target1", 0, 5);
    assert_eq!(shop.volume("target0").capacity(), MIB);
}

#[test]
fn a_disk_that_comes_back_shorter_stays_offline() {
    let mut shop = Shop::new();
    fs::File::create(shop.path("a")).unwrap().set_len(2 * MIB).unwrap();
    let text = "extent0 @/a 0 size\ntarget0 rw extent0 any\n";
    shop.change(text, true).unwrap();
    let disk = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(disk, Instant::now() + Duration::from_secs(5)).unwrap();
    fs::OpenOptions::new().write(true).open(shop.path("a")).unwrap().set_len(MIB).unwrap();
    let refusal = format!("{:#}", shop.inventory.bring_online(disk).unwrap_err());
    assert!(refusal.contains("lose its end"), "{refusal}");
    fs::OpenOptions::new().write(true).open(shop.path("a")).unwrap().set_len(2 * MIB).unwrap();
    shop.inventory.bring_online(disk).unwrap();
}
