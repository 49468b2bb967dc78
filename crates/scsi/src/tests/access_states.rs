//! Target port groups: what is told of them, which commands each state leaves, and who may change it.

use super::*;
use crate::access_states::Reach;
use crate::command_table::COMMANDS;
use crate::{AccessState, PortGroup, Unchanged};

const TARGET: &str = "iqn.1994-04.org.netbsd.iscsi-target:target0";
const INVALID_PORT_LIST: (u8, u8, u8) = (0x05, 0x26, 0x00);

use AccessState::{ActiveNonOptimized, ActiveOptimized, Offline, Standby, Unavailable};

fn group(tag: u16, state: AccessState) -> PortGroup {
    PortGroup { tag, state, is_preferred: tag == 7 }
}

/// One disk, and its server in each of two portal groups, 2 and 7; [`NEXUS`] is in the former, [`OTHER`] in the latter.
struct Ways {
    unit: Arc<LogicalUnit>,
    shelf: Arc<Shelf>,
    servers: Vec<DeviceServer>,
}

impl Ways {
    fn new() -> Ways {
        Ways::on(Arc::default())
    }

    fn on(shelf: Arc<Shelf>) -> Ways {
        let format = BlockFormat { logical_length: 512, physical_length: 4096 };
        let unit = LogicalUnit::new(Arc::new(Probe::new(1 << 20)), identity(), format, Some(shelf.clone()));
        let unit = Arc::new(unit);
        let server = |tag| DeviceServer::new(TARGET, tag, vec![(0, unit.clone())]).among(&[7, 2]);
        let servers = vec![server(2), server(7)];
        for (server, nexus) in servers.iter().zip([NEXUS, OTHER]) {
            server.nexus_established(nexus, &format!("iqn.x,i,0x{}", nexus.0));
        }
        let ways = Ways { unit, shelf, servers };
        ways.settle();
        ways
    }

    fn configured(states: [AccessState; 2], is_explicit: bool) -> Ways {
        let ways = Ways::new();
        ways.configure(states, is_explicit);
        ways
    }

    fn configure(&self, [two, seven]: [AccessState; 2], is_explicit: bool) -> bool {
        self.unit.set_port_groups(&[group(2, two), group(7, seven)], is_explicit).unwrap()
    }

    fn states(&self) -> Vec<AccessState> {
        self.unit.port_groups().iter().map(|group| group.state).collect()
    }

    fn run(&self, nexus: NexusId, cdb: &[u8], data_out: &[u8]) -> Reply {
        let server = if nexus == NEXUS { &self.servers[0] } else { &self.servers[1] };
        let plan = server.plan(LUN, cdb);
        let mut data = vec![0; plan.data_in as usize];
        let sent = &data_out[..data_out.len().min(plan.data_out as usize)];
        let done = server.execute(nexus, LUN, cdb, plan, sent, &mut data);
        data.truncate(done.data_in as usize);
        Reply { done, data }
    }

    /// What each nexus has pending.
    fn settle(&self) -> [Vec<(u8, u8)>; 2] {
        [NEXUS, OTHER].map(|nexus| {
            let sense = || self.run(nexus, &[0x03, 0, 0, 0, 18, 0], &[]).data;
            std::iter::repeat_with(sense)
                .take_while(|sense| sense[2] & 0x0f == 0x06)
                .map(|s| (s[12], s[13]))
                .collect()
        })
    }

    fn set(&self, list: &[u8]) -> Completion {
        self.run(NEXUS, &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0, 0], list).done
    }
}

