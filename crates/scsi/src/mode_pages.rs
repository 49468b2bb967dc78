//! Mode pages (SPC-4 7.5, SBC-3 6.5): one table of the pages, and of the parameters in them that clients
//! can change.

use crate::SettingsStore;

/// What MODE SELECT can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModeParameters {
    /// WCE of the caching mode page: writes may be acknowledged before they are on the medium.
    pub(crate) write_cache: bool,
    /// SWP of the control mode page: writes are refused.
    pub(crate) software_write_protect: bool,
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

/// A row of the table.
#[derive(Debug)]
pub(crate) struct ModePage {
    pub(crate) code: u8,
    pub(crate) name: &'static str,
    /// The page from byte 2 on, all bits of [`Parameter`]s zero.
    fixed: &'static [u8],
    parameters: &'static [Parameter],
}

/// Supported pages, in ascending order.
pub(crate) static MODE_PAGES: &[ModePage] = &[
    // Caching (SBC-3 6.5.5).
    ModePage {
        code: 0x08,
        name: "Caching",
        fixed: &[0; 18],
        parameters: &[Parameter {
            byte: 2,
            mask: 0x04,
            key: "write-cache",
            value: |modes| &mut modes.write_cache,
        }],
    },
    // Control (SPC-4 7.5.8): one task set for all nexuses, sense data in fixed format, commands may be
    // reordered without restriction, commands aborted by another initiator end without status.
    ModePage {
        code: 0x0a,
        name: "Control",
        fixed: &[0x02, 0x10, 0, 0, 0, 0, 0, 0, 0, 0],
        parameters: &[Parameter {
            byte: 4,
            mask: 0x08,
            key: "software-write-protect",
            value: |modes| &mut modes.software_write_protect,
        }],
    },
    // Informational exceptions control (SPC-4 7.5.12): none are reported.
    ModePage {
        code: 0x1c,
        name: "Informational Exceptions Control",
        fixed: &[0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        parameters: &[],
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
    pub(crate) const DEFAULT: Self = Self { write_cache: true, software_write_protect: false };

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
        modes
    }

    /// Saves them all. The error is for people.
    pub(crate) fn save(mut self, store: &dyn SettingsStore) -> Result<(), String> {
        for parameter in parameters() {
            let on = *(parameter.value)(&mut self);
            store.save(parameter.key, if on { "on" } else { "off" })?;
        }
        Ok(())
    }
}

fn parameters() -> impl Iterator<Item = &'static Parameter> {
    MODE_PAGES.iter().flat_map(|page| page.parameters)
}

impl ModePage {
    /// The whole page in page_0 format. `savable` is the PS bit.
    pub(crate) fn bytes(&self, values: PageValues, savable: bool) -> Vec<u8> {
        let mut bytes = vec![self.code | u8::from(savable) << 7, self.fixed.len() as u8];
        match values {
            PageValues::Of(_) => bytes.extend(self.fixed),
            PageValues::Changeable => bytes.resize(2 + self.fixed.len(), 0),
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
        bytes
    }

    /// Takes over what a client sent for this page, `sent` being as long as the page. The error is the
    /// byte that would change what cannot be changed, and its most significant such bit.
    pub(crate) fn select(&self, sent: &[u8], modes: &mut ModeParameters) -> Result<(), (usize, u8)> {
        let current = self.bytes(PageValues::Of(*modes), false);
        let changeable = self.bytes(PageValues::Changeable, false);
        for (at, &byte) in sent.iter().enumerate().skip(2) {
            let refused = (byte ^ current[at]) & !changeable[at];
            if let Some(bit) = refused.checked_ilog2() {
                return Err((at, bit as u8));
            }
        }
        for parameter in self.parameters {
            *(parameter.value)(modes) = sent[parameter.byte] & parameter.mask != 0;
        }
        Ok(())
    }

    /// Bytes of the whole page.
    pub(crate) fn len(&self) -> usize {
        2 + self.fixed.len()
    }
}
