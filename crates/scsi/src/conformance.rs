//! What is supported and what is not, for people: made of the tables that the code runs on.

use std::fmt::Write;

use crate::absent;
use crate::access_states::Reach;
use crate::command_table::COMMANDS;
use crate::log_sense;
use crate::mode_pages::{self, MODE_PAGES};
use crate::overlap::Touch;
use crate::reservations::Admission;
use crate::vital_product_data;

fn admission(admission: Admission) -> &'static str {
    match admission {
        Admission::Always => "lets it in",
        Admission::Looks => "lets it in where others may read",
        Admission::Never => "keeps it out",
        Admission::Own => "is its subject",
    }
}

fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Active => "active",
        Reach::Standby => "standby",
        Reach::Unavailable => "unavailable",
        Reach::Offline => "offline",
    }
}

fn touch(touch: Touch) -> &'static str {
    match touch {
        Touch::Nothing => "–",
        Touch::Named => "with others",
        Touch::Any => "with others, any blocks",
        Touch::Alone => "as one step",
    }
}

/// The part of `docs/conformance.md` that is about SCSI.
pub fn conformance() -> String {
    let mut text = String::new();
    commands(&mut text);
    let vital = vital_product_data::names();
    pages(&mut text, "Vital product data pages", vital, absent::VITAL_PRODUCT_DATA);
    mode_pages(&mut text);
    mode_parameters(&mut text);
    pages(&mut text, "Log pages", log_sense::names(), absent::LOGS);
    text
}

fn commands(text: &mut String) {
    text.push_str(
        "## Commands\n\n| code | action | command | its blocks | a reservation of others | down to |\n",
    );
    text.push_str("|---|---|---|---|---|---|\n");
    for row in COMMANDS {
        let action = row.service_action.map_or_else(String::new, |action| format!("{action:02X}h"));
        let (blocks, others) = (touch(row.traits.touch), admission(row.traits.shut_out));
        let (code, name, reach) = (row.operation_code, row.name, reach(row.traits.reach));
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {code:02X}h | {action} | {name} | {blocks} | {others} | {reach} |");
    }
    text.push_str(
        "\nThe last column is the worst asymmetric access state (SPC-4 5.16.2.4) of the target port ",
    );
    text.push_str(
        "group that a command is carried out in. SET TARGET PORT GROUPS is there where `alua=explicit` ",
    );
    text.push_str("lets it.\n");
    text.push_str("\nNot supported:\n\n| code | action | command | why |\n|---|---|---|---|\n");
    for (code, name, why) in absent::COMMANDS {
        let _ = writeln!(text, "| {code:02X}h | | {name} | {why} |");
    }
    for (code, action, name, why) in absent::ACTIONS {
        let _ = writeln!(text, "| {code:02X}h | {action:02X}h | {name} | {why} |");
    }
    text.push_str(
        "\nOther operation codes are not those of a disk. All that is not supported is answered INVALID ",
    );
    text.push_str("COMMAND OPERATION CODE, and REPORT SUPPORTED OPERATION CODES says so.\n");
    text.push_str(
        "\nSBC-3 admits the commands of 32 bytes (7Fh) that access blocks only where the disk has type 2 protection. ",
    );
    text.push_str(
        "Here, as with SCST, they need none: RDPROTECT, WRPROTECT and VRPROTECT must be 0, and the expected tags are ",
    );
    text.push_str("not looked at.\n");
}

fn mode_pages(text: &mut String) {
    text.push_str("\n## Mode pages\n\n| code | subpage | page |\n|---|---|---|\n");
    for page in MODE_PAGES {
        let _ = writeln!(text, "| {:02X}h | {:02X}h | {} |", page.code, page.subpage, page.name);
    }
    text.push_str("\nNot supported:\n\n| code | subpage | page | why |\n|---|---|---|---|\n");
    for (code, subpage, name, why) in absent::MODE_PAGES {
        let _ = writeln!(text, "| {code:02X}h | {subpage:02X}h | {name} | {why} |");
    }
}

fn mode_parameters(text: &mut String) {
    text.push_str("\nWhat MODE SELECT can change, and save where the disk has a place for that:\n\n");
    text.push_str("| page | subpage | parameter | values | default |\n|---|---|---|---|---|\n");
    for page in MODE_PAGES {
        for (parameter, values, default) in mode_pages::changeable(page) {
            let (code, subpage) = (page.code, page.subpage);
            let _ = writeln!(text, "| {code:02X}h | {subpage:02X}h | {parameter} | {values} | {default} |");
        }
    }
}

fn pages<'a>(
    text: &mut String,
    title: &str,
    there: impl Iterator<Item = (u8, &'a str)>,
    absent: &[(u8, &str, &str)],
) {
    let _ = writeln!(text, "\n## {title}\n\n| code | page |\n|---|---|");
    there.for_each(|(code, name)| {
        let _ = writeln!(text, "| {code:02X}h | {name} |");
    });
    text.push_str("\nNot supported:\n\n| code | page | why |\n|---|---|---|\n");
    for (code, name, why) in absent {
        let _ = writeln!(text, "| {code:02X}h | {name} | {why} |");
    }
}
