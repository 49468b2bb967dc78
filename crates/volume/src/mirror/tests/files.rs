//! Mirrors of real files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::double::resync;
use crate::mirror::Role;
use crate::{
    ConcatenatedVolume, DiskState, Durability, FileRecord, FileVolume, FileWitness, Length, MirrorMember,
    MirrorOptions, MirrorVolume, OpenOptions, Volume,
};

const MEGABYTE: u64 = 1 << 20;

fn member(directory: &Path, name: &str, place: u64, height: usize) -> MirrorMember {
    let path = directory.join(name);
    let made = !path.exists();
    let options = OpenOptions::new(&path, Length::Bytes(4 * MEGABYTE));
    let file = Arc::new(FileVolume::open(options).unwrap());
    let states: Vec<Arc<DiskState>> = vec![Arc::clone(file.state())];
    let witness = FileWitness::new(directory, &path, 0, height).unwrap();
    MirrorMember {
        name: name.into(),
        place,
        volume: Ok(file),
        record: Some(Box::new(FileRecord::new(&states, height))),
        witness: Some(Box::new(witness)),
        born: "x".into(),
        made,
    }
}

fn open(members: Vec<MirrorMember>) -> Arc<MirrorVolume> {
    MirrorVolume::open(members, MirrorOptions::new(Box::new(|_| ()))).unwrap()
}

#[test]
fn files_are_kept_alike_and_raw() {
    let directory = tempfile::tempdir().unwrap();
    let both = || vec![member(directory.path(), "a", 1, 1), member(directory.path(), "b", 2, 1)];
    let mirror = open(both());
    mirror.write(MEGABYTE - 3, b"across", Durability::Volatile).unwrap();
    mirror.write_zeroes(0, 4096, crate::Allocation::Keep, Durability::Durable).unwrap();
    drop(mirror);
    let content = fs::read(directory.path().join("a")).unwrap();
    assert_eq!(content.len() as u64, 4 * MEGABYTE);
    assert!(content == fs::read(directory.path().join("b")).unwrap());
    assert_eq!(&content[MEGABYTE as usize - 3..][..6], b"across");
    let mirror = open(both());
    assert!(mirror.report().members.iter().all(|member| (member.role, member.lacking) == (Role::In, 0)));
    let mut data = [0; 6];
    mirror.read(MEGABYTE - 3, &mut data).unwrap();
    assert_eq!(&data, b"across");
}

#[test]
fn a_mirror_of_mirrors_keeps_its_records_apart() {
    let directory = tempfile::tempdir().unwrap();
    let whole = || {
        let leg = |names: [&str; 2], place: u64| {
            let [one, other] = names.map(|name| member(directory.path(), name, place, 1));
            let states = |height| {
                let state =
                    |name: &str| Arc::new(DiskState::open(&directory.path().join(name), 0, None).unwrap());
                FileRecord::new(&names.map(state), height)
            };
            MirrorMember {
                name: names.join("+"),
                place,
                volume: Ok(open(vec![one, MirrorMember { place: place + 1, ..other }])),
                record: Some(Box::new(states(2))),
                witness: None,
                born: "x".into(),
                made: !directory.path().join("done").exists(),
            }
        };
        open(vec![leg(["a", "b"], 1), leg(["c", "d"], 3)])
    };
    let mirror = whole();
    mirror.write(5, b"four times", Durability::Durable).unwrap();
    drop(mirror);
    fs::write(directory.path().join("done"), "").unwrap();
    let first = fs::read(directory.path().join("a")).unwrap();
    assert_eq!(&first[5..15], b"four times");
    for name in ["b", "c", "d"] {
        assert!(first == fs::read(directory.path().join(name)).unwrap(), "{name}");
    }
}

#[test]
fn a_resync_keeps_holes() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), vec![1; 4096]).unwrap();
    let mirror = open(vec![member(directory.path(), "a", 1, 1), member(directory.path(), "b", 2, 1)]);
    drop(mirror);
    let members = || vec![member(directory.path(), "a", 1, 1), member(directory.path(), "b", 2, 1)];
    let mirror = open(members());
    assert_eq!(mirror.report().members[1].role, Role::Out);
    drop(mirror);
    let mut all = members();
    let spare = member(directory.path(), "c", 3, 1);
    all[1].volume = Err("it is away".into());
    all[1].record = None;
    let mirror = open(all);
    mirror.replace(1, spare).unwrap();
    resync(&mirror);
    drop(mirror);
    assert!(fs::read(directory.path().join("a")).unwrap() == fs::read(directory.path().join("c")).unwrap());
    assert!(fs::metadata(directory.path().join("c")).unwrap().blocks() < 64);
}

#[test]
fn a_concatenation_of_mirrors_reads_across_its_seam() {
    let directory = tempfile::tempdir().unwrap();
    let leg = |one: &str, other: &str| -> Arc<dyn Volume> {
        open(vec![member(directory.path(), one, 1, 1), member(directory.path(), other, 2, 1)])
    };
    let whole = ConcatenatedVolume::new(vec![leg("a", "b"), leg("c", "d")]).unwrap();
    whole.write(4 * MEGABYTE - 2, b"seam", Durability::Durable).unwrap();
    drop(whole);
    let file = |name: &str| fs::read(directory.path().join(name)).unwrap();
    assert!(file("a") == file("b") && file("c") == file("d"));
    assert_eq!((&file("a")[4 * MEGABYTE as usize - 2..], &file("c")[..2]), (&b"se"[..], &b"am"[..]));
}
