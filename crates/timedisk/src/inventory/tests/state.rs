//! One copy of what a disk must not forget; and disks that come and go with it.

use super::*;

fn mode_select_saved(shop: &Shop, name: &str, wce: u8) {
    let unit = Arc::clone(shop.unit(name).served.unit());
    let server = timedisk_scsi::DeviceServer::new("iqn.x", 1, vec![(0, unit)]);
    let nexus = timedisk_scsi::NexusId(77);
    server.nexus_established(nexus, "iqn.i,i,0x1");
    let mut list = vec![0u8; 4];
    list.extend([0x08, 18, wce << 2]);
    list.extend([0u8; 17]);
    let cdb = [0x15, 0x11, 0, 0, 24, 0];
    let mut last = None;
    for _ in 0..4 {
        let done = server.execute(nexus, [0; 8], &cdb, server.plan([0; 8], &cdb), &list, &mut []);
        last = Some((done.status as u8, done.sense.clone()));
        if done.status as u8 == 0 {
            return;
        }
    }
    panic!("{last:?}");
}

#[test]
fn a_saved_mode_parameter_does_not_wipe_the_mark_of_a_failed_flush() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let at = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5)).unwrap();
    shop.inventory.bring_online(at).unwrap();
    shop.unit("target0").files[0].state().mark_flush_failed("Input/output error").unwrap();
    assert!(fs::read_to_string(shop.path("a.timedisk")).unwrap().contains("flush-failed"));
    mode_select_saved(&shop, "target0", 0);
    shop.inventory = Inventory::new(Some(shop.path("state")));
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    assert_eq!(
        shop.unit("target0").files[0].health(),
        timedisk_volume::Health::FlushFailed,
        "a restart does not forget it"
    );
}

#[test]
fn a_saved_mode_parameter_does_not_wipe_the_size() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 ro extent0 any\n".replace("ro", "rw").as_str());
    let at = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5)).unwrap();
    shop.inventory.bring_online(at).unwrap();
    shop.to("extent0 @/a 0 4MB\ntarget0 rw extent0 any\n");
    mode_select_saved(&shop, "target0", 0);
    shop.inventory = Inventory::new(Some(shop.path("state")));
}

#[test]
fn what_a_client_saved_stays_saved() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let at = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5)).unwrap();
    shop.inventory.bring_online(at).unwrap();
    mode_select_saved(&shop, "target0", 0);
    let saved = fs::read_to_string(shop.path("a.timedisk")).unwrap();
    assert!(saved.contains("write-cache"), "{saved}");
    shop.to("extent0 @/a 0 4MB\ntarget0 rw extent0 any\n");
    let saved = fs::read_to_string(shop.path("a.timedisk")).unwrap();
    assert!(saved.contains("write-cache"), "{saved}");
}

#[test]
fn another_image_that_comes_online_is_not_taken_for_the_old_one() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\nextent1 @/b 0 1MB\ntarget1 rw extent1 any\n");
    let other = shop.serial("target1");
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let at = shop.inventory.find("target0").unwrap();
    shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5)).unwrap();
    fs::rename(shop.path("b"), shop.path("a")).unwrap();
    fs::rename(shop.path("b.timedisk"), shop.path("a.timedisk")).unwrap();
    let result = shop.inventory.bring_online(at);
    assert!(result.is_err() || shop.serial("target0") == other, "{result:?}");
}

#[test]
fn a_disk_that_failed_can_be_taken_offline() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.unit("target0").files[0].state().mark_flush_failed("Input/output error").unwrap();
    shop.inventory = Inventory::new(Some(shop.path("state")));
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    assert_eq!(shop.unit("target0").files[0].health(), timedisk_volume::Health::FlushFailed);
    let at = shop.inventory.find("target0").unwrap();
    let result = shop.inventory.take_offline(at, Instant::now() + Duration::from_secs(5));
    result.map_err(|e| format!("{e:#}")).unwrap();
}

#[test]
fn a_disk_that_failed_can_be_taken_out() {
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.unit("target0").files[0].state().mark_flush_failed("Input/output error").unwrap();
    shop.inventory = Inventory::new(Some(shop.path("state")));
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    shop.to("extent1 @/b 0 1MB\ntarget1 rw extent1 any\n");
}

#[test]
fn going_offline_has_a_time_limit() {
    use timedisk_volume::{HeldVolume, MemoryVolume, Operation};
    let mut shop = Shop::new();
    shop.to("extent0 @/a 0 1MB\ntarget0 rw extent0 any\n");
    let held = Arc::new(HeldVolume::new(MemoryVolume::new(MIB)));
    held.hold(Operation::Flush);
    shop.unit("target0").served.unit().medium().put(held);
    let (sender, receiver) = std::sync::mpsc::channel();
    let _hanging = std::thread::spawn(move || {
        let at = shop.inventory.find("target0").unwrap();
        let _ = sender
            .send(shop.inventory.take_offline(at, Instant::now() + Duration::from_millis(500)).is_err());
    });
    receiver.recv_timeout(Duration::from_secs(8)).expect("it gives up when its time is over");
}
