//! Mode pages (SPC-4 7.5, SBC-3 6.5): one table of the pages, and of the parameters in them that clients
//! can change.

use crate::SettingsStore;
use crate::exceptions;
use crate::thresholds::Threshold;

/// What MODE SELECT can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModeParameters {
    /// WCE of the caching mode page: writes may be acknowledged before they are on the medium.
    pub(crate) write_cache: bool,
    /// SWP of the control mode page: writes are refused.
    pub(crate) software_write_protect: bool,
    /// QERR of the control mode page: what becomes of other commands when one ends with CHECK CONDITION.
    pub(crate) query_error: u8,
    /// UA_INTLCK_CTRL of the control mode page: whether unit attention conditions stay until REQUEST SENSE asks.
    pub(crate) interlock: u8,
    /// TAS of the control mode page: commands that another nexus has had aborted end with TASK ABORTED.
    pub(crate) task_aborted_status: bool,
    /// LBPERE of the read-write error recovery mode page: thresholds are told of.
    pub(crate) tells_of_thresholds: bool,
    /// DEXCPT of the informational exceptions control mode page: nobody is told that the disk may fail.
    pub(crate) exceptions_disabled: bool,
    /// MRIE of that page: how it is told.
    pub(crate) exceptions_method: u8,
    /// SITUA of the logical block provisioning mode page: only the nexus is told that has come to a threshold.
    pub(crate) tells_one_nexus: bool,
    /// Of the available resources, of the used ones, and of the share of the available ones in percent.
    pub(crate) thresholds: [Threshold; 3],
}

/// UA_INTLCK_CTRL (SPC-4 7.5.8): what REQUEST SENSE has not asked for stays; and statuses leave a condition, too.
pub(crate) const INTERLOCKED: u8 = 0b10;
pub(crate) const INTERLOCKED_WITH_STATUSES: u8 = 0b11;

/// QERR (SPC-4 7.5.8): all other commands of the task set are aborted, or those of the same nexus.
pub(crate) const ALL_ABORTED: u8 = 0b01;
pub(crate) const OWN_ABORTED: u8 = 0b11;

/// A field of a page that can be changed.
#[derive(Debug)]
struct Parameter {
    /// Counted from the page's first byte.
    byte: usize,
    mask: u8,
    /// Under which it is saved.
    key: &'static str,
    value: Value,
}

/// Where the value of a field is, and which there are.
#[derive(Debug)]
enum Value {
    Flag(fn(&mut ModeParameters) -> &mut bool),
    Choice(fn(&mut ModeParameters) -> &mut u8, &'static [u8]),
}

impl Parameter {
    const fn flag(
        byte: usize,
        mask: u8,
        key: &'static str,
        value: fn(&mut ModeParameters) -> &mut bool,
    ) -> Self {
        Parameter { byte, mask, key, value: Value::Flag(value) }
    }

    const fn choice(
        byte: usize,
        mask: u8,
        key: &'static str,
        value: fn(&mut ModeParameters) -> &mut u8,
        choices: &'static [u8],
    ) -> Self {
        Parameter { byte, mask, key, value: Value::Choice(value, choices) }
    }

    /// The field as its byte of the page has it.
    fn bits(&self, modes: &mut ModeParameters) -> u8 {
        match self.value {
            Value::Flag(value) if *value(modes) => self.mask,
            Value::Flag(_) => 0,
            Value::Choice(value, _) => *value(modes) << self.mask.trailing_zeros(),
        }
    }

    /// Takes the field over from its byte of the page. `false` for a value that there is not.
    fn set(&self, byte: u8, modes: &mut ModeParameters) -> bool {
        let number = (byte & self.mask) >> self.mask.trailing_zeros();
        match self.value {
            Value::Flag(value) => *value(modes) = number != 0,
            Value::Choice(_, choices) if !choices.contains(&number) => return false,
            Value::Choice(value, _) => *value(modes) = number,
        }
        true
    }

    /// The value as it is saved.
    fn saved(&self, modes: &mut ModeParameters) -> String {
        match self.value {
            Value::Flag(value) => if *value(modes) { "on" } else { "off" }.to_owned(),
            Value::Choice(value, _) => value(modes).to_string(),
        }
    }

