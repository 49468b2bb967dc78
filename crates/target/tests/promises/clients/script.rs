//! What an initiator of the field says, word for word, and what it hears.

use std::net::SocketAddr;

use timedisk_iscsi::chap;
use timedisk_iscsi::encoding::{decode, encode_hex};
use timedisk_iscsi::pdu::layout;
use timedisk_target::Disk;
use timedisk_volume::{Durability, MemoryVolume, Volume};

use crate::wire::{
    BLOCK, Initiator, Lab, Pdu, Reply, Scsi, TRANSIT, block, login_status, mount, open_target, pairs, unit,
};

/// Flags of a login request: CSG, NSG and T (RFC 7143 §11.12).
pub(crate) const SECURITY: u8 = 0;
/// As initiators do that say where they want to go before they may: NSG without T.
pub(crate) const SECURITY_THEN_OPERATIONAL: u8 = 1;
pub(crate) const SECURITY_TO_OPERATIONAL: u8 = TRANSIT | 1;
pub(crate) const OPERATIONAL_TO_FULL: u8 = TRANSIT | 1 << 2 | 3;

/// Flags that let a login response be told from another: T, C, CSG, and NSG where T is set.
const LOGIN_FLAGS: u8 = 0xcf;

/// A login response.
pub(crate) struct Heard {
    pub(crate) pdu: Pdu,
    /// Keys and values, in the target's order.
    pub(crate) keys: Vec<(String, String)>,
}

impl Heard {
    /// Its status class and detail.
    pub(crate) fn status(&self) -> u16 {
        login_status(&self.pdu)
    }

    /// T, C, CSG and NSG.
    pub(crate) fn flags(&self) -> u8 {
        layout::LoginResponse::of(&self.pdu.header).flags & LOGIN_FLAGS
    }

    /// The value of a key, which has to be there once at most.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.keys.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let value = found.next();
        assert_eq!(found.next(), None, "{key} is there twice");
        value
    }

    /// The names of the keys, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.keys.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// CHAP_R for the challenge in it.
    #[track_caller]
    pub(crate) fn chap_response(&self, secret: &str) -> String {
        let algorithm = chap::choose(self.get("CHAP_A").expect("CHAP_A")).expect("a known algorithm");
        let identifier = self.get("CHAP_I").expect("CHAP_I").parse().unwrap();
        let challenge = decode(self.get("CHAP_C").expect("CHAP_C"), 1024).unwrap();
        encode_hex(&algorithm.response(identifier, secret.as_bytes(), &challenge))
    }
}

/// A connection of an initiator with this name and ISID, which numbers its commands from here on.
pub(crate) fn connect(address: SocketAddr, name: &str, isid: [u8; 6], cmd_sn: u32) -> Initiator {
    let mut initiator = Initiator::connect(address);
    (initiator.name, initiator.isid, initiator.cmd_sn) = (name.into(), isid, cmd_sn);
    initiator
}

/// Text of lines of `Key=Value`, in order.
fn lines(keys: &[&str]) -> Vec<u8> {
    keys.iter().flat_map(|line| [line.as_bytes(), b"\0"].concat()).collect()
}

impl Initiator {
    /// Sends a login request with these keys, lines of `Key=Value`, in this order.
    pub(crate) fn say(&mut self, flags: u8, keys: &[&str]) -> Heard {
        let pdu = self.login_step(flags, &lines(keys));
        let keys = if login_status(&pdu) == 0 { pairs(&pdu.data) } else { Vec::new() };
        Heard { pdu, keys }
    }

    /// The last login request: the session begins as the answer says.
    #[track_caller]
    pub(crate) fn enter(&mut self, flags: u8, keys: &[&str]) -> Heard {
        let heard = self.say(flags, keys);
        assert_eq!((heard.status(), heard.flags()), (0, flags), "the session begins: {:?}", heard.keys);
        let offers: Vec<_> = keys.iter().filter_map(|line| line.split_once('=')).collect();
        self.settle(&heard.pdu, &offers);
        heard
    }

    /// Repeats TEST UNIT READY until it is GOOD, as often as given at most. What the others have told.
    #[track_caller]
    pub(crate) fn become_ready(&mut self, lun: u8, tries: usize) -> Vec<(u8, u8, u8)> {
        let mut told = Vec::new();
        loop {
            let reply = self.run(&Scsi::test_unit_ready().at(lun));
            if reply.status == 0 {
                return told;
            }
            told.push(reply.condition());
            assert!(told.len() < tries, "it does not become ready: {told:02x?}");
        }
    }
}

/// A command without data, whose PDU has the read bit all the same.
pub(crate) fn with_read_bit(cdb: &[u8], expected: u32) -> Scsi {
    Scsi { reads: true, expected, ..Scsi::none(cdb) }
}

/// A vital product data page.
pub(crate) fn page(code: u8) -> Scsi {
    Scsi::input(&[0x12, 1, code, 0xff, 0xff, 0], 0xffff)
}

/// The page that a logical unit has, whose code and length are right.
#[track_caller]
pub(crate) fn read_page(initiator: &mut Initiator, code: u8) -> Vec<u8> {
    let page = initiator.run(&page(code)).good();
    assert_eq!(page[1], code);
    assert_eq!(u16::from_be_bytes([page[2], page[3]]) as usize, page.len() - 4, "page length of {code:#x}");
    page
}

/// Designators of the device identification page: code set, association and type, bytes (SPC-4 7.8.6).
pub(crate) fn designators(page: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    let (mut found, mut rest) = (Vec::new(), &page[4..]);
    while let [code_set, kind, _, length, more @ ..] = rest {
        let (bytes, next) = more.split_at(usize::from(*length));
        found.push((code_set & 0x0f, kind & 0x3f, bytes.to_vec()));
        rest = next;
    }
    found
}

/// Whether a command with data ended as planned: GOOD, with what it asked for and no residual.
#[track_caller]
pub(crate) fn whole(reply: Reply, length: usize) -> Vec<u8> {
    assert_eq!((reply.flags, reply.residual), (0, 0), "no residual");
    let data = reply.good();
    assert_eq!(data.len(), length);
    data
}

/// Big-endian numbers in a page or CDB.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A full capacity in blocks, as READ CAPACITY(16) tells it.
#[track_caller]
pub(crate) fn capacity(initiator: &mut Initiator) -> (u64, usize) {
    let data =
        initiator.run(&Scsi::input(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], 32)).good();
    (number(&data[..8]) + 1, number(&data[8..12]) as usize)
}

/// A lab with one open target `disk`, and nobody to prove anything.
pub(crate) fn open_lab() -> Lab {
    Lab::memory(BLOCK as u64 * 4096)
}

/// Blocks of each of [`two_disks`].
pub(crate) const BLOCKS: u64 = 16384;

/// A lab with one open target `disk` that has two disks, of one product. The first one's blocks each begin with their
/// number, as far as a byte goes; the second is empty.
pub(crate) fn two_disks() -> Lab {
    let capacity = BLOCKS * BLOCK as u64;
    let (first, second) = (MemoryVolume::new(capacity), MemoryVolume::new(capacity));
    let blocks: Vec<u8> = (0..BLOCKS).flat_map(|lba| block(lba as u8)).collect();
    first.write(0, &blocks, Durability::Volatile).unwrap();
    let disks = [Disk::new("first", unit("first", first)), Disk::new("second", unit("second", second))];
    let mut target = open_target("disk", MemoryVolume::new(BLOCK as u64));
    target.mounts = disks.iter().enumerate().map(|(lun, disk)| mount(lun as u16, disk, |_| true)).collect();
    Lab::new(vec![target])
}
