//! Mode pages (SPC-4 7.5, SBC-3 6.5): one table of the pages, and of the parameters in them that clients
//! can change.

use crate::SettingsStore;
use crate::thresholds::Threshold;

/// What MODE SELECT can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModeParameters {
    /// WCE of the caching mode page: writes may be acknowledged before they are on the medium.
    pub(crate) write_cache: bool,
    /// SWP of the control mode page: writes are refused.
    pub(crate) software_write_protect: bool,
    /// LBPERE of the read-write error recovery mode page: thresholds are told of.
    pub(crate) tells_of_thresholds: bool,
    /// SITUA of the logical block provisioning mode page: only the nexus is told that has come to a threshold.
    pub(crate) tells_one_nexus: bool,
    /// Of the available resources, of the used ones, and of the share of the available ones in percent.
    pub(crate) thresholds: [Threshold; 3],
}

/// A bit of a page that can be changed.
#[derive(Debug)]
struct Parameter {
    /// Counted from the page's first byte.
    byte: usize,
    mask: u8,
    /// Under which it is saved.
    key: &'static str,
    value: fn(&mut ModeParameters) -> &mut bool,
}

/// A number of a page that can be changed, of four bytes.
#[derive(Debug)]
struct Number {
    /// Counted from the page's first byte.
    byte: usize,
    /// Under which it is saved.
    key: &'static str,
    value: fn(&mut ModeParameters) -> &mut u32,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct ModePage {
    pub(crate) code: u8,
    pub(crate) subpage: u8,
    pub(crate) name: &'static str,
    /// The page after its length, all bits of [`Parameter`]s and [`Number`]s zero.
    fixed: &'static [u8],
    parameters: &'static [Parameter],
    numbers: &'static [Number],
}

/// Threshold descriptors after their header: THRESHOLD TYPE, THRESHOLD ARMING and THRESHOLD RESOURCE (SBC-5 tables 7
/// and 8).
const THRESHOLDS: [u8; 36] = {
    let mut page = [0; 36];
    (page[12], page[13]) = (0x00, 0x01);
    (page[20], page[21]) = (0x01, 0x02);
    (page[28], page[29]) = (0x08, 0x03);
    page
};

/// Supported pages, in ascending order.
pub(crate) static MODE_PAGES: &[ModePage] = &[
    // Read-write error recovery (SBC-3 6.5.8): there is nothing to recover here.
    ModePage {
        code: 0x01,
        subpage: 0,
        name: "Read-Write Error Recovery",
        fixed: &[0; 10],
        parameters: &[Parameter {
            byte: 7,
            mask: 0x80,
            key: "tells-of-thresholds",
            value: |modes| &mut modes.tells_of_thresholds,
        }],
        numbers: &[],
    },
    // Caching (SBC-3 6.5.5).
    ModePage {
        code: 0x08,
        subpage: 0,
        name: "Caching",
        fixed: &[0; 18],
        parameters: &[Parameter {
            byte: 2,
            mask: 0x04,
            key: "write-cache",
            value: |modes| &mut modes.write_cache,
        }],
        numbers: &[],
    },
    // Control (SPC-4 7.5.8): one task set for all nexuses, sense data in fixed format, commands may be
    // reordered without restriction, commands aborted by another initiator end without status.
    ModePage {
        code: 0x0a,
        subpage: 0,
        name: "Control",
        fixed: &[0x02, 0x10, 0, 0, 0, 0, 0, 0, 0, 0],
        parameters: &[Parameter {
            byte: 4,
            mask: 0x08,
            key: "software-write-protect",
            value: |modes| &mut modes.software_write_protect,
        }],
        numbers: &[],
    },
    // Control extension (SPC-4 7.5.9): TCMOS and SCSIP, the timestamp is that of the system until a client sets it.
    ModePage {
        code: 0x0a,
        subpage: 0x01,
        name: "Control Extension",
        fixed: &[0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        parameters: &[],
        numbers: &[],
    },
    // Informational exceptions control (SPC-4 7.5.12): none are reported.
    ModePage {
        code: 0x1c,
        subpage: 0,
        name: "Informational Exceptions Control",
        fixed: &[0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        parameters: &[],
        numbers: &[],
    },
    // Logical block provisioning (SBC-5 6.5.9): three soft thresholds, all off. Those of the available resources are
    // reached as they become fewer, that of the used ones as they become more.
    ModePage {
        code: 0x1c,
        subpage: 0x02,
        name: "Logical Block Provisioning",
        fixed: &THRESHOLDS,
        parameters: &[
            Parameter {
                byte: 4,
                mask: 0x01,
                key: "tells-one-nexus",
                value: |modes| &mut modes.tells_one_nexus,
            },
            Parameter {
                byte: 16,
                mask: 0x80,
                key: "threshold-available",
                value: |modes| &mut modes.thresholds[0].enabled,
            },
            Parameter {
                byte: 24,
                mask: 0x80,
                key: "threshold-used",
                value: |modes| &mut modes.thresholds[1].enabled,
            },
            Parameter {
                byte: 32,
                mask: 0x80,
                key: "threshold-percentage",
                value: |modes| &mut modes.thresholds[2].enabled,
            },
        ],
        numbers: &[
            Number {
                byte: 20,
                key: "threshold-available-count",
                value: |modes| &mut modes.thresholds[0].count,
            },
            Number { byte: 28, key: "threshold-used-count", value: |modes| &mut modes.thresholds[1].count },
            Number {
                byte: 36,
                key: "threshold-percentage-count",
                value: |modes| &mut modes.thresholds[2].count,
            },
        ],
    },
];

/// Which values of the parameters are meant (SPC-4 6.11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageValues {
    /// These.
    Of(ModeParameters),
    /// None; the bits that can be changed are ones, all else is zeros.
    Changeable,
}

impl ModeParameters {
    /// As they are on a new disk.
    pub(crate) const DEFAULT: Self = Self {
        write_cache: true,
        software_write_protect: false,
        tells_of_thresholds: true,
        tells_one_nexus: false,
        thresholds: [Threshold { enabled: false, count: 0 }; 3],
    };

    /// As they were saved, and by default where they were not.
    pub(crate) fn saved(store: Option<&dyn SettingsStore>) -> Self {
        let mut modes = Self::DEFAULT;
        let Some(store) = store else {
            return modes;
        };
        for parameter in parameters() {
            match store.load(parameter.key).as_deref() {
                Some("on") => *(parameter.value)(&mut modes) = true,
                Some("off") => *(parameter.value)(&mut modes) = false,
                _ => {}
            }
        }
        for number in numbers() {
            if let Some(value) = store.load(number.key).and_then(|value| value.parse().ok()) {
                *(number.value)(&mut modes) = value;
            }
        }
        modes
    }

    /// Saves them all. The error is for people.
    pub(crate) fn save(mut self, store: &dyn SettingsStore) -> Result<(), String> {
        for parameter in parameters() {
            let on = *(parameter.value)(&mut self);
            store.save(parameter.key, if on { "on" } else { "off" })?;
        }
        for number in numbers() {
            store.save(number.key, &(number.value)(&mut self).to_string())?;
        }
        Ok(())
    }
}

fn parameters() -> impl Iterator<Item = &'static Parameter> {
    MODE_PAGES.iter().flat_map(|page| page.parameters)
}

fn numbers() -> impl Iterator<Item = &'static Number> {
    MODE_PAGES.iter().flat_map(|page| page.numbers)
}

