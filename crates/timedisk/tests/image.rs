//! `timedisk image` as a process, beside a daemon and without one.

#![allow(clippy::unwrap_used, clippy::panic)]

mod lab;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use lab::{Lab, allocated, block, has_all};
use timedisk_volume::DiskState;

const MIB: u64 = 1 << 20;

#[test]
fn info_counts_every_range_of_data_of_an_image_with_ten_thousand_holes() {
    let lab = Lab::new();
    let file = lab.sparse("a", 20_000 * 65_536, (0..10_000).map(|n| n * 131_072));
    let info = lab.json(&["image", "info", "a", "--json"]);
    assert_eq!(info["size_bytes"], 20_000_u64 * 65_536);
    assert_eq!(info["allocated_bytes"], allocated(&file));
    let space = &info["space"];
    assert_eq!((&space["data_ranges"], &space["holes"]), (&10_000.into(), &10_000.into()), "{space}");
    assert_eq!((&space["data_bytes"], &space["largest_hole_bytes"]), (&40_960_000.into(), &126_976.into()));
    assert_eq!(space["map"], "1".repeat(64));
    assert_eq!((&info["disks"], &info["holder"]), (&serde_json::json!([]), &serde_json::Value::Null));
    has_all(&lab.good(&["image", "info", "a"]), &["10000 ranges", "holes", "by nobody"]);
}

#[test]
fn info_shows_where_data_are_and_whose_disk_it_is() {
    let lab = Lab::new();
    lab.sparse("a", 64 * MIB, (0..256).map(|n| n * 4096));
    let served = lab.serve(&["a"]);
    let info = lab.json(&["image", "info", "a", "--json"]);
    assert_eq!(info["space"]["map"], format!("#{}", ".".repeat(63)));
    assert_eq!(info["disks"][0]["last_served_bytes"], 64 * MIB);
    assert_eq!(info["holder"]["process"], served.child.id());
    assert_eq!(info["holder"]["disk"]["url"], served.urls[0].as_str());
    assert_eq!(info["holder"]["disk"]["state"], "online");
    let serial = info["disks"][0]["serial"].as_str().unwrap().to_owned();
    let text = lab.good(&["image", "info", "a"]);
    has_all(&text, &[&serial, &served.urls[0], "64MB when it was last served", "good"]);
    drop(served);
    assert_eq!(lab.json(&["image", "info", "a", "--json"])["disks"][0]["serial"], serial.as_str());
}