    /// Takes over what was saved, if it is a value that there is.
    fn load(&self, saved: &str, modes: &mut ModeParameters) {
        match (&self.value, saved) {
            (Value::Flag(value), "on") => *value(modes) = true,
            (Value::Flag(value), "off") => *value(modes) = false,
            (Value::Choice(value, choices), number) => {
                let number = number.parse().ok().filter(|number| choices.contains(number));
                *value(modes) = number.unwrap_or(*value(modes));
            }
            _ => {}
        }
    }
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
        parameters: &[Parameter::flag(7, 0x80, "tells-of-thresholds", |modes| {
            &mut modes.tells_of_thresholds
        })],
        numbers: &[],
    },
    // Caching (SBC-3 6.5.5).
    ModePage {
        code: 0x08,
        subpage: 0,
        name: "Caching",
        fixed: &[0; 18],
        parameters: &[Parameter::flag(2, 0x04, "write-cache", |modes| &mut modes.write_cache)],
        numbers: &[],
    },
    // Control (SPC-4 7.5.8): one task set for all nexuses, sense data in fixed format, commands may be
    // reordered without restriction.
    ModePage {
        code: 0x0a,
        subpage: 0,
        name: "Control",
        fixed: &[0x02, 0x10, 0, 0, 0, 0, 0, 0, 0, 0],
        parameters: &[
            Parameter::choice(
                3,
                0x06,
                "query-error",
                |modes| &mut modes.query_error,
                &[0, ALL_ABORTED, OWN_ABORTED],
            ),
            Parameter::choice(
                4,
                0x30,
                "unit-attention-interlock",
                |modes| &mut modes.interlock,
                &[0, INTERLOCKED, INTERLOCKED_WITH_STATUSES],
            ),
            Parameter::flag(4, 0x08, "software-write-protect", |modes| &mut modes.software_write_protect),
            Parameter::flag(5, 0x40, "task-aborted-status", |modes| &mut modes.task_aborted_status),
        ],
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
    // Informational exceptions control (SPC-4 7.5.12): none are reported, unless a client wants them to be.
    ModePage {
        code: 0x1c,
        subpage: 0,
        name: "Informational Exceptions Control",
        fixed: &[0; 10],
        parameters: &[
            Parameter::flag(2, 0x08, "exceptions-disabled", |modes| &mut modes.exceptions_disabled),
            Parameter::choice(
                3,
                0x0f,
                "exceptions-method",
                |modes| &mut modes.exceptions_method,
                &exceptions::METHODS,
            ),
        ],
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
            Parameter::flag(4, 0x01, "tells-one-nexus", |modes| &mut modes.tells_one_nexus),
            Parameter::flag(16, 0x80, "threshold-available", |modes| &mut modes.thresholds[0].enabled),
            Parameter::flag(24, 0x80, "threshold-used", |modes| &mut modes.thresholds[1].enabled),
            Parameter::flag(32, 0x80, "threshold-percentage", |modes| &mut modes.thresholds[2].enabled),
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
        query_error: 0,
        interlock: 0,
        task_aborted_status: false,
        tells_of_thresholds: true,
        exceptions_disabled: true,
        exceptions_method: 0,
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
            if let Some(saved) = store.load(parameter.key) {
                parameter.load(&saved, &mut modes);
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
            store.save(parameter.key, &parameter.saved(&mut self))?;
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

/// For people: what can be changed of a page, to which values, and which is the default.
pub(crate) fn changeable(page: &ModePage) -> impl Iterator<Item = (&'static str, String, String)> {
    let numbers = page.numbers.iter().map(|number| {
        let default = (number.value)(&mut { ModeParameters::DEFAULT }).to_string();
        (number.key, "a number".to_owned(), default)
    });
    let parameters = page.parameters.iter().map(|parameter| {
        let values = match parameter.value {
            Value::Flag(_) => "on, off".to_owned(),
            Value::Choice(_, choices) => choices.iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
        };
        (parameter.key, values, parameter.saved(&mut { ModeParameters::DEFAULT }))
    });
    parameters.chain(numbers)
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
            bytes[parameter.byte] |= match values {
                PageValues::Of(mut modes) => parameter.bits(&mut modes),
                PageValues::Changeable => parameter.mask,
            };
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
    /// byte that would change what cannot be changed, or has a value that there is not, and the most significant bit
    /// of that.
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
            if !parameter.set(sent[parameter.byte], modes) {
                return Err((parameter.byte, parameter.mask.ilog2() as u8));
            }
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
