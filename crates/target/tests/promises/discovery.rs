//! Discovery shows each initiator what is for it, however long the list is.

use timedisk_iscsi::pdu::{RejectReason, Response, layout};
use timedisk_target::Target;
use timedisk_volume::MemoryVolume;

use super::wire::{Initiator, Lab, Scsi, full_name, only_for, open_target};

fn target(name: &str) -> Target {
    open_target(name, MemoryVolume::new(1 << 20))
}

fn for_nobody(name: &str) -> Target {
    only_for(target(name), |_| false)
}

fn for_loopback(name: &str) -> Target {
    only_for(target(name), |address| address.is_loopback())
}

/// What SendTargets answers for these targets.
fn listing(lab: &Lab, names: &[&str]) -> Vec<(String, String)> {
    let of = |name: &&str| {
        let address = format!("{},1", lab.address);
        [("TargetName".to_string(), full_name(name)), ("TargetAddress".to_string(), address)]
    };
    names.iter().flat_map(of).collect()
}

#[test]
fn it_lists_what_this_address_may_see_and_nothing_else() {
    let lab = Lab::new(vec![target("open"), for_nobody("secret"), for_loopback("near")]);
    let mut initiator = Initiator::discovery(lab.address, &[]);
    assert_eq!(initiator.ask(b"SendTargets=All\0"), listing(&lab, &["open", "near"]));
    let by_name = |name: &str| format!("SendTargets={}\0", full_name(name));
    assert_eq!(initiator.ask(by_name("near").as_bytes()), listing(&lab, &["near"]));
    assert_eq!(initiator.ask(by_name("secret").as_bytes()), []);
    assert_eq!(initiator.ask(by_name("nowhere").as_bytes()), []);
    let rejected = [("SendTargets".to_string(), "Reject".to_string())];
    assert_eq!(initiator.ask(b"SendTargets=\0"), rejected, "it has no target of its own");
}

#[test]
fn a_session_with_a_target_learns_of_that_one_only() {
    let lab = Lab::new(vec![target("open"), target("other")]);
    let mut initiator = lab.session("open", &[]);
    assert_eq!(initiator.ask(b"SendTargets=\0"), listing(&lab, &["open"]));
    let rejected = [("SendTargets".to_string(), "Reject".to_string())];
    assert_eq!(initiator.ask(b"SendTargets=All\0"), rejected);
}

#[test]
fn a_list_longer_than_a_pdu_goes_on_until_it_is_whole() {
    let names: Vec<String> = (0..300).map(|number| format!("disk{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lab = Lab::new(names.iter().map(|name| target(name)).collect());
    // Receiving checks that no PDU is longer than was declared.
    for offers in [&[("MaxRecvDataSegmentLength", "512")][..], &[]] {
        let mut initiator = Initiator::discovery(lab.address, offers);
        assert_eq!(initiator.ask(b"SendTargets=All\0"), listing(&lab, &names));
        assert_eq!(initiator.ask(b"SendTargets=All\0").len(), 600, "and again");
    }
}

#[test]
fn there_are_no_disks_in_a_discovery_session() {
    let lab = Lab::new(vec![target("open")]);
    let mut initiator = Initiator::discovery(lab.address, &[]);
    let tag = initiator.tag();
    let command = initiator.command(tag, &Scsi::inquiry(), &[]);
    let management = initiator.task_management(5, 0, 0);
    for pdu in [command, management] {
        initiator.send(&pdu);
        let reject = initiator.expect(Response::Reject);
        assert_eq!(layout::TextResponse::of(&reject.header).reason, RejectReason::ProtocolError as u8);
        assert_eq!(reject.data, pdu.header);
    }
    initiator.check_alive();
    let logout = initiator.logout();
    initiator.send(&logout);
    initiator.expect(Response::Logout);
    initiator.await_close();
}
