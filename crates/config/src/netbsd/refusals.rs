//! Targets that NetBSD accepts and nobody can serve.

use crate::configuration::{Configuration, Length, Target};
use crate::extent::FILE_END;
use crate::journal::Journal;
use crate::name::{LONGEST, iscsi_name};
use crate::served::Refusal;
use crate::value::quoted;
use std::collections::HashMap;
use std::ops::Range;

/// Gives each target that cannot be served the reason.
pub(crate) fn mark(configuration: &mut Configuration, refusals: Vec<Refusal>, journal: &mut Journal<'_>) {
    let mut reasons: HashMap<usize, (Range<usize>, String, &str)> = HashMap::new();
    for refusal in refusals {
        reasons.insert(refusal.target, (refusal.span, refusal.message, refusal.help));
    }
    let mut first_lines: HashMap<(&str, u16), usize> = HashMap::new();
    for (index, target) in configuration.targets.iter().enumerate() {
        let first = *first_lines.entry((target.iqn.as_str(), target.lun)).or_insert(index);
        let other = configuration.targets.get(first).filter(|_| first != index);
        let reason = bad_storage(configuration, target).or_else(|| bad_name(target, other, journal));
        if let Some(reason) = reason {
            reasons.entry(index).or_insert(reason);
        } else if iscsi_name(&target.iqn).is_err() {
            journal.notice(
                target.span.clone(),
                format!("{} is not a valid iSCSI name", quoted(&target.iqn)),
                "write a name such as `iqn.2024-01.com.example:disk0`: some clients refuse others",
            );
        }
    }
    for (index, target) in configuration.targets.iter_mut().enumerate() {
        if let Some((span, message, help)) = reasons.remove(&index) {
            let message = format!("{} is not served: {message}", quoted(&target.name));
            target.unserved = Some(journal.remark(span, message, Some(help.to_owned())));
        }
    }
}

type Reason = Option<(Range<usize>, String, &'static str)>;

fn bad_storage(configuration: &Configuration, target: &Target) -> Reason {
    let extents = target.extents.iter().filter_map(|index| configuration.extents.get(*index));
    for extent in extents {
        let Length::Bytes(length) = extent.length else {
            continue;
        };
        if extent.start.checked_add(length).is_none_or(|end| end > FILE_END) {
            let message =
                format!("{} ends beyond the longest file there can be (2^63 bytes)", quoted(&extent.name));
            return Some((target.storage_span.clone(), message, "write a smaller start or length"));
        }
    }
    let blocks = configuration.length_of(target.storage).unwrap_or(0) / u64::from(target.block_length.max(1));
    (blocks == 0).then(|| {
        let message = format!("it has not one block of {} bytes", target.block_length);
        (target.storage_span.clone(), message, "write a length such as `100MB`")
    })
}

/// `other` is an earlier target of the same name.
fn bad_name(target: &Target, other: Option<&Target>, journal: &Journal<'_>) -> Reason {
    let span = target.span.clone();
    if let Some(other) = other {
        let line = journal.line_of(other.span.start);
        let message =
            format!("the target on line {line} has the same iSCSI name and is the one found at login");
        return Some((span, message, "give each target a name of its own"));
    }
    let can_be_sent = |c: char| !c.is_control() && !c.is_whitespace();
    let is_sound = (1..=LONGEST).contains(&target.iqn.len()) && target.iqn.chars().all(can_be_sent);
    let help = "write a name such as `iqn.2024-01.com.example:disk0`";
    (!is_sound).then(|| (span, format!("{} cannot be an iSCSI name", quoted(&target.iqn)), help))
}
