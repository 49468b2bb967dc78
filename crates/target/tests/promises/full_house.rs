//! Crowds at the door: who does nothing keeps nobody out, and a full house says so.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use timedisk_iscsi::pdu::Response;
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;

use super::wire::{Initiator, Lab, PATIENCE, Scsi, block, open_target, text};

fn lab(limits: Limits) -> Lab {
    Lab::with(vec![open_target("disk", MemoryVolume::new(1 << 20))], Vec::new(), limits)
}

#[test]
fn idle_connections_keep_nobody_out() {
    let lab = lab(Limits { strangers: 64, ..Limits::default() });
    let mut settled = lab.session("disk", &[]);
    let mut idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(lab.address).unwrap()).collect();
    let begin = Instant::now();
    let mut fresh = lab.session("disk", &[]);
    assert!(begin.elapsed() < Duration::from_secs(1), "the login took {:?}", begin.elapsed());
    fresh.run(&Scsi::inquiry()).good();
    settled.check_alive();
    // The oldest of them had to go.
    let oldest = &mut idle[0];
    oldest.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(oldest.read(&mut [0]).unwrap(), 0);
}

/// Sends bytes one by one, a pause after each, until the server closes the connection; says how long that
/// took.
fn dribble(stream: &mut TcpStream, mut bytes: impl Iterator<Item = Vec<u8>>) -> Duration {
    let begin = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while begin.elapsed() < PATIENCE {
        let sent = bytes.next().map_or(Ok(()), |bytes| stream.write_all(&bytes));
        // The time limit of the read is the pause.
        let closed = loop {
            match stream.read(&mut [0; 4096]) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        if sent.is_err() || closed {
            return begin.elapsed();
        }
    }
    panic!("the connection is still open");
}

#[test]
fn a_login_has_to_end_in_time_however_busy_it_looks() {
    let limit = Duration::from_millis(300);
    let lab = lab(Limits { login: limit, ..Limits::default() });
    let mut settled = lab.session("disk", &[]);
    let mut slow = Initiator::connect(lab.address);
    let request = slow.login_request(0x87, &text(&slow.identity(Some("disk")))).encode(Default::default());
    // A request that would take five times the limit, byte by byte; requests that never go to the next stage;
    // nothing.
    let one_by_one = request.into_iter().map(|byte| vec![byte]);
    let took = dribble(&mut slow.stream, one_by_one);
    assert!((limit..5 * limit).contains(&took), "closed after {took:?} only");
    let mut endless = Initiator::connect(lab.address);
    let request =
        endless.login_request(0x04, &text(&endless.identity(Some("disk")))).encode(Default::default());
    let more = endless.login_request(0x04, b"").encode(Default::default());
    let took = dribble(&mut endless.stream, std::iter::once(request).chain(std::iter::repeat(more)));
    assert!(took >= limit, "closed after {took:?} only");
    let mut silent = Initiator::connect(lab.address);
    let took = dribble(&mut silent.stream, std::iter::empty());
    assert!(took >= limit, "closed after {took:?} only");
    settled.check_alive();
}

#[test]
fn a_full_house_refuses_politely_while_its_sessions_go_on() {
    let lab = lab(Limits { sessions: 2, ..Limits::default() });
    let mut first = lab.session("disk", &[]);
    let mut second = lab.session("disk", &[]);
    let mut third = Initiator::connect(lab.address);
    assert_eq!(third.log_in(Some("disk"), &[]), Err(0x0302));
    third.await_close();
    first.run(&Scsi::write(0, &block(3))).good();
    assert_eq!(second.run(&Scsi::read(0, 1)).good(), block(3));
    let mut again = Initiator::connect(lab.address);
    (again.name, again.isid) = (first.name.clone(), first.isid);
    again.log_in(Some("disk"), &[]).unwrap();
    first.await_close();
    let logout = second.logout();
    second.send(&logout);
    second.expect(Response::Logout);
    second.await_close();
    lab.session("disk", &[("HeaderDigest", "CRC32C")]).run(&Scsi::read(0, 1)).good();
}