#[test]
fn a_sound_image_is_called_so_and_nothing_of_it_is_touched() {
    let lab = Lab::new();
    let file = lab.sparse("a", 8 * MIB, [0]);
    has_all(&lab.good(&["image", "check", "a"]), &["a: sound", "new serial number"]);
    assert_eq!(fs::read_dir(lab.directory.path()).unwrap().count(), 1, "nothing was made");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let served = lab.serve(&["a"]);
    has_all(
        &lab.good(&["image", "check", "a", "--read"]),
        &["a: sound", "serves it as target0", "4KB of data"],
    );
    drop(served);
    let check = lab.json(&["image", "check", "a", "--json"]);
    assert_eq!((&check["is_sound"], &check["problems"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
}

#[test]
fn what_stands_in_the_way_of_a_start_is_told_with_what_to_do() {
    let lab = Lab::new();
    let file = lab.sparse("a", 8 * MIB, [0]);
    drop(lab.serve(&["a"]));
    let state = lab.path("a.timedisk");
    let sound = fs::read(&state).unwrap();

    File::options().write(true).open(&file).unwrap().set_len(4 * MIB).unwrap();
    has_all(&lab.bad(&["image", "check", "a"]), &["had 8MB", "has 4MB now", "image resize a 8MB"]);
    lab.good(&["image", "resize", "a", "8MB"]);
    lab.good(&["image", "check", "a"]);

    DiskState::open(&file, 0, None).unwrap().mark_flush_failed("EIO").unwrap();
    has_all(&lab.bad(&["image", "check", "a"]), &["a flush failed (EIO)", "accept-loss a"]);

    fs::write(&state, &sound[..sound.len() - 3]).unwrap();
    has_all(&lab.bad(&["image", "check", "a"]), &["a.timedisk", "damaged", "backup"]);
    fs::write(&state, &sound).unwrap();

    fs::remove_file(&file).unwrap();
    has_all(&lab.bad(&["image", "check", "a"]), &["not there", "mounted", "a.timedisk", "2 problems"]);
    has_all(&lab.bad(&["image", "create", "a", "8MB"]), &["a.timedisk", "bring it back"]);
    assert!(!file.exists());
}

#[test]
fn an_image_is_made_sparse_and_never_over_another() {
    let lab = Lab::new();
    has_all(&lab.good(&["image", "create", "a", "8TB"]), &["8TB", "sparse"]);
    let metadata = fs::metadata(lab.path("a")).unwrap();
    assert_eq!(metadata.len(), 8 << 40);
    assert!(allocated(&lab.path("a")) < MIB);
    has_all(&lab.bad(&["image", "create", "a", "1MB"]), &["exists", "left alone"]);
    std::os::unix::fs::symlink("nowhere", lab.path("link")).unwrap();
    has_all(&lab.bad(&["image", "create", "link", "1MB"]), &["exists"]);
    for (size, word) in
        [("0", "no bytes"), ("1000", "write 1KB"), ("lots", "lots"), ("9223372036854775808", "so long")]
    {
        has_all(&lab.bad(&["image", "create", "b", size]), &[word]);
    }
    lab.bad(&["image", "create", "none/b", "1MB"]);
    // More than ext4, tmpfs or XFS take, or else less than all of them do.
    if !lab.run(&["image", "create", "b", "9223372036854774784"]).status.success() {
        assert!(!lab.path("b").exists(), "what can't be as long is not left behind");
    }
}

#[test]
fn zeros_become_holes_and_the_content_stays() {
    let lab = Lab::new();
    let path = lab.sparse("a", 64 * MIB, []);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0; 32 * MIB as usize], 0).unwrap();
    for place in [4096, 12_288, 5 * MIB, 32 * MIB - 4096] {
        file.write_all_at(&block(place), place).unwrap();
    }
    file.sync_all().unwrap();
    let before = fs::read(&path).unwrap();
    let dry = lab.json(&["image", "compact", "a", "--dry-run", "--json"]);
    assert_eq!((&dry["zero_bytes"], allocated(&path) >= 32 * MIB), (&(32 * MIB - 4 * 4096).into(), true));
    let done = lab.json(&["image", "compact", "a", "--json"]);
    assert_eq!((&done["zero_bytes"], &done["is_whole"]), (&(32 * MIB - 4 * 4096).into(), &true.into()));
    assert!(allocated(&path) <= 64 << 10, "{done}");
    assert_eq!(done["allocated_bytes"], allocated(&path));
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(
        lab.json(&["image", "compact", "a", "--json"])["zero_bytes"],
        0,
        "there is nothing left to do"
    );
}

#[test]
fn an_image_that_is_served_is_compacted_by_its_daemon_and_not_resized() {
    let lab = Lab::new();
    let path = lab.sparse("a", 8 * MIB, [0]);
    File::options().write(true).open(&path).unwrap().write_all_at(&vec![0; MIB as usize], 4 * MIB).unwrap();
    let before = fs::read(&path).unwrap();
    let served = lab.serve(&["a"]);
    let dry = lab.json(&["image", "compact", "a", "--json", "--dry-run"]);
    let done = lab.json(&["image", "compact", "a", "--json"]);
    assert_eq!((&dry["zero_bytes"], &done["zero_bytes"]), (&MIB.into(), &MIB.into()));
    assert_eq!((&done["allocated_bytes"], &done["is_whole"]), (&4096.into(), &true.into()));
    assert!(fs::read(&path).unwrap() == before);
    has_all(&lab.bad(&["image", "resize", "a", "9MB"]), &["in use", "timedisk resize target0 9MB"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 8 * MIB);
    lab.good(&["offline", "target0"]);
    lab.good(&["image", "compact", "a"]);
    lab.good(&["online", "target0"]);
    drop(served);
    DiskState::open(&path, 0, None).unwrap().mark_flush_failed("EIO").unwrap();
    has_all(&lab.bad(&["image", "compact", "a"]), &["a flush has failed (EIO)", "accept-loss a"]);
}

#[test]
fn an_image_grows_and_shrinks_only_if_that_is_meant() {
    let lab = Lab::new();
    let path = lab.sparse("a", 8 * MIB, [0, 6 * MIB]);
    drop(lab.serve(&["a"]));
    has_all(&lab.good(&["image", "resize", "a", "16MB"]), &["16MB", "8MB before"]);
    drop(lab.serve(&["a"]));
    let said = lab.bad(&["image", "resize", "a", "4MB"]);
    has_all(&said, &["clients have seen 16MB", "4KB of data", "--allow-shrink"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 16 * MIB);
    lab.good(&["image", "resize", "a", "4MB", "--allow-shrink"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 4 * MIB);
    lab.good(&["image", "check", "a"]);
    drop(lab.serve(&["a"]));
}
