//! Portal groups: a target is one SCSI port in each that serves it.

use timedisk_scsi::{AccessState, Attention, PortGroup};
use timedisk_target::{Catalogue, Target};
use timedisk_volume::MemoryVolume;

use super::wire::{Initiator, Lab, Scsi, block, full_name, open_target};

fn target(name: &str) -> Target {
    open_target(name, MemoryVolume::new(1 << 20))
}

fn only_in(groups: &[u16], target: Target) -> Target {
    Target { portal_groups: groups.to_vec(), ..target }
}

const NOT_FOUND: u16 = 0x0203;

fn report() -> Scsi {
    Scsi::input(&[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0], 255)
}

#[test]
fn send_targets_lists_every_portal_of_a_target_with_its_tag() {
    let lab = Lab::of_groups(&[3, 5], vec![target("both"), only_in(&[5], target("one"))]);
    let [three, five] = lab.server().addresses() else { panic!("two portals") };
    let expected: Vec<(String, String)> = [
        ("TargetName", full_name("both")),
        ("TargetAddress", format!("{three},3")),
        ("TargetAddress", format!("{five},5")),
        ("TargetName", full_name("one")),
        ("TargetAddress", format!("{five},5")),
    ]
    .map(|(key, value)| (key.to_string(), value))
    .to_vec();
    for address in [three, five] {
        let mut initiator = Initiator::discovery(*address, &[]);
        assert_eq!(initiator.ask(b"SendTargets=All\0"), expected);
    }
    let mut initiator = Initiator::session(*five, "one", &[]);
    assert_eq!(initiator.ask(b"SendTargets=\0"), expected[3..]);
}

#[test]
fn a_login_goes_to_the_portal_group_that_it_comes_in_by() {
    let lab = Lab::of_groups(&[3, 5], vec![target("both"), only_in(&[5], target("one"))]);
    for (address, tag) in lab.server().addresses().iter().zip(["3", "5"]) {
        let mut initiator = Initiator::connect(*address);
        let answers = initiator.log_in(Some("both"), &[]).unwrap();
        assert_eq!(answers["TargetPortalGroupTag"], tag);
        let one = Initiator::connect(*address).log_in(Some("one"), &[]);
        assert_eq!(one.err(), (tag == "3").then_some(NOT_FOUND));
    }
}

#[test]
fn the_same_initiator_port_has_a_session_in_each_group() {
    let lab = Lab::of_groups(&[3, 5], vec![target("disk")]);
    let [three, five] = lab.server().addresses() else { panic!("two portals") };
    let mut first = Initiator::session(*three, "disk", &[]);
    let mut second = Initiator::connect(*five);
    second.isid = first.isid;
    second.log_in(Some("disk"), &[]).unwrap();
    second.run(&Scsi::test_unit_ready());
    first.run(&Scsi::write(0, &block(7))).good();
    assert_eq!(second.run(&Scsi::read(0, 1)).good(), block(7));
    // In the same group it takes the first one's place.
    let mut third = Initiator::connect(*three);
    third.isid = first.isid;
    third.log_in(Some("disk"), &[]).unwrap();
    first.await_close();
    second.check_alive();
    let ports = third.run(&Scsi::input(&[0x12, 1, 0x88, 1, 0, 0], 256)).good();
    assert_eq!((ports[4..8].to_vec(), ports.len()), (vec![0, 0, 0, 3], 4 + 2 * 56));
}

#[test]
fn each_group_has_its_own_access_state() {
    let disk = target("disk");
    let unit = disk.mounts[0].disk.unit().clone();
    let group = |tag, state| PortGroup { tag, state, is_preferred: false };
    let groups = [group(3, AccessState::ActiveOptimized), group(5, AccessState::Standby)];
    unit.set_port_groups(&groups, false).unwrap();
    let lab = Lab::of_groups(&[3, 5], vec![disk]);
    let [three, five] = lab.server().addresses() else { panic!("two portals") };
    let (mut first, mut second) =
        (Initiator::session(*three, "disk", &[]), Initiator::session(*five, "disk", &[]));
    assert_eq!(second.run(&Scsi::write(0, &block(1))).condition(), (0x02, 0x04, 0x0b));
    assert_eq!(second.run(&Scsi::read(0, 1)).condition(), (0x02, 0x04, 0x0b));
    first.run(&Scsi::write(0, &block(1))).good();
    let states = second.run(&report()).good();
    assert_eq!((states[4], states[16]), (0, 2));
    assert!(unit.set_access_state(5, AccessState::ActiveNonOptimized).unwrap());
    lab.server().tell(&unit, Attention::AccessStateChanged);
    for initiator in [&mut first, &mut second] {
        assert_eq!(initiator.run(&Scsi::read(0, 1)).condition(), (0x06, 0x2a, 0x06));
        assert_eq!(initiator.run(&Scsi::read(0, 1)).good(), block(1));
    }
}

#[test]
fn a_session_ends_when_its_group_serves_the_target_no_more() {
    let disk = target("disk");
    let lab = Lab::of_groups(&[3, 5], vec![disk.clone()]);
    let [three, five] = lab.server().addresses() else { panic!("two portals") };
    let (mut first, mut second) =
        (Initiator::session(*three, "disk", &[]), Initiator::session(*five, "disk", &[]));
    let targets = vec![only_in(&[3], disk)];
    lab.server().exchange(Catalogue { targets, ..Catalogue::default() });
    second.expect(timedisk_iscsi::pdu::Response::AsyncMessage);
    second.await_close();
    first.check_alive();
    assert_eq!(first.run(&report()).good()[..4], [0, 0, 0, 12], "and its port is there no more");
    assert_eq!(Initiator::connect(*five).log_in(Some("disk"), &[]).err(), Some(NOT_FOUND));
}
