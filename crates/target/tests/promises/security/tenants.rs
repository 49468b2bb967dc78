//! Two tenants of one server know the names of each other's disks, and each other's tokens: no copy crosses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use timedisk_target::{Catalogue, Disk, Limits};
use timedisk_volume::{Durability, MemoryVolume, Volume};

use super::super::wire::{
    BLOCK, Initiator, Lab, Proof, Reply, Scsi, assert_same, block, mount, open_target, unit,
};
use super::{ANN, BOB, guarded, people};

const CAPACITY: u64 = 64 << 10;
const NOT_REACHABLE: (u8, u8, u8) = (0x0a, 0x0d, 0x02);
const UNKNOWN_TOKEN: (u8, u8, u8) = (0x05, 0x23, 0x04);

/// As [`unit`] makes it of a disk's name.
fn naa(name: &str) -> [u8; 8] {
    [0x3f, 0, 0, 0, 0, 0, 0, name.len() as u8]
}

fn full_of(byte: u8) -> MemoryVolume {
    let volume = MemoryVolume::new(CAPACITY);
    volume.write(0, &vec![byte; CAPACITY as usize], Durability::Volatile).unwrap();
    volume
}

/// Lengths of EXTENDED COPY's list identifier: a byte (LID1) or four (LID4).
#[derive(Clone, Copy, Debug)]
enum Form {
    Lid1,
    Lid4,
}

/// EXTENDED COPY of eight blocks from the beginning of one disk to block 64 of another, with the results discarded.
fn copy(form: Form, from: [u8; 8], to: [u8; 8]) -> Scsi {
    let mut units = Vec::new();
    for naa in [from, to] {
        units.extend([0xe4, 0, 0, 0, 1, 3, 0, 8]);
        units.extend(naa);
        units.extend([0; 14]);
        units.extend((BLOCK as u16).to_be_bytes());
    }
    let mut segment = vec![0x02, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 8];
    segment.extend(0u64.to_be_bytes());
    segment.extend(64u64.to_be_bytes());
    let mut list = match form {
        Form::Lid1 => vec![0; 16],
        Form::Lid4 => vec![0; 48],
    };
    match form {
        Form::Lid1 => (list[1], list[3], list[11]) = (3 << 3, units.len() as u8, segment.len() as u8),
        Form::Lid4 => {
            (list[0], list[1], list[3], list[16]) = (1, 3 << 3, 0x20, 0xff);
            (list[43], list[45]) = (units.len() as u8, segment.len() as u8);
        }
    }
    list.extend(units);
    list.extend(segment);
    third_party(u8::from(matches!(form, Form::Lid4)), &list)
}

fn third_party(action: u8, list: &[u8]) -> Scsi {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (0x83, action);
    if action > 1 {
        cdb[9] = 5;
    }
    cdb[10..14].copy_from_slice(&(list.len() as u32).to_be_bytes());
    Scsi::output(&cdb, list)
}

fn with_length(rest: &[u8]) -> Vec<u8> {
    [&(rest.len() as u16).to_be_bytes()[..], rest].concat()
}

/// A range of eight blocks.
fn range(lba: u64) -> Vec<u8> {
    [&16u16.to_be_bytes()[..], &lba.to_be_bytes(), &8u32.to_be_bytes(), &[0; 4]].concat()
}

fn populate() -> Scsi {
    third_party(0x10, &with_length(&[&[0; 12][..], &range(0)].concat()))
}

fn information() -> Scsi {
    Scsi::input(&[0x84, 7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0], 1024)
}

/// A token for the first eight blocks of the disk at LUN 0.
fn token(initiator: &mut Initiator) -> Vec<u8> {
    initiator.run(&populate()).good();
    initiator.run(&information()).good()[38..550].to_vec()
}

/// WRITE USING TOKEN to block 64.
fn write_using(token: &[u8]) -> Scsi {
    third_party(0x11, &with_length(&[&[0; 14][..], token, &[0; 6], &range(64)].concat()))
}

/// Logged in as this user under this initiator name, with all attentions taken.
fn tenant(lab: &Lab, proof: &Proof<'_>, target: &str) -> Initiator {
    let (mut initiator, _) = proof.log_in(lab, Some(target)).unwrap();
    while initiator.run(&Scsi::test_unit_ready()).status != 0 {}
    initiator
}

