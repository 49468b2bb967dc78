//! A bit for each region of a volume.

/// Regions of a volume: of a mirror, those that its members may differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    count: u64,
}

impl Bits {
    /// None of `count` regions.
    #[must_use]
    pub fn none(count: u64) -> Self {
        Self { bytes: vec![0; length(count)], count }
    }

    /// All of `count` regions.
    #[must_use]
    pub fn all(count: u64) -> Self {
        let mut bits = Self::none(count);
        (0..count).for_each(|region| bits.set(region));
        bits
    }

    /// As they were written down. Of regions that nothing was written down for, it is not known that they are alike.
    #[must_use]
    pub fn from_bytes(bytes: Option<&[u8]>, count: u64) -> Self {
        match bytes {
            Some(bytes) if bytes.len() == length(count) => Self { bytes: bytes.to_vec(), count },
            _ => Self::all(count),
        }
    }

    /// What is to be written down.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many regions there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where the bit of a region is written down: the byte.
    pub(crate) fn byte_of(region: u64) -> usize {
        usize::try_from(region / 8).unwrap_or(usize::MAX)
    }

    pub(crate) fn get(&self, region: u64) -> bool {
        self.bytes.get(Self::byte_of(region)).is_some_and(|byte| byte & bit(region) != 0)
    }

    pub(crate) fn set(&mut self, region: u64) {
        if let Some(byte) = self.bytes.get_mut(Self::byte_of(region)).filter(|_| region < self.count) {
            *byte |= bit(region);
        }
    }

    pub(crate) fn clear(&mut self, region: u64) {
        if let Some(byte) = self.bytes.get_mut(Self::byte_of(region)) {
            *byte &= !bit(region);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.bytes.iter_mut().zip(&other.bytes).for_each(|(byte, other)| *byte |= other);
    }

    /// Those that are set, from the region `from` on.
    pub(crate) fn set_from(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let bytes = self.bytes.iter().enumerate().skip(Self::byte_of(from)).filter(|(_, byte)| **byte != 0);
        let regions = bytes.flat_map(|(index, _)| (0..8).map(move |bit| index as u64 * 8 + bit));
        regions.filter(move |region| *region >= from && self.get(*region))
    }

    /// How many are set.
    pub(crate) fn total(&self) -> u64 {
        self.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }
}

fn bit(region: u64) -> u8 {
    1 << (region % 8)
}

fn length(count: u64) -> usize {
    usize::try_from(count.div_ceil(8)).unwrap_or(usize::MAX)
}
