//! Who is to be believed when a mirror is opened. Nothing is read or written here.

use super::header::{Header, Listed, Role};

/// A place of the configuration, and what is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) place: u64,
    /// The header beside the member.
    pub(super) own: Option<Header>,
    /// The header that is kept elsewhere for this place.
    pub(super) witness: Option<Header>,
    /// What is there, or why it can't be used.
    pub(super) file: Result<File, String>,
}

/// A member that can be opened.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) born: String,
    pub(super) capacity: u64,
    /// It was made for this.
    pub(super) made: bool,
    /// None of its flushes has failed.
    pub(super) healthy: bool,
}

/// What a place is to the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    In,
    /// It misses the regions that are marked; and, if so, those that its own record marks.
    Syncing {
        own_marks: bool,
    },
    Out(String),
}

/// How a mirror starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is made, or taken over from a daemon that kept no record: what each place is.
    New(Vec<Part>),
    /// It goes on from this header: the id and the part of each place, and the highest generation that was seen.
    GoesOn(Box<Header>, Vec<(Option<u64>, Part)>, u64),
}

/// Decides, or says in a sentence why the mirror can't start.
pub(super) fn decide(found: &[Found]) -> Result<Decision, String> {
    let own = || found.iter().filter(|slot| slot.file.is_ok()).filter_map(|slot| slot.own.as_ref());
    let witnesses = || found.iter().filter_map(|slot| slot.witness.as_ref());
    let Some(mirror) = own().map(|header| header.mirror).next().or_else(|| {
        // A witness alone: the members that it knows are away, or have lost their records.
        witnesses().max_by_key(|header| header.settled).map(|header| header.mirror)
    }) else {
        return new(found).map(Decision::New);
    };
    if own().any(|header| header.mirror != mirror) {
        return Err(format!(
            "its members belong to different mirrors ({}): name only those of one, or take the records of the other \
             away (the files NAME.timedisk beside its images)",
            found.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>().join(", ")
        ));
    }
    let all = || own().chain(witnesses()).filter(|header| header.mirror == mirror);
    // Nothing was promised under a generation before it was settled.
    let Some(newest) = all().max_by_key(|header| (header.settled, header.generation)).cloned() else {
        return new(found).map(Decision::New);
    };
    let highest = all().map(|header| header.generation).max().unwrap_or(newest.generation);
    let mut parts = Vec::new();
    for slot in found {
        parts.push(part(slot, &newest).map_err(|()| written_apart(found))?);
    }
    leave_the_unhealthy(found, &mut parts);
    if !parts.iter().any(|(_, part)| *part == Part::In) {
        return Err(nobody(found, &parts));
    }
    Ok(Decision::GoesOn(Box::new(newest), parts, highest))
}

/// No record at all. What was there before the mirror may be worth something to somebody, and is not overwritten: the
/// first, which is the one that NetBSD's daemon reads, counts, and the others wait to be told.
fn new(found: &[Found]) -> Result<Vec<Part>, String> {
    let usable = |slot: &Found| slot.file.as_ref().is_ok_and(|file| file.healthy);
    let all_made = found.iter().all(|slot| slot.file.as_ref().is_ok_and(|file| file.made));
    let first = found.iter().position(usable).ok_or_else(|| nobody(found, &[]))?;
    let parts = found.iter().enumerate().map(|(index, slot)| match &slot.file {
        Ok(_) if all_made || index == first => Part::In,
        Ok(_) => Part::Out(
            "there was no mirror here before, and nobody has said that this member may be overwritten".into(),
        ),
        Err(reason) => Part::Out(reason.clone()),
    });
    Ok(parts.collect())
}

