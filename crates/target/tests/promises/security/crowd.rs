//! A thousand who begin a login and never end it: who comes after them is let in as if they were not there.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timedisk_target::Limits;
use timedisk_volume::MemoryVolume;

use super::super::wire::{Initiator, Lab, Scsi, login_status, open_target, text};

/// Sockets that do nothing, where the system allows so many.
const CROWD: u64 = 1000;
/// Both ends of those that the server keeps, with their events, and what other tests use.
const KEPT: u64 = 4 * 256 * 2 + 512;
/// A login in a crowd, on a machine that has other things to do; the deadline of a login is 15 s.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How many sockets the crowd may have here.
fn crowd() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let wanted = (CROWD + KEPT).max(now.current.unwrap_or(u64::MAX)).min(hard);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
    let given = if raised.is_ok() { wanted } else { now.current.unwrap_or(wanted) };
    CROWD.min(given / 4)
}

/// How far each of the crowd goes: nothing, a byte, a header, all but the last byte, a login that stays in its stage.
fn begin(lab: &Lab, number: u64) -> TcpStream {
    let mut initiator = Initiator::connect(lab.address);
    let flags = if number % 5 == 4 { 0x04 } else { 0x87 };
    let request =
        initiator.login_request(flags, &text(&initiator.identity(Some("disk")))).encode(Default::default());
    let sent = [0, 1, 48, request.len() - 1, request.len()][(number % 5) as usize];
    // The server may have closed it to make room.
    let _ = initiator.stream.write_all(&request[..sent]);
    initiator.stream
}

fn time_of_a_login(lab: &Lab) -> Duration {
    let began = Instant::now();
    let mut fresh = lab.session("disk", &[]);
    fresh.run(&Scsi::inquiry()).good();
    began.elapsed()
}

#[test]
fn a_thousand_half_open_logins_keep_nobody_waiting() {
    let lab = Lab::with(
        vec![open_target("disk", MemoryVolume::new(1 << 20))],
        Vec::new(),
        Limits { strangers: 256, ..Limits::default() },
    );
    let deadline = Limits::default().login;
    let mut settled = lab.session("disk", &[]);
    let idle: Vec<TcpStream> = (0..crowd()).map(|number| begin(&lab, number)).collect();
    let mut times: Vec<Duration> = (0..20).map(|_| time_of_a_login(&lab)).collect();
    times.sort();
    assert!(times[10] < AT_ONCE, "logins among {} idle ones take {times:?}", idle.len());
    assert!(times[19] < deadline / 5, "{times:?}, where the deadline of a login is {deadline:?}");
    settled.check_alive();
    drop(idle);
}

#[test]
fn a_login_that_stands_still_stops_no_other() {
    let lab = Lab::memory(1 << 20);
    let mut slow = Initiator::connect(lab.address);
    let request = slow.login_request(0x87, &text(&slow.identity(Some("disk"))));
    let bytes = request.encode(Default::default());
    // At each byte of the one, another is let in.
    for (at, byte) in bytes.iter().enumerate() {
        if at % 8 == 0 {
            assert!(time_of_a_login(&lab) < Duration::from_secs(3), "at byte {at}");
        }
        slow.send_bytes(&[*byte]);
    }
    assert_eq!(login_status(&slow.receive().unwrap()), 0, "and it is let in itself");
}
