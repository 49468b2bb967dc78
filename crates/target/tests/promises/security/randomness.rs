//! What nobody may guess or see again: challenges, their identifiers, session handles and tokens.

use std::collections::HashSet;

use timedisk_iscsi::encoding::decode;
use timedisk_iscsi::pdu::layout;
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;

use super::super::wire::{Initiator, Lab, Scsi, login_status, pairs, text};
use super::{guarded, people};

const SECURITY: u8 = 0;

/// CHAP_I and CHAP_C that a fresh connection is given.
fn challenge(lab: &Lab) -> (u8, Vec<u8>) {
    let mut initiator = Initiator::connect(lab.address);
    let mut keys = initiator.identity(Some("disk"));
    keys.extend([("AuthMethod", "CHAP"), ("CHAP_A", "5")].map(|(key, value)| (key.into(), value.into())));
    let response = initiator.login_step(SECURITY, &text(&keys));
    assert_eq!(login_status(&response), 0);
    let find = |key: &str| pairs(&response.data).into_iter().find(|pair| pair.0 == key).unwrap().1;
    (find("CHAP_I").parse().unwrap(), decode(&find("CHAP_C"), 1024).unwrap())
}

/// Bits that are set, in the mean of one byte of each.
fn mean_of_bits(bytes: impl Iterator<Item = u8>) -> f64 {
    let (bits, count) = bytes.fold((0, 0), |(bits, count), byte| (bits + byte.count_ones(), count + 1));
    f64::from(bits) / f64::from(count)
}

#[test]
fn no_challenge_comes_twice_over_a_hundred_restarts_cve_2024_45751() {
    const RESTARTS: usize = 100;
    const EACH: usize = 100;
    let (mut seen, mut identifiers, mut first) = (HashSet::new(), HashSet::new(), HashSet::new());
    for _ in 0..RESTARTS {
        let lab = Lab::with(
            vec![guarded("disk", &["ann"], MemoryVolume::new(1 << 20))],
            people(),
            Limits::default(),
        );
        for number in 0..EACH {
            let (identifier, bytes) = challenge(&lab);
            assert!(bytes.len() >= 16, "{} bytes", bytes.len());
            identifiers.insert(identifier);
            if number == 0 {
                first.insert(identifier);
            }
            assert!(seen.insert(bytes), "a challenge has come before");
        }
    }
    assert_eq!(seen.len(), RESTARTS * EACH);
    // All 256 identifiers come among 10,000, and a restart begins anywhere (of 100, some 83 differ).
    assert_eq!(identifiers.len(), 256);
    assert!(first.len() > 50, "{} identifiers begin {RESTARTS} restarts", first.len());
    // No byte of a challenge is fixed or counts: half of its bits are set, to within 8 standard deviations.
    for at in 0..16 {
        let mean = mean_of_bits(seen.iter().map(|challenge| challenge[at]));
        assert!((mean - 4.0).abs() < 0.12, "byte {at} has {mean} bits set in the mean");
    }
}

/// TSIH of a fresh session, which ends with its connection.
fn handle(lab: &Lab) -> u16 {
    let mut initiator = Initiator::connect(lab.address);
    let keys = initiator.identity(Some("disk"));
    let response = initiator.login_step(0x87, &text(&keys));
    assert_eq!(login_status(&response), 0);
    layout::LoginResponse::of(&response.header).tsih.get()
}

#[test]
fn session_handles_do_not_count_and_do_not_begin_anew() {
    let mut firsts = HashSet::new();
    for _ in 0..20 {
        let lab = Lab::memory(1 << 20);
        let handles: Vec<u16> = (0..20).map(|_| handle(&lab)).collect();
        let neighbours = handles.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) == 1).count();
        assert!(neighbours < 3, "{handles:?}");
        assert!(!handles.contains(&0));
        firsts.insert(handles[0]);
    }
    assert!(firsts.len() > 15, "{} handles begin 20 restarts", firsts.len());
}

#[test]
fn a_handle_of_anothers_session_opens_nothing() {
    let lab = Lab::memory(1 << 20);
    let mut owner = lab.session("disk", &[]);
    let tsih = lab.server().sessions()[0].tsih;
    for is_same in [true, false] {
        let mut thief = Initiator::connect(lab.address);
        if is_same {
            (thief.name, thief.isid) = (owner.name.clone(), owner.isid);
        }
        let mut request = thief.login_request(0x87, &text(&thief.identity(Some("disk"))));
        let mut header = layout::LoginRequest::of(&request.header);
        header.tsih = tsih.into();
        request.header = header.bytes();
        thief.send(&request);
        assert_ne!(login_status(&thief.receive().unwrap()), 0);
        thief.await_close();
        owner.check_alive();
    }
}

#[test]
fn no_token_is_like_another_over_restarts() {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let lab = Lab::memory(1 << 20);
        let mut initiator = lab.session("disk", &[]);
        for _ in 0..10 {
            let list = [&[0, 30][..], &[0; 12], &[0, 16], &[0; 8], &8u32.to_be_bytes(), &[0; 4]].concat();
            let mut populate = Scsi::output(&[0x83, 0x10, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 32, 0, 0], &list);
            populate.cdb[13] = list.len() as u8;
            initiator.run(&populate).good();
            let told =
                initiator.run(&Scsi::input(&[0x84, 7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0], 1024));
            let token = told.good()[38..550].to_vec();
            // 32 bytes of it are random: wherever they are, no run of 16 that is not in every token comes twice.
            seen.insert(token);
        }
    }
    assert_eq!(seen.len(), 200);
    let tokens: Vec<_> = seen.iter().collect();
    let varying: Vec<usize> =
        (0..512).filter(|at| tokens.iter().any(|token| token[*at] != tokens[0][*at])).collect();
    assert!(varying.len() >= 32, "only {} bytes vary", varying.len());
    let mean = mean_of_bits(varying.iter().flat_map(|at| tokens.iter().map(|token| token[*at])));
    assert!((mean - 4.0).abs() < 0.2, "{mean} bits set in the mean");
}
