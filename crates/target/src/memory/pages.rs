//! Memory that starts and ends with a page, as devices like it.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes of a page.
const PAGE: usize = 4096;

/// The largest size class: 2^11 pages are 8 MiB, the largest transfer.
const LARGEST: u32 = 11;

/// How many size classes there are.
pub(super) const CLASSES: usize = LARGEST as usize + 1;

#[derive(Clone, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// A run of pages, by a power of two of them.
#[derive(Debug, Default)]
pub(super) struct Pages(Box<[Page]>);

/// How long a run of pages is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeClass(u32);

impl SizeClass {
    /// The smallest that has room for so many bytes.
    pub(super) fn of(bytes: usize) -> Option<SizeClass> {
        let class = bytes.div_ceil(PAGE).max(1).next_power_of_two().ilog2();
        (class <= LARGEST).then_some(SizeClass(class))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) fn bytes(self) -> usize {
        PAGE << self.0
    }
}

impl Pages {
    /// Zeroed pages; `None` where the system has no memory.
    pub(super) fn new(class: SizeClass) -> Option<Pages> {
        <[Page]>::new_box_zeroed_with_elems(1 << class.0).ok().map(Pages)
    }

    /// The class they are of.
    pub(super) fn class(&self) -> SizeClass {
        SizeClass(self.0.len().max(1).ilog2())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_long_enough_and_begin_with_a_page() {
        for bytes in [0, 1, PAGE, PAGE + 1, 3 * PAGE, 1 << 20, (1 << 20) + 1, 8 << 20] {
            let class = SizeClass::of(bytes).unwrap();
            let mut pages = Pages::new(class).unwrap();
            assert_eq!(pages.class(), class);
            assert_eq!(pages.bytes().len(), class.bytes());
            assert!(class.bytes() >= bytes.max(1) && class.bytes() < 2 * bytes.max(PAGE));
            assert_eq!(pages.bytes_mut().as_ptr() as usize % PAGE, 0);
        }
        assert_eq!(SizeClass::of((8 << 20) + 1), None);
    }
}