impl ModePage {
    /// Bytes before the parameters: what page it is, and how long.
    pub(crate) fn header(&self) -> usize {
        if self.subpage == 0 { 2 } else { 4 }
    }

    /// The whole page, in page_0 format or, if it has a subpage code, in sub_page format. `savable` is the PS bit.
    pub(crate) fn bytes(&self, values: PageValues, savable: bool) -> Vec<u8> {
        let first = self.code | u8::from(savable) << 7;
        let [high, low] = (self.fixed.len() as u16).to_be_bytes();
        let mut bytes = match self.subpage {
            0 => vec![first, low],
            subpage => vec![first | 0x40, subpage, high, low],
        };
        match values {
            PageValues::Of(_) => bytes.extend(self.fixed),
            PageValues::Changeable => bytes.resize(self.len(), 0),
        }
        for parameter in self.parameters {
            let set = match values {
                PageValues::Of(mut modes) => *(parameter.value)(&mut modes),
                PageValues::Changeable => true,
            };
            if set {
                bytes[parameter.byte] |= parameter.mask;
            }
        }
        for number in self.numbers {
            let value = match values {
                PageValues::Of(mut modes) => *(number.value)(&mut modes),
                PageValues::Changeable => u32::MAX,
            };
            bytes[number.byte..][..4].copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    /// Takes over what a client sent for this page, `sent` being as long as the page. The error is the
    /// byte that would change what cannot be changed, and its most significant such bit.
    pub(crate) fn select(&self, sent: &[u8], modes: &mut ModeParameters) -> Result<(), (usize, u8)> {
        let current = self.bytes(PageValues::Of(*modes), false);
        let changeable = self.bytes(PageValues::Changeable, false);
        for (at, &byte) in sent.iter().enumerate().skip(self.header()) {
            let refused = (byte ^ current[at]) & !changeable[at];
            if let Some(bit) = refused.checked_ilog2() {
                return Err((at, bit as u8));
            }
        }
        for parameter in self.parameters {
            *(parameter.value)(modes) = sent[parameter.byte] & parameter.mask != 0;
        }
        for number in self.numbers {
            let bytes = &sent[number.byte..][..4];
            *(number.value)(modes) = bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        }
        Ok(())
    }

    /// Bytes of the whole page.
    pub(crate) fn len(&self) -> usize {
        self.header() + self.fixed.len()
    }
}
