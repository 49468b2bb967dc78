//! The beginning of a qcow2 image: what has to be known before any of it is believed.

use anyhow::{bail, ensure};

use crate::sparse::SparseFile;

/// What such an image begins with.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bytes of the header that are looked at.
const LENGTH: usize = 104;

/// Clusters have this many bits in the format; QEMU makes none with others.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

/// The longest first-level table that QEMU opens, in bytes.
const LONGEST_TABLE: u64 = 32 << 20;

/// The longest refcount table that QEMU opens, in bytes.
const LONGEST_REFCOUNTS: u64 = 8 << 20;

/// The longest name of another file.
const LONGEST_NAME: u32 = 1023;

/// Incompatible features (bits of the third version's header) that can't be read, and why.
const FEATURES: [(u64, &str); 3] = [
    (1 << 0, "was not closed by who wrote it: `qemu-img check -r all` settles that"),
    (1 << 1, "is marked as damaged: `qemu-img check` tells more"),
    (1 << 2, "has its data in another file: convert it with qemu-img first, if you know that file"),
];

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the disk, in bytes.
    pub(super) size: u64,
    /// Bytes of a cluster.
    pub(super) cluster: u64,
}

/// Whether a file begins as such an image does. That does not make it one: who may write to a disk can write that too.
pub(crate) fn begins_as_one(file: &SparseFile) -> bool {
    let mut magic = [0; MAGIC.len()];
    file.length() >= LENGTH as u64 && file.read(0, &mut magic).is_ok() && magic == MAGIC
}

impl Header {
    /// Reads the header, and refuses what can't be copied without other files, keys or repairs.
    pub(super) fn read(file: &SparseFile) -> anyhow::Result<Header> {
        let mut bytes = [0; LENGTH];
        ensure!(file.length() >= LENGTH as u64, "it is too short for a qcow2 image");
        file.read(0, &mut bytes)?;
        let name = |offset: u64, length: u32| {
            let mut name = vec![0; length.min(LONGEST_NAME) as usize];
            file.read(offset, &mut name).map(|()| String::from_utf8_lossy(&name).escape_debug().to_string())
        };
        Header::parse(&bytes, name)
    }

    /// `name` reads the name of another file.
    fn parse(
        bytes: &[u8; LENGTH],
        name: impl Fn(u64, u32) -> anyhow::Result<String>,
    ) -> anyhow::Result<Header> {
        let number = |at: usize, length: usize| {
            let field = bytes.get(at..at + length).unwrap_or_default();
            field.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        ensure!(
            bytes.starts_with(&MAGIC),
            "it is no qcow2 image: leave --from (or format=) out to have it as it is"
        );
        let version = number(4, 4);
        ensure!(matches!(version, 2 | 3), "it is a qcow image of version {version}, and 2 and 3 are known");
        let backing = number(8, 8);
        if backing != 0 {
            let name = name(backing, number(16, 4) as u32).unwrap_or_else(|_| "that can't be read".into());
            bail!(
                "it has only what differs from another image, {name}, which is not opened. Make one image of both \
                 first: qemu-img convert -O qcow2"
            );
        }
        ensure!(number(32, 4) == 0, "it is encrypted: decrypt it with qemu-img convert first");
        let features = if version == 3 { number(72, 8) } else { 0 };
        if let Some((_, why)) = FEATURES.iter().find(|(bit, _)| features & bit != 0) {
            bail!("it {why}");
        }
        let (cluster_bits, size) = (number(20, 4) as u32, number(24, 8));
        ensure!(
            CLUSTER_BITS.contains(&cluster_bits),
            "its clusters have 2^{cluster_bits} bytes, which is damage"
        );
        ensure!(size <= i64::MAX as u64, "its disk has {size} bytes, which is damage");
        let is_sound =
            number(36, 4) * 8 <= LONGEST_TABLE && number(56, 4) << cluster_bits <= LONGEST_REFCOUNTS;
        ensure!(is_sound, "its tables are longer than QEMU makes any, which is damage");
        Ok(Header { size, cluster: 1 << cluster_bits })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header() -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        (bytes[7], bytes[23], bytes[29], bytes[39], bytes[59]) = (3, 16, 1, 1, 1);
        bytes
    }

    fn parse(bytes: &[u8; LENGTH]) -> Result<Header, String> {
        let name = |offset, length| Ok(format!("NAME {offset} {length}"));
        Header::parse(bytes, name).map_err(|error| error.to_string())
    }

    #[test]
    fn a_header_says_how_large_the_disk_is() {
        assert_eq!(parse(&header()), Ok(Header { size: 1 << 16, cluster: 1 << 16 }));
        let mut second = header();
        // The second version has no features there.
        (second[7], second[79]) = (2, 0xff);
        assert!(parse(&second).is_ok());
    }

    #[test]
    fn what_needs_more_than_the_file_or_is_damaged_is_refused() {
        for (at, value, why) in [
            (0, 0, "no qcow2 image"),
            (7, 4, "version 4"),
            (7, 1, "version 1"),
            (15, 8, "NAME 8 0"),
            (8, 1, "another image"),
            (35, 1, "encrypted"),
            (35, 2, "encrypted"),
            (79, 1, "not closed"),
            (79, 2, "marked as damaged"),
            (79, 4, "another file"),
            (23, 8, "2^8"),
            (23, 22, "2^22"),
            (20, 255, "2^"),
            (24, 0x80, "bytes"),
            (36, 1, "tables"),
            (58, 1, "tables"),
            (56, 255, "tables"),
        ] {
            let mut bytes = header();
            bytes[at] = value;
            let error = parse(&bytes).unwrap_err();
            assert!(error.contains(why), "{at} {value}: {error}");
        }
    }
}