/// Disks whose names differ in length have different NAA identifiers.
fn two_tenants() -> Lab {
    let targets = vec![guarded("ann", &["ann"], full_of(1)), guarded("robert", &["bob"], full_of(2))];
    Lab::with(targets, people(), Limits::default())
}

fn assert_untouched(initiator: &mut Initiator, byte: u8) {
    assert_same(&initiator.run(&Scsi::read(0, 128)).good(), &vec![byte; CAPACITY as usize]);
}

#[test]
fn a_copy_reaches_no_disk_of_another_tenant_cve_2020_28374() {
    let lab = two_tenants();
    let (mut ann, mut bob) = (tenant(&lab, &ANN, "ann"), tenant(&lab, &BOB, "robert"));
    let (hers, his) = (naa("ann"), naa("robert"));
    for form in [Form::Lid1, Form::Lid4] {
        // That her own disk is reached shows that nothing else is wrong with the list.
        ann.run(&copy(form, hers, hers)).good();
        bob.run(&copy(form, his, his)).good();
        for (from, to) in [(hers, his), (his, hers)] {
            for initiator in [&mut ann, &mut bob] {
                assert_eq!(initiator.run(&copy(form, from, to)).condition(), NOT_REACHABLE, "{form:?}");
            }
        }
        assert_eq!(ann.run(&copy(form, his, his)).condition(), NOT_REACHABLE, "{form:?}");
    }
    assert_untouched(&mut ann, 1);
    assert_untouched(&mut bob, 2);
}

#[test]
fn a_token_of_another_tenant_is_of_no_use_cve_2020_28374() {
    let lab = two_tenants();
    let (mut ann, mut bob) = (tenant(&lab, &ANN, "ann"), tenant(&lab, &BOB, "robert"));
    // Both call themselves the same: a name that nothing proves opens nothing either.
    assert_eq!(ann.name, bob.name);
    let (hers, his) = (token(&mut ann), token(&mut bob));
    assert_eq!(ann.run(&write_using(&his)).condition(), UNKNOWN_TOKEN);
    assert_eq!(bob.run(&write_using(&hers)).condition(), UNKNOWN_TOKEN);
    ann.run(&write_using(&hers)).good();
    bob.run(&write_using(&his)).good();
    assert_untouched(&mut ann, 1);
    assert_untouched(&mut bob, 2);
}

#[test]
fn a_token_is_not_told_to_other_initiators_of_the_disk() {
    let lab = Lab::new(vec![open_target("disk", full_of(1))]);
    let mut ann = lab.session("disk", &[]);
    let hers = token(&mut ann);
    let mut bob = Initiator::connect(lab.address);
    bob.name = "iqn.2026-01.org.example:another".into();
    bob.log_in(Some("disk"), &[]).unwrap();
    while bob.run(&Scsi::test_unit_ready()).status != 0 {}
    let told = bob.run(&information());
    assert!(told.status != 0 || !told.data.windows(32).any(|part| hers.windows(32).any(|hers| hers == part)));
    assert_eq!(bob.run(&write_using(&hers)).condition(), UNKNOWN_TOKEN, "though he has got hold of it");
    ann.run(&write_using(&hers)).good();
}

/// One target with disks `ann` and `robert`; the second is for those only who log in while the flag is set.
fn half_hidden() -> (Lab, Arc<AtomicBool>) {
    let is_shown = Arc::new(AtomicBool::new(true));
    let shown = Arc::clone(&is_shown);
    let mut target = open_target("disks", full_of(0));
    target.mounts = vec![
        mount(0, &Disk::new("ann", unit("ann", full_of(1))), |_| true),
        mount(1, &Disk::new("robert", unit("robert", full_of(2))), move |_| shown.load(SeqCst)),
    ];
    (Lab::new(vec![target]), is_shown)
}

fn who_has(lab: &Lab, luns: &[u8]) -> Initiator {
    let mut initiator = lab.session("disks", &[]);
    for lun in luns {
        while initiator.run(&Scsi::test_unit_ready().at(*lun)).status != 0 {}
    }
    initiator
}

