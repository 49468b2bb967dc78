//! What a direct access block device could have and this one has not, and why: for `docs/conformance.md`, and for
//! the tests, which see to it that the tables of what is there disagree.

/// Commands of a direct access block device (SBC-3 table 13).
pub(crate) const COMMANDS: &[(u8, &str, &str)] = &[
    (0x07, "REASSIGN BLOCKS", "a file has no blocks to reassign"),
    (0x1c, "RECEIVE DIAGNOSTIC RESULTS", "there are no diagnostic pages"),
    (0x4c, "LOG SELECT", "nothing of the logs can be set"),
    (0x50, "XDWRITE(10)", "obsolete"),
    (0x51, "XPWRITE(10)", "obsolete"),
    (0x53, "XDWRITEREAD(10)", "bidirectional, and obsolete"),
    (0x81, "REBUILD(16)", "obsolete"),
    (0x82, "REGENERATE(16)", "obsolete"),
    (0x85, "ATA PASS-THROUGH(16)", "this is no ATA device"),
    (0x86, "ACCESS CONTROL IN", "obsolete"),
    (0x87, "ACCESS CONTROL OUT", "obsolete"),
    (0x8c, "READ ATTRIBUTE", "there are no medium auxiliary memories"),
    (0x8d, "WRITE ATTRIBUTE", "there are no medium auxiliary memories"),
    (0xa1, "ATA PASS-THROUGH(12)", "this is no ATA device"),
    (0xa2, "SECURITY PROTOCOL IN", "there are no security protocols"),
    (0xb5, "SECURITY PROTOCOL OUT", "there are no security protocols"),
];

/// Service actions of operation codes that are there.
pub(crate) const ACTIONS: &[(u8, u8, &str, &str)] = &[
    (0x48, 0x03, "SANITIZE, CRYPTOGRAPHIC ERASE", "nothing is encrypted"),
    (0x7f, 0x07, "XDWRITEREAD(32)", "bidirectional, and obsolete"),
];

/// Vital product data pages.
pub(crate) const VITAL_PRODUCT_DATA: &[(u8, &str, &str)] = &[
    (0x84, "Software Interface Identification", "nothing identifies itself that way"),
    (0x85, "Management Network Addresses", "a disk is managed on its own machine only"),
    (0x89, "ATA Information", "this is no ATA device"),
    (0x8a, "Power Condition", "there are no power conditions"),
    (0x90, "Protocol Specific Logical Unit Information", "iSCSI has none"),
    (0x91, "Protocol Specific Port Information", "iSCSI has none"),
    (0xb3, "Referrals", "no port is better for some blocks than for others"),
    (0xb4, "Supported Block Lengths And Protection Types", "a disk has one block length, no protection"),
    (0xb5, "Block Device Characteristics Extension", "what is below is not known"),
    (0xb6, "Zoned Block Device Characteristics", "there are no zones"),
    (0xb7, "Block Limits Extension", "there are no streams, and its other limits are none"),
];

/// Mode pages, with their subpages.
pub(crate) const MODE_PAGES: &[(u8, u8, &str, &str)] = &[
    (0x00, 0x00, "vendor specific", "there are no parameters of our own"),
    (0x02, 0x00, "Disconnect-Reconnect", "what iSCSI has of it is negotiated at login"),
    (0x03, 0x00, "Format Device", "obsolete: there are no tracks"),
    (0x04, 0x00, "Rigid Disk Geometry", "obsolete: there are no cylinders"),
    (0x07, 0x00, "Verify Error Recovery", "there is nothing to recover with"),
    (0x0a, 0x02, "Application Tag", "there is no protection information"),
    (0x0a, 0x05, "IO Advice Hints Grouping", "there are no hints"),
    (0x18, 0x00, "Protocol Specific Logical Unit", "iSCSI has none"),
    (0x19, 0x00, "Protocol Specific Port", "iSCSI has none"),
    (0x1a, 0x00, "Power Condition", "there are no power conditions"),
    (0x1c, 0x01, "Background Control", "there is no scan of the medium to control"),
];

/// Log pages.
pub(crate) const LOGS: &[(u8, &str, &str)] = &[
    (0x02, "Write Error Counters", "errors are not corrected here"),
    (0x03, "Read Error Counters", "errors are not corrected here"),
    (0x05, "Verify Error Counters", "errors are not corrected here"),
    (0x06, "Non-Medium Error", "they are in the log of the daemon"),
    (0x0b, "Last n Deferred Errors Or Asynchronous Events", "no error is deferred"),
    (0x0d, "Temperature", "it is not known"),
    (0x0f, "Application Client", "there is no LOG SELECT"),
    (0x10, "Self-Test Results", "the one self-test ends with its result"),
    (0x11, "Solid State Media", "what is below is not known"),
    (0x15, "Background Scan", "there is none"),
    (0x18, "Protocol Specific Port", "iSCSI has none"),
    (0x1a, "Power Condition Transitions", "there are no power conditions"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_table;
    use crate::{log_sense, mode_pages, vital_product_data};

    #[test]
    fn nothing_is_both_there_and_not() {
        let rows = command_table::COMMANDS;
        for (code, name, why) in COMMANDS {
            assert!(rows.iter().all(|row| row.operation_code != *code), "{name} is there");
            assert!(!why.is_empty());
        }
        for (code, action, name, _) in ACTIONS {
            let mut of_code = rows.iter().filter(|row| row.operation_code == *code).peekable();
            assert!(of_code.peek().is_some(), "all of {name} is absent");
            assert!(of_code.all(|row| row.service_action != Some(*action)), "{name} is there");
        }
        assert!(COMMANDS.is_sorted_by_key(|(code, ..)| *code));
    }

    #[test]
    fn no_page_is_both_there_and_not() {
        for (code, name, _) in VITAL_PRODUCT_DATA {
            assert!(vital_product_data::names().all(|(there, _)| there != *code), "{name} is there");
        }
        for (code, name, _) in LOGS {
            assert!(log_sense::names().all(|(there, _)| there != *code), "{name} is there");
        }
        for (code, subpage, name, _) in MODE_PAGES {
            let is_there = |page: &mode_pages::ModePage| (page.code, page.subpage) == (*code, *subpage);
            assert!(!mode_pages::MODE_PAGES.iter().any(is_there), "{name} is there");
        }
    }
}