fn report(format: u8) -> [u8; 12] {
    [0xa3, format | 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
}

#[test]
fn all_groups_are_reported_with_their_ports() {
    let ways = Ways::configured([ActiveNonOptimized, ActiveOptimized], false);
    let groups =
        [[0x01, 0x4f, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], [0x80, 0x4f, 0, 7, 0, 0, 0, 1, 0, 0, 0, 7]].concat();
    for nexus in [NEXUS, OTHER] {
        assert_eq!(ways.run(nexus, &report(0), &[]).data, [&[0, 0, 0, 24][..], &groups].concat());
        let extended = ways.run(nexus, &report(0x20), &[]).data;
        assert_eq!(extended, [&[0, 0, 0, 28, 0x10, 0, 0, 0][..], &groups].concat());
    }
    let most: Vec<u16> = (1..200).collect();
    let many = DeviceServer::new(TARGET, 2, vec![(0, ways.unit.clone())]).among(&most);
    let plan = many.plan(LUN, &[0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0]);
    let mut data = vec![0; plan.data_in as usize];
    let cdb = [0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0];
    assert_eq!(many.execute(NexusId(9), LUN, &cdb, plan, &[], &mut data).status, Status::Good);
}

#[test]
fn each_port_says_which_it_is_and_which_others_there_are() {
    let ways = Ways::new();
    for (nexus, tag) in [(NEXUS, 2), (OTHER, 7)] {
        let page = ways.run(nexus, &[0x12, 1, 0x83, 1, 0, 0], &[]).data;
        let has = |bytes: &[u8]| page.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(&[0x51, 0x94, 0, 4, 0, 0, 0, tag]) && has(&[0x51, 0x95, 0, 4, 0, 0, 0, tag]));
        assert!(has(format!("{TARGET},t,0x000{tag}\0").as_bytes()));
        assert!(!has(format!(",t,0x000{}", 9 - tag).as_bytes()), "only the port that it came through");
        let ports = ways.run(nexus, &[0x12, 1, 0x88, 1, 0, 0], &[]).data;
        assert_eq!((ports.len(), ports[3]), (4 + 2 * 72, 2 * 72));
        for (at, tag) in [(4, 2), (76, 7)] {
            assert_eq!(ports[at..][..12], [0, 0, 0, tag, 0, 0, 0, 0, 0, 0, 0, 60]);
            assert!(ports[at + 16..].starts_with(format!("{TARGET},t,0x000{tag}\0").as_bytes()));
        }
    }
}

/// Commands that SPC-4 5.16.2.4 has for states that are not active, and the worst that each is for; READ CAPACITY is an
/// addition that it allows, for systems that ask for nothing else before they use a path.
const REACHES: &[(&str, Reach)] = &[
    ("REQUEST SENSE", Reach::Offline),
    ("INQUIRY", Reach::Offline),
    ("REPORT LUNS", Reach::Offline),
    ("REPORT TARGET PORT GROUPS", Reach::Offline),
    ("SET TARGET PORT GROUPS", Reach::Unavailable),
    ("READ BUFFER", Reach::Unavailable),
    ("WRITE BUFFER", Reach::Unavailable),
    ("MODE SELECT(6)", Reach::Standby),
    ("MODE SELECT(10)", Reach::Standby),
    ("MODE SENSE(6)", Reach::Standby),
    ("MODE SENSE(10)", Reach::Standby),
    ("LOG SENSE", Reach::Standby),
    ("SEND DIAGNOSTIC", Reach::Standby),
    ("READ CAPACITY(10)", Reach::Standby),
    ("READ CAPACITY(16)", Reach::Standby),
];

#[test]
fn every_command_is_carried_out_or_refused_as_the_state_says() {
    let states = [
        (ActiveOptimized, Reach::Active, None),
        (ActiveNonOptimized, Reach::Active, None),
        (Standby, Reach::Standby, Some((0x02, 0x04, 0x0b))),
        (Unavailable, Reach::Unavailable, Some((0x02, 0x04, 0x0c))),
        (Offline, Reach::Offline, Some((0x02, 0x04, 0x12))),
    ];
    for row in COMMANDS {
        let known = REACHES.iter().find(|(name, _)| row.name == *name).map(|(_, reach)| *reach);
        let is_reserving = row.name.starts_with("PERSISTENT RESERVE");
        let reach = known.unwrap_or(if is_reserving { Reach::Standby } else { Reach::Active });
        let cdb = blank(row);
        for (state, least, refusal) in states {
            let told = |nexus| {
                let ways = Ways::configured([state, ActiveOptimized], true);
                let done = ways.run(nexus, &cdb, &[]).done;
                (done.status == Status::CheckCondition).then(|| triple(&done))
            };
            let active = told(OTHER);
            assert!(active.is_none_or(|(key, ..)| key != 0x02), "{}", row.name);
            let expected = if reach < least { refusal } else { active };
            assert_eq!(told(NEXUS), expected, "{} in {state:?}", row.name);
        }
    }
}

#[test]
fn an_initiator_changes_states_where_it_may() {
    let ways = Ways::configured([ActiveOptimized, Standby], true);
    assert_eq!(ways.run(NEXUS, &[0x12, 0, 0, 0, 96, 0], &[]).data[5], 0x38);
    let supported = [0xa3, 0x0c, 3, 0xa4, 0, 0x0a, 0, 0, 1, 0, 0, 0];
    assert_eq!(ways.run(NEXUS, &supported, &[]).data[1], 3);
    assert_eq!(ways.set(&[0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 7]).status, Status::Good);
    assert_eq!(ways.states(), [Standby, ActiveOptimized]);
    assert_eq!(ways.settle(), [vec![], vec![(0x2a, 0x06)]]);
    let codes = ways.run(NEXUS, &report(0), &[]).data;
    assert_eq!((codes[4], codes[9], codes[16], codes[21]), (2, 1, 0x80, 1));
    assert_eq!(ways.set(&[0, 0, 0, 0, 2, 0, 0, 2]).status, Status::Good);
    assert_eq!(ways.settle(), [vec![], vec![]], "nothing has changed");
    assert_eq!(ways.set(&[]).status, Status::Good);
}

