//! What of the protocol is supported, for people: made of the tables that the code runs on.

use std::fmt::Write;

use crate::keys::{KEYS, Kind, Sender, Use};

/// Task management functions (RFC 7143 §11.5.1, RFC 7144 §6.3), and what becomes of them.
const FUNCTIONS: &[(u8, &str, &str)] = &[
    (1, "ABORT TASK", "done; of one that has ended there is no task (RFC 7143 §11.6.1 c)"),
    (2, "ABORT TASK SET", "done"),
    (3, "CLEAR ACA", "not supported: there is never an auto contingent allegiance"),
    (4, "CLEAR TASK SET", "done, whatever target the others use the disk by"),
    (5, "LOGICAL UNIT RESET", "done, whatever target the others use the disk by"),
    (6, "TARGET WARM RESET", "done: a reset of all logical units that the session has"),
    (7, "TARGET COLD RESET", "done; all connections to the target are closed. Persistent reservations stay"),
    (8, "TASK REASSIGN", "not supported: it takes error recovery level 2"),
    (9, "QUERY TASK", "done, with iSCSIProtocolLevel=2"),
    (10, "QUERY TASK SET", "done, with iSCSIProtocolLevel=2"),
    (11, "I_T NEXUS RESET", "done, with iSCSIProtocolLevel=2; the session's connection is closed"),
    (12, "QUERY ASYNCHRONOUS EVENT", "done, with iSCSIProtocolLevel=2"),
];

/// Task attributes (RFC 7143 §11.3.1, SAM-5 8.9), and what they mean here.
const ATTRIBUTES: &[(u8, &str, &str)] = &[
    (0, "untagged", "as SIMPLE"),
    (1, "SIMPLE", "in any order with others that are SIMPLE"),
    (2, "ORDERED", "begins when all older ones of all sessions have ended, and before all newer ones"),
    (3, "HEAD OF QUEUE", "begins at once; what has not begun waits for its end"),
    (4, "ACA", "refused: INVALID MESSAGE ERROR (49/00)"),
];

const ABOUT_FUNCTIONS: &str = "
What ends the commands of other sessions follows the control mode page: with TAS they end with TASK ABORTED, else
without a word. No function waits for data that were asked for (RFC 7143 §4.2.3.3 a), since some initiators send none
after an abort: data that come late are dropped. TaskReporting=FastAbort is not offered. A session has one connection,
so that responses are fenced by their order.
";

const ABOUT_ATTRIBUTES: &str = "
A disk has one task set for all sessions (TST=000b). Commands that the medium has no part in, INQUIRY or TEST UNIT
READY, keep to the order of their own session only.

There is never an auto contingent allegiance: it would shut all other clients out of a disk until one of them clears
it, and no client in use asks for it. NACA=1 in a CDB is refused (INVALID FIELD IN CDB), INQUIRY says NORMACA=0, CLEAR
ACA is not supported.

Command priority (RFC 7144 §5.1.1) is taken and makes no difference (PRIOR_SUP=0). The status qualifier is always 0.
";

fn when(usage: Use) -> &'static str {
    match usage {
        Use::Security => "authentication",
        Use::Login => "login",
        Use::All => "login and after it",
        Use::FullFeature => "after the login",
    }
}

fn from(sender: Sender) -> &'static str {
    match sender {
        Sender::Initiator => "initiator",
        Sender::Target => "target",
        Sender::Both => "both",
    }
}

fn how(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) => "one of a list",
        Kind::Boolean(_) => "yes or no",
        Kind::Number(_) => "a number",
        Kind::OwnNumber(_) => "each side's own number",
        Kind::Introduction(_) => "declared",
        Kind::Note => "declared, of no consequence",
        Kind::Credential(_) => "a step of authentication",
        Kind::SendTargets => "a question for targets",
        Kind::Obsolete(_) => "of older standards, answered all the same",
    }
}

/// The part of `docs/conformance.md` that is about iSCSI.
pub fn conformance() -> String {
    let mut text = String::from(
        "## Text keys (RFC 7143 §12, §13)\n\n| key | when | from | default | what it is |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let (when, from, how) = (when(key.usage), from(key.sender), how(&key.kind));
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} | {when} | {from} | {} | {how} |", key.name, key.default);
    }
    text.push_str("\nOther keys are answered NotUnderstood.\n\n## Task management functions\n\n");
    text.push_str("| code | function | |\n|---|---|---|\n");
    for (code, name, what) in FUNCTIONS {
        let _ = writeln!(text, "| {code} | {name} | {what} |");
    }
    text.push_str(ABOUT_FUNCTIONS);
    text.push_str("\n## Task attributes\n\n| code | attribute | |\n|---|---|---|\n");
    for (code, name, what) in ATTRIBUTES {
        let _ = writeln!(text, "| {code} | {name} | {what} |");
    }
    text.push_str(ABOUT_ATTRIBUTES);
    text
}