/// What one place is. Fails if it was written while it was out.
fn part(slot: &Found, newest: &Header) -> Result<(Option<u64>, Part), ()> {
    let known = newest.members.iter().find(|listed| listed.place == slot.place).map(|listed| listed.id);
    let file = match &slot.file {
        Ok(file) => file,
        Err(reason) => return Ok((known, Part::Out(reason.clone()))),
    };
    let Some(own) = slot.own.as_ref().filter(|own| own.mirror == newest.mirror) else {
        let reason = "it has no record of this mirror: it is another file than before, or its record is lost";
        return Ok((known, Part::Out(reason.into())));
    };
    let out = |reason: &str| Ok((Some(own.own), Part::Out(reason.into())));
    let Some(listed) = newest.member(own.own) else {
        return Ok((known, Part::Out("it was a member once, and was replaced by another since".into())));
    };
    if own.born != file.born {
        return out("its file was made anew since it was last a member");
    }
    if file.capacity < newest.capacity {
        return out("it is shorter than the mirror");
    }
    match listed.role {
        Role::In if own.generation >= newest.settled => Ok((Some(own.own), Part::In)),
        Role::Syncing if own.generation >= newest.settled => {
            Ok((Some(own.own), Part::Syncing { own_marks: false }))
        }
        Role::In => out("it is older than the mirror: was it brought back from a copy?"),
        Role::Syncing if newest.settled == newest.generation => {
            out("it is older than the mirror: was it brought back from a copy?")
        }
        Role::Syncing | Role::Out => returning(own, listed).map(|part| (Some(own.own), part)),
    }
}

/// A member that was out and is there again.
fn returning(own: &Header, listed: &Listed) -> Result<Part, ()> {
    let calls_itself = own.member(own.own).map(|itself| itself.role);
    if own.settled > listed.left && calls_itself == Some(Role::In) {
        return Err(());
    }
    if own.generation < listed.floor {
        return Ok(Part::Out(
            "it is older than it was when it left: was it brought back from a copy?".into(),
        ));
    }
    Ok(Part::Syncing { own_marks: true })
}

/// What a member that once was in misses if it comes back while the mirror runs: what is marked and what its own record
/// marks; or nobody knows.
pub(super) fn misses_only_marks(own: &Header, born: &str, newest: &Header) -> bool {
    let listed = newest.member(own.own).filter(|listed| listed.role == Role::Out);
    let is_same = own.mirror == newest.mirror && own.born == born;
    is_same && listed.is_some_and(|listed| matches!(returning(own, listed), Ok(Part::Syncing { .. })))
}

/// Where a member has lost flushed data it is not read, unless there is no better one.
fn leave_the_unhealthy(found: &[Found], parts: &mut [(Option<u64>, Part)]) {
    let healthy = |slot: &Found| slot.file.as_ref().is_ok_and(|file| file.healthy);
    let any = found.iter().zip(&*parts).any(|(slot, (_, part))| *part == Part::In && healthy(slot));
    for (slot, (_, part)) in found.iter().zip(parts) {
        let stays = match part {
            Part::In => healthy(slot) || !any,
            Part::Syncing { .. } => healthy(slot),
            Part::Out(_) => true,
        };
        if !stays {
            *part = Part::Out("a flush of it has failed: what was written to it may be lost".into());
        }
    }
}

fn written_apart(found: &[Found]) -> String {
    let names: Vec<&str> = found.iter().map(|slot| slot.name.as_str()).collect();
    format!(
        "{} were written each without the other, so no one of them has all of it: keep the one that you want, move \
         the image of the other away, start again, and put it back with `timedisk mirror replace`",
        names.join(" and ")
    )
}

fn nobody(found: &[Found], parts: &[(Option<u64>, Part)]) -> String {
    let reason = |(index, slot): (usize, &Found)| {
        let reason = match (&slot.file, parts.get(index)) {
            (_, Some((_, Part::Out(reason)))) | (Err(reason), _) => reason.clone(),
            (_, Some((_, Part::Syncing { .. }))) => "it had not got all of it yet".into(),
            _ => "a flush of it has failed".into(),
        };
        format!("{}: {reason}", slot.name)
    };
    let reasons: Vec<String> = found.iter().enumerate().map(reason).collect();
    format!(
        "no member of the mirror can be believed ({}): bring back the one that was written last",
        reasons.join("; ")
    )
}