#[test]
fn what_an_initiator_may_not_ask_for_changes_nothing() {
    let ways = Ways::configured([ActiveOptimized, ActiveOptimized], true);
    let lists: [(&[u8], u16); 5] = [
        (&[0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 9], 10),
        (&[0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 2], 10),
        (&[0, 0, 0, 0, 2, 0, 0, 2, 0x0e, 0, 0, 7], 8),
        (&[0, 0, 0, 0, 0x0f, 0, 0, 2], 4),
        (&[0, 0, 0, 0, 0x04, 0, 0, 2], 4),
    ];
    for (list, at) in lists {
        let done = ways.set(list);
        assert_eq!(triple(&done), INVALID_PORT_LIST, "{list:x?}");
        assert_eq!(u16::from_be_bytes([done.sense[16], done.sense[17]]), at, "{list:x?}");
    }
    for length in [1, 5, 255] {
        let cdb = [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, length, 0, 0];
        assert_eq!(triple(&ways.run(NEXUS, &cdb, &[0; 255]).done), LIST_LENGTH);
    }
    assert_eq!(
        triple(&ways.run(NEXUS, &[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], &[0; 4]).done),
        LIST_LENGTH
    );
    assert_eq!(ways.states(), [ActiveOptimized, ActiveOptimized]);
    let implicit = Ways::configured([ActiveOptimized, ActiveOptimized], false);
    assert_eq!(triple(&implicit.set(&[0, 0, 0, 0, 2, 0, 0, 2])), INVALID_FIELD);
    assert_eq!(implicit.run(NEXUS, &[0x12, 0, 0, 0, 96, 0], &[]).data[5], 0x18);
    let supported = [0xa3, 0x0c, 3, 0xa4, 0, 0x0a, 0, 0, 1, 0, 0, 0];
    assert_eq!(implicit.run(NEXUS, &supported, &[]).data[1], 1);
}

#[test]
fn an_administrator_changes_any_state() {
    let ways = Ways::configured([ActiveOptimized, ActiveOptimized], false);
    assert_eq!(ways.unit.set_access_state(7, Offline), Ok(true));
    assert_eq!(ways.unit.set_access_state(7, Offline), Ok(false));
    assert_eq!(ways.unit.set_access_state(1, Standby), Err(Unchanged::NoGroup(1)));
    let codes = ways.run(NEXUS, &report(0), &[]).data;
    assert_eq!((codes[4], codes[9], codes[16], codes[21]), (0, 0, 0x8e, 2));
}

#[test]
fn what_was_changed_outlives_a_restart_until_the_configuration_says_otherwise() {
    let before = Ways::configured([ActiveOptimized, Standby], true);
    assert_eq!(before.set(&[0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 7]).status, Status::Good);
    let after = Ways::on(before.shelf.clone());
    assert!(!after.configure([ActiveOptimized, Standby], true), "nobody has seen anything else");
    assert_eq!(after.states(), [Standby, ActiveOptimized]);
    assert!(!after.configure([ActiveOptimized, Standby], true));
    assert!(after.configure([ActiveNonOptimized, Standby], true));
    assert_eq!(after.states(), [ActiveNonOptimized, ActiveOptimized]);
    let anew = Ways::on(after.shelf.clone());
    anew.configure([ActiveOptimized, Unavailable], true);
    assert_eq!(anew.states(), [ActiveOptimized, Unavailable], "what was changed for another configuration");
    let again = Ways::on(anew.shelf.clone());
    again.configure([ActiveOptimized, Standby], true);
    assert_eq!(again.states(), [ActiveOptimized, Standby], "is gone for good");
}

/// Saves nothing.
struct Full;

impl SettingsStore for Full {
    fn load(&self, _: &str) -> Option<String> {
        None
    }

    fn save(&self, _: &str, _: &str) -> Result<(), String> {
        Err("no space".into())
    }
}