#[test]
fn a_disk_that_a_mask_hides_is_reached_by_no_copy_and_no_token() {
    let (lab, is_shown) = half_hidden();
    let mut whole = who_has(&lab, &[0, 1]);
    whole.run(&copy(Form::Lid1, naa("ann"), naa("ann"))).good();
    whole.run(&populate().at(1)).good();
    let token = whole.run(&information().at(1)).good()[38..550].to_vec();
    is_shown.store(false, SeqCst);
    let mut half = who_has(&lab, &[0]);
    for form in [Form::Lid1, Form::Lid4] {
        for (from, to) in [("ann", "robert"), ("robert", "ann")] {
            assert_eq!(half.run(&copy(form, naa(from), naa(to))).condition(), NOT_REACHABLE, "{form:?}");
        }
    }
    assert_eq!(half.run(&write_using(&token)).condition(), UNKNOWN_TOKEN);
    assert_untouched(&mut half, 1);
    // Who sees both copies between them: the refusals were for what is hidden.
    whole.run(&write_using(&token)).good();
    assert_eq!(whole.run(&Scsi::read(64, 1)).good(), block(2));
}

/// PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY, RESERVE or CLEAR, with key 7.
fn reserve_out(action: u8, kind: u8, lun: u8) -> Scsi {
    let (key, new) = if action == 6 { (0u64, 7u64) } else { (7, 0) };
    let list = [&key.to_be_bytes()[..], &new.to_be_bytes(), &[0; 8]].concat();
    Scsi::output(&[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0], &list).at(lun)
}

fn is_refused(reply: &Reply) -> bool {
    // RESERVATION CONFLICT of the command itself, or of the copy at its other end (COPY ABORTED).
    reply.status == 0x18 || (reply.status == 0x02 && reply.condition().0 == 0x0a)
}

#[test]
fn a_reservation_of_a_third_keeps_copies_and_tokens_out_as_it_does_reads_and_writes() {
    const WRITE_EXCLUSIVE: u8 = 1;
    const EXCLUSIVE_ACCESS: u8 = 3;
    let (lab, _) = half_hidden();
    let mut own = who_has(&lab, &[0, 1]);
    let mut third = Initiator::connect(lab.address);
    third.name = "iqn.2026-01.org.example:a-third".into();
    third.log_in(Some("disks"), &[]).unwrap();
    // From `ann` at LUN 0 to `robert` at LUN 1.
    let token = token(&mut own);
    for (lun, kind, may_copy) in [
        (0, WRITE_EXCLUSIVE, true),
        (0, EXCLUSIVE_ACCESS, false),
        (1, WRITE_EXCLUSIVE, false),
        (1, EXCLUSIVE_ACCESS, false),
    ] {
        while third.run(&Scsi::test_unit_ready().at(lun)).status != 0 {}
        third.run(&reserve_out(6, 0, lun)).good();
        third.run(&reserve_out(1, kind, lun)).good();
        for command in [
            copy(Form::Lid1, naa("ann"), naa("robert")).at(1),
            copy(Form::Lid4, naa("ann"), naa("robert")).at(1),
            write_using(&token).at(1),
        ] {
            let reply = own.run(&command);
            assert_eq!(reply.status == 0, may_copy, "LUN {lun}, type {kind}: {reply:x?}");
            assert!(may_copy || is_refused(&reply), "LUN {lun}, type {kind}: {reply:x?}");
        }
        // The same commands sent to where nothing is reserved.
        if lun == 1 {
            for form in [Form::Lid1, Form::Lid4] {
                assert!(is_refused(&own.run(&copy(form, naa("ann"), naa("robert")))));
            }
        }
        third.run(&reserve_out(3, 0, lun)).good();
        while own.run(&Scsi::test_unit_ready().at(lun)).status != 0 {}
    }
    let expected = [&[2; 64 * BLOCK][..], &[1; 8 * BLOCK], &[2; 56 * BLOCK]].concat();
    assert_same(&third.run(&Scsi::read(0, 128).at(1)).good(), &expected);
}

#[test]
fn a_tenant_that_is_gone_from_the_catalogue_leaves_no_token_that_works() {
    let lab = two_tenants();
    let mut ann = tenant(&lab, &ANN, "ann");
    let hers = token(&mut ann);
    let rest = vec![guarded("robert", &["bob"], full_of(2))];
    lab.server().exchange(Catalogue { targets: rest, users: people(), ..Catalogue::default() });
    ann.await_close();
    let mut bob = tenant(&lab, &BOB, "robert");
    assert_eq!(bob.run(&write_using(&hers)).condition(), UNKNOWN_TOKEN);
    assert_untouched(&mut bob, 2);
}
