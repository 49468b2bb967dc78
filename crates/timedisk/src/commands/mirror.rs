//! `mirror status`, `mirror replace` and `mirror scrub`.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::disk::named;
use super::table::{Table, short};
use super::{DaemonOptions, TO_TELL, tell};
use crate::control::{Disk, MemberState, Mirror, Refusal, RefusalKind, Status, Trouble};

/// Look after mirrors (RAID1 devices) of a running daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Show mirrors, their members, and what these lack.
    Status(MirrorStatusOptions),
    /// Take a member back that is out, or another file in its place; it gets what it misses.
    Replace(ReplaceOptions),
    /// Compare the members, and make those like the first that differ.
    Scrub(ScrubOptions),
}

/// Show mirrors, their members, and what these lack.
///
/// Example: timedisk mirror status target0
#[derive(Args, Debug)]
pub(crate) struct MirrorStatusOptions {
    /// The disk: its target's name, its iSCSI name, or its file [default: all].
    disk: Option<String>,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Take a member back that is out, or another file in its place; it gets what it misses.
///
/// What is in the file is overwritten; if there is no file it is made. A new path has to be written into the file of
/// targets as well. A file that is too short is refused, and one that is longer is not used to its end.
///
/// Example: timedisk mirror replace target0 extent1 /srv/new-disk/copy.img
#[derive(Args, Debug)]
pub(crate) struct ReplaceOptions {
    /// The disk: its target's name, its iSCSI name, or its file.
    disk: String,
    /// The member: the name of its extent or device.
    member: String,
    /// Its file from now on [default: the one that it had].
    path: Option<String>,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Compare the members, and make those like the first that differ.
///
/// Which one is right only members with sums of their blocks tell (`checksum=yes`); without, the first counts that can
/// be read. It goes on in the background; `timedisk mirror status` shows how far it is.
///
/// Example: timedisk mirror scrub target0
#[derive(Args, Debug)]
pub(crate) struct ScrubOptions {
    /// The disk: its target's name, its iSCSI name, or its file.
    disk: String,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn mirror(typed: &MirrorCommand) -> anyhow::Result<ExitCode> {
    match typed {
        MirrorCommand::Status(typed) => {
            let result = typed.daemon.client_within(TO_TELL)?.status();
            let wanted = typed.disk.as_deref().map(named);
            let result = result.and_then(|status| shown(&status, wanted.as_deref()));
            Ok(tell(result, |table| table.to_string()))
        }
        MirrorCommand::Replace(typed) => {
            let path = typed.path.as_ref().map(std::path::absolute).transpose()?;
            let path = path.map(|path| path.display().to_string());
            let client = typed.daemon.client()?;
            Ok(tell(client.replace_member(&named(&typed.disk), &typed.member, path), |()| String::new()))
        }
        MirrorCommand::Scrub(typed) => {
            Ok(tell(typed.daemon.client()?.scrub(&named(&typed.disk)), |()| String::new()))
        }
    }
}

fn shown(status: &Status, wanted: Option<&str>) -> Result<Table, Trouble> {
    let is_wanted =
        |disk: &&Disk| wanted.is_none_or(|name| disk.name == name || disk.iqn == name || disk.is_in(name));
    let mut table = Table::new(&["DISK", "MIRROR", "MEMBER", "STATE", "LACKS", "READ ERRORS", "WHY"]);
    let mut any = false;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for disk in status.disks.iter().filter(is_wanted) {
        for mirror in &disk.mirrors {
            any = true;
            for member in &mirror.members {
                table.line(vec![
                    disk.name.clone(),
                    mirror.name.clone(),
                    member.name.clone(),
                    match member.state {
                        MemberState::In => "in".into(),
                        MemberState::Resyncing => format!("resyncing {}%", mirror.resynced_percent),
                        MemberState::Out => "out".into(),
                    },
                    short(member.lacking_bytes),
                    member.read_errors.to_string(),
                    member.reason.clone().unwrap_or_default(),
                ]);
            }
            if let Some((state, words)) = compared(mirror, now) {
                let (disk, mirror) = (disk.name.clone(), mirror.name.clone());
                table.line(vec![disk, mirror, String::new(), state, String::new(), String::new(), words]);
            }
        }
    }
    let error = || match wanted {
        Some(name) => format!("there is no disk {name:?} that has a mirror; see `timedisk status`"),
        None => "no disk has a mirror".to_owned(),
    };
    if any { Ok(table) } else { Err(Trouble::Refused(Refusal::new(RefusalKind::NotFound, error()))) }
}

/// How far a comparison of the members is; what it found, when the last one ended and when the next begins.
fn compared(mirror: &Mirror, now: u64) -> Option<(String, String)> {
    let state = mirror.scrub.as_ref().map(|scrub| format!("compared {}%", scrub.percent));
    let repaired = mirror.scrub.as_ref().map(|scrub| format!("{} repaired", short(scrub.repaired_bytes)));
    let last = mirror.last_scrub.map(|last| format!("last {} ago", span(now.saturating_sub(last))));
    let next = mirror.next_scrub.map(|next| format!("next in {}", span(next.saturating_sub(now))));
    let words: Vec<String> = [repaired, last, next].into_iter().flatten().collect();
    (!words.is_empty()).then(|| (state.unwrap_or_else(|| "compared".into()), words.join(", ")))
}

/// A span of time in its largest unit, rounded to it.
fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(
        || format!("{seconds} seconds"),
        |(length, name)| format!("{} {name}", (seconds + length / 2) / length),
    )
}
