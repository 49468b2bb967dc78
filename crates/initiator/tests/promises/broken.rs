//! Sockets that only pretend to be a target.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use timedisk_initiator::scsi;
use timedisk_initiator::{Connection, Error, Settings, Url};
use timedisk_iscsi::pdu::layout;

use super::lab::settings;

const SHORT: Duration = Duration::from_millis(300);

/// What takes longer than this hangs.
const LONG: Duration = Duration::from_secs(10);

/// Takes one connection, and does that with it.
fn pretend(act: impl FnOnce(TcpStream) + Send + 'static) -> (Url, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        act(stream);
    });
    (format!("iscsi://{address}/iqn.x:y/0").parse().unwrap(), thread)
}

/// Answers both requests of a login, the last one with these terms (a multiple of four bytes). Gives the last one.
fn let_in(stream: &mut TcpStream, terms: &[u8]) -> layout::LoginRequest {
    let mut last = layout::LoginRequest::zeroed();
    for number in 0..2u32 {
        let request = next(stream);
        let request = layout::LoginRequest::of(&request);
        last = request;
        let text = if number == 1 { terms } else { &[] };
        let mut header = layout::LoginResponse::zeroed();
        header.opcode = 0x23;
        header.flags = request.flags;
        header.isid = request.isid;
        header.tsih = 7.into();
        header.initiator_task_tag = request.initiator_task_tag;
        header.stat_sn = number.into();
        header.exp_cmd_sn = 1.into();
        header.max_cmd_sn = 9.into();
        header.data_segment_length = [0, 0, text.len() as u8];
        stream.write_all(&[&header.bytes(), text].concat()).unwrap();
    }
    last
}

/// The next PDU's header; its data are passed over.
fn next(stream: &mut TcpStream) -> [u8; 48] {
    let mut header = [0; 48];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes([0, header[5], header[6], header[7]]).next_multiple_of(4);
    stream.read_exact(&mut vec![0; length as usize]).unwrap();
    header
}

fn open(url: &Url) -> Result<Connection, Error> {
    Connection::open_within(url, &settings(), 4, SHORT)
}

#[test]
fn a_target_that_says_nothing_is_given_up_in_time() {
    let began = Instant::now();
    let (url, thread) = pretend(|mut stream| assert!(stream.read_to_end(&mut Vec::new()).is_ok()));
    assert!(matches!(open(&url), Err(Error::Unanswered(_))));
    assert!(began.elapsed() < LONG);
    thread.join().unwrap();
}

#[test]
fn a_target_that_answers_the_login_byte_by_byte_without_end_is_given_up_in_time() {
    let began = Instant::now();
    let (url, thread) = pretend(move |mut stream| {
        while began.elapsed() < LONG && stream.write_all(&[0x23]).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(matches!(open(&url), Err(Error::Unanswered(_))));
    assert!(began.elapsed() < LONG);
    thread.join().unwrap();
}

#[test]
fn a_target_that_answers_no_command_is_given_up_in_time() {
    let (url, thread) = pretend(|mut stream| {
        let_in(&mut stream, &[]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut connection = open(&url).unwrap();
    assert!(matches!(connection.call(scsi::test_unit_ready(0)), Err(Error::Unanswered(_))));
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_target_that_only_pings_is_given_up_in_time() {
    let began = Instant::now();
    let (url, thread) = pretend(move |mut stream| {
        let_in(&mut stream, &[]);
        let mut ping = layout::TextResponse::zeroed();
        ping.opcode = 0x20;
        ping.flags = 0x80;
        ping.initiator_task_tag = u32::MAX.into();
        ping.target_transfer_tag = 1.into();
        ping.stat_sn = 2.into();
        while began.elapsed() < LONG && stream.write_all(&ping.bytes()).is_ok() {}
    });
    let mut connection = open(&url).unwrap();
    let error = connection.call(scsi::test_unit_ready(0)).unwrap_err();
    assert!(matches!(error, Error::Unanswered(_) | Error::Protocol(_)), "{error}");
    assert!(began.elapsed() < LONG);
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn a_target_that_goes_away_is_told_from_one_that_talks_nonsense() {
    let (url, thread) = pretend(drop);
    let error = open(&url).unwrap_err();
    assert!(matches!(error, Error::Closed | Error::Io(_)), "{error}");
    thread.join().unwrap();

    let (url, thread) = pretend(|mut stream| {
        let_in(&mut stream, &[]);
        next(&mut stream);
    });
    let error = open(&url).unwrap().call(scsi::test_unit_ready(0)).unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    thread.join().unwrap();

    let (url, thread) = pretend(|mut stream| {
        next(&mut stream);
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
    });
    let error = open(&url).unwrap_err();
    assert!(!matches!(error, Error::Closed | Error::Io(_)), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_target_that_sends_us_round_in_circles_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().unwrap();
            let request = next(&mut stream);
            let text = format!("TargetAddress={address}\0");
            let mut header = layout::LoginResponse::zeroed();
            header.opcode = 0x23;
            header.data_segment_length = [0, 0, text.len() as u8];
            header.isid = layout::LoginRequest::of(&request).isid;
            header.status_class = 1;
            header.status_detail = 1;
            let mut bytes = header.bytes().to_vec();
            bytes.extend(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            stream.write_all(&bytes).unwrap();
        }
    });
    let url = format!("iscsi://{address}/iqn.x:y/0").parse().unwrap();
    assert!(matches!(open(&url), Err(Error::Redirections(_))));
    thread.join().unwrap();
}

#[test]
fn a_second_connection_joins_the_session_and_goes_on_with_its_numbers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut numbers = Vec::new();
        let mut streams = Vec::new();
        for (cid, tsih, terms) in [(0, 0, &b"MaxConnections=2\0\0\0\0"[..]), (1, 7, &[])] {
            let (mut stream, _) = listener.accept().unwrap();
            let login = let_in(&mut stream, terms);
            assert_eq!((login.cid.get(), login.tsih.get()), (cid, tsih));
            streams.push((stream, login.isid));
        }
        assert_eq!(streams[0].1, streams[1].1, "the same initiator port");
        for index in [1, 0, 1] {
            let stream = &mut streams[index].0;
            let command = layout::ScsiCommand::of(&next(stream));
            numbers.push(command.cmd_sn.get());
            let mut header = layout::ScsiResponse::zeroed();
            header.opcode = 0x21;
            header.flags = 0x80;
            header.initiator_task_tag = command.initiator_task_tag;
            header.stat_sn = command.exp_stat_sn;
            header.exp_cmd_sn = (command.cmd_sn.get() + 1).into();
            header.max_cmd_sn = (command.cmd_sn.get() + 9).into();
            stream.write_all(&header.bytes()).unwrap();
        }
        assert_eq!(numbers, [1, 2, 3]);
    });
    let url = format!("iscsi://{address}/iqn.x:y/0").parse().unwrap();
    let settings = Settings { connections: 2, ..settings() };
    let mut first = Connection::open_within(&url, &settings, 4, SHORT).unwrap();
    assert_eq!(first.session().parameters().max_connections, 2);
    let mut second = first.join(&url, &settings, 1, 4).unwrap();
    for connection in [&mut second, &mut first] {
        assert!(connection.call(scsi::test_unit_ready(0)).unwrap().0.is_good());
    }
    assert!(second.call(scsi::test_unit_ready(0)).unwrap().0.is_good());
    thread.join().unwrap();
}
