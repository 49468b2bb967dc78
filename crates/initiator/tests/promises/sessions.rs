//! Sessions with a real target.

use std::sync::Arc;

use timedisk_initiator::connection::discover;
use timedisk_initiator::login::LoginError;
use timedisk_initiator::scsi;
use timedisk_initiator::{Connection, Error, Payload, Settings, Sink, Tag};
use timedisk_target::{Authentication, User};

use super::lab::{BLOCK, CAPACITY, Lab, full_name, settings};

fn data(length: usize, salt: usize) -> Arc<[u8]> {
    (0..length).map(|index| (index * 31 + index / 509 + salt) as u8).collect()
}

/// Writes and reads back, with every length that takes another way.
fn write_and_read(connection: &mut Connection) {
    for (salt, length) in [512, 4096, 8192, 262_144, 1 << 20, 3 << 20].into_iter().enumerate() {
        let bytes = data(length, salt);
        let (address, blocks) = (salt as u64 * 3, length as u32 / BLOCK);
        let payload = Payload::new(&bytes, 0..length).unwrap();
        connection.expect("WRITE", scsi::write(3, address, blocks, payload, salt % 2 == 0)).unwrap();
        let back = connection.expect("READ", scsi::read(3, address, blocks, length as u32)).unwrap();
        assert!(back == *bytes, "{length} bytes");
    }
    connection.expect("SYNCHRONIZE CACHE", scsi::synchronize_cache(3)).unwrap();
}

#[test]
fn what_was_written_is_read_with_and_without_digests() {
    let lab = Lab::open();
    for (header, data) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut connection = lab.session(settings().with_digests(header, data));
        let parameters = connection.session().parameters();
        assert_eq!((parameters.header_digest, parameters.data_digest), (header, data));
        let (inquiry, capacity) = connection.greet(3).unwrap();
        assert_eq!((inquiry.vendor.as_str(), capacity.bytes()), ("timedisk", CAPACITY));
        write_and_read(&mut connection);
        connection.close().unwrap();
    }
}

#[test]
fn what_was_written_is_read_under_all_terms() {
    let lab = Lab::open();
    for (initial_r2t, immediate_data) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut small = settings();
        small.wishes.initial_r2t = initial_r2t;
        small.wishes.immediate_data = immediate_data;
        small.wishes.max_burst_length = 20_000;
        small.wishes.first_burst_length = 9_000;
        small.wishes.max_recv_data_segment_length = 3_000;
        let mut connection = lab.session(small);
        assert_eq!(connection.session().parameters().initial_r2t, initial_r2t);
        connection.greet(3).unwrap();
        write_and_read(&mut connection);
    }
}

/// Keeps what many commands read.
struct Pages(Vec<Vec<u8>>);

impl Sink for Pages {
    fn data(&mut self, tag: Tag, offset: u32, bytes: &[u8]) {
        let page = &mut self.0[tag.index()];
        assert_eq!(page.len(), offset as usize);
        page.extend_from_slice(bytes);
    }
}

#[test]
fn many_commands_at_once_each_bring_their_own_data() {
    let lab = Lab::open();
    let mut connection = lab.session(settings());
    connection.greet(3).unwrap();
    let whole = data(1 << 20, 7);
    let payload = Payload::new(&whole, 0..1 << 20).unwrap();
    connection.expect("WRITE", scsi::write(3, 0, 2048, payload, false)).unwrap();
    let mut pages = Pages(vec![Vec::new(); 16]);
    let mut wanted = [0usize; 16];
    let (mut next, mut ended) = (0usize, 0);
    while ended < 500 {
        while next < 500 && connection.session().can_submit() {
            let page = next * 37 % 256;
            let tag = connection.session_mut().submit(scsi::read(3, page as u64 * 8, 8, 4096)).unwrap();
            pages.0[tag.index()].clear();
            (wanted[tag.index()], next) = (page, next + 1);
        }
        connection.step(&mut pages).unwrap();
        while let Some(completion) = connection.session_mut().next_completion() {
            assert!(completion.outcome.is_good(), "{}", completion.outcome);
            let place = completion.tag.index();
            let start = wanted[place] * 4096;
            assert!(pages.0[place] == whole[start..start + 4096]);
            ended += 1;
        }
    }
}

#[test]
fn a_refused_command_says_why_and_the_session_goes_on() {
    let lab = Lab::open();
    let mut connection = lab.session(settings());
    connection.greet(3).unwrap();
    let error = connection.expect("READ", scsi::read(3, CAPACITY, 1, BLOCK)).unwrap_err().to_string();
    assert_eq!(error, "READ failed: CHECK CONDITION (ILLEGAL REQUEST, 21/00)");
    assert!(matches!(connection.greet(5), Err(Error::NoDisk { lun: 5, device_type: 0x1f })));
    assert_eq!(connection.luns().unwrap(), [3]);
    connection.greet(3).unwrap();
}

fn chap(own: bool) -> Authentication {
    let own = own.then(|| User { name: "the disk".into(), secret: "the disk's secret".into() });
    Authentication::Chap { users: vec!["ann".into()], own }
}

#[test]
fn a_user_is_let_in_and_a_target_proves_itself() {
    let lab = Lab::new(&[("one", chap(false)), ("both", chap(true))]);
    let try_as = |user: &str, name: &str, after: &str| {
        let mut connection = Connection::open(&lab.url(user, name, after), &settings(), 1)?;
        connection.greet(3).map(|_| ())
    };
    let ann = "ann%ann's long secret@";
    let proof = "?target_user=the disk&target_password=the disk's secret";
    try_as(ann, "one", "").unwrap();
    try_as(ann, "both", "").unwrap();
    try_as(ann, "both", proof).unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Login(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(try_as("", "one", "")).contains("authentication failure (0201)"));
    assert!(refused(try_as("ann%another secret@", "one", "")).contains("user and secret are wrong"));
    assert!(refused(try_as("bob%bob's long secret@", "one", "")).contains("(0201)"));
    let other = "?target_user=the disk&target_password=another secret";
    assert!(refused(try_as(ann, "both", other)).contains("has not proved that it is the disk"));
    assert!(refused(try_as(ann, "none", "")).contains("HOST:PORT alone"));
}

#[test]
fn discovery_finds_every_target_of_many() {
    let names: Vec<String> = (0..300).map(|number| format!("disk{number:04}")).collect();
    let targets: Vec<_> = names.iter().map(|name| (name.as_str(), Authentication::None)).collect();
    let lab = Lab::new(&targets);
    let found = discover(&lab.portal(), &settings()).unwrap();
    let mut found: Vec<_> = found.into_iter().map(|found| found.name).collect();
    found.sort();
    assert_eq!(found, names.iter().map(|name| full_name(name)).collect::<Vec<_>>());
}

#[test]
fn more_connections_than_the_target_grants_are_seen_in_the_terms() {
    let lab = Lab::open();
    let connection = lab.session(Settings { connections: 4, ..settings() });
    assert_eq!(connection.session().parameters().max_connections, 1);
}

#[test]
fn a_target_that_is_not_there_is_told_from_one_that_refuses() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let url = format!("iscsi://{address}/iqn.x:y/0").parse().unwrap();
    let error = Connection::open(&url, &settings(), 1).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("{address}: can't connect: ")), "{error}");
    let lab = Lab::open();
    let error = Connection::open(&lab.url("", "other", ""), &settings(), 1).unwrap_err();
    assert!(matches!(error, Error::Login(LoginError::Refused(_))), "{error}");
}