#[test]
fn what_can_not_be_saved_is_not_changed() {
    let format = BlockFormat { logical_length: 512, physical_length: 4096 };
    let unit = LogicalUnit::new(Arc::new(Probe::new(1 << 20)), identity(), format, Some(Arc::new(Full)));
    let unit = Arc::new(unit);
    assert_eq!(unit.set_port_groups(&[group(1, ActiveOptimized)], true), Ok(false));
    let server = DeviceServer::new(TARGET, 1, vec![(0, unit.clone())]);
    let cdb = [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0];
    let plan = server.plan(LUN, &cdb);
    let done = server.execute(NEXUS, LUN, &cdb, plan, &[0, 0, 0, 0, 2, 0, 0, 1], &mut []);
    assert_eq!(triple(&done), (0x04, 0x67, 0x0a));
    assert!(unit.set_access_state(1, Standby).is_err());
    assert_eq!(unit.port_groups(), [group(1, ActiveOptimized)]);
}

#[test]
fn a_registration_is_for_the_port_that_it_came_through() {
    let ways = Ways::new();
    let out = |action, kind| [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0];
    let list = |key: u8, new: u8, flags: u8| {
        [[0, 0, 0, 0, 0, 0, 0, key, 0, 0, 0, 0, 0, 0, 0, new, 0, 0, 0, 0, flags, 0, 0, 0]].concat()
    };
    let same_port = "iqn.x,i,0x2";
    ways.servers[1].nexus_established(OTHER, same_port);
    ways.servers[0].nexus_established(NexusId(3), same_port);
    ways.settle();
    assert_eq!(ways.run(OTHER, &out(0, 0), &list(0, 5, 1)).done.status, Status::Good);
    assert_eq!(ways.run(OTHER, &out(1, 3), &list(5, 0, 0)).done.status, Status::Good);
    let status = ways.run(OTHER, &[0x5e, 3, 0, 0, 0, 0, 0, 255, 255, 0], &[]).data;
    assert_eq!((status[8 + 12], &status[8 + 18..][..2]), (1, &[0, 7][..]));
    // The same initiator port through another target port is another nexus. Its first command hears of power on.
    let ready = [0; 6];
    ways.servers[0].execute(NexusId(3), LUN, &ready, ways.servers[0].plan(LUN, &ready), &[], &mut []);
    let write = block_cdb(0x2a, 0, 0, 1);
    let plan = ways.servers[0].plan(LUN, &write);
    let done = ways.servers[0].execute(NexusId(3), LUN, &write, plan, &[0; BLOCK], &mut []);
    assert_eq!(done.status, Status::ReservationConflict);
    assert_eq!(ways.run(OTHER, &write, &[0; BLOCK]).done.status, Status::Good);
    // It is handed over to that one, by the relative identifier of its port.
    let id = crate::reservations::transport_id(same_port);
    let hand_over = |port: u8| {
        let head = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 3, 0, port];
        [&head[..], &(id.len() as u32).to_be_bytes(), &id].concat()
    };
    let cdb = [0x5f, 7, 0, 0, 0, 0, 0, 0, 24 + id.len() as u8, 0];
    assert_eq!(triple(&ways.run(OTHER, &cdb, &hand_over(3)).done), INVALID_PARAMETER);
    assert_eq!(ways.run(OTHER, &cdb, &hand_over(2)).done.status, Status::Good);
    let done = ways.servers[0].execute(NexusId(3), LUN, &write, plan, &[0; BLOCK], &mut []);
    assert_eq!(done.status, Status::Good);
    assert_eq!(ways.run(OTHER, &write, &[0; BLOCK]).done.status, Status::ReservationConflict);
    // And it is saved so.
    let after = Ways::on(ways.shelf.clone());
    let status = after.run(OTHER, &[0x5e, 3, 0, 0, 0, 0, 0, 255, 255, 0], &[]).data;
    assert_eq!(status[8 + 18..][..2], [0, 2]);
}

#[test]
fn a_registration_for_all_target_ports_counts_on_each() {
    let ways = Ways::new();
    let out = |action, kind| [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0];
    ways.servers[0].nexus_established(NexusId(3), "iqn.x,i,0x2");
    ways.settle();
    let mut list = [0; 24];
    (list[15], list[20]) = (5, 4);
    assert_eq!(ways.run(OTHER, &out(0, 0), &list).done.status, Status::Good);
    (list[7], list[15], list[20]) = (5, 0, 0);
    assert_eq!(ways.run(OTHER, &out(1, 3), &list).done.status, Status::Good);
    let write = block_cdb(0x2a, 0, 0, 1);
    for server in &ways.servers {
        server.nexus_established(NexusId(3), "iqn.x,i,0x2");
        server.execute(NexusId(3), LUN, &[0; 6], server.plan(LUN, &[0; 6]), &[], &mut []);
        let done = server.execute(NexusId(3), LUN, &write, server.plan(LUN, &write), &[0; BLOCK], &mut []);
        assert_eq!(done.status, Status::Good);
    }
    assert_eq!(ways.run(NEXUS, &write, &[0; BLOCK]).done.status, Status::ReservationConflict);
}
