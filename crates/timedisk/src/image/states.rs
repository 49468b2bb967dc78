//! The state files beside an image: one for each disk that begins in it.

use std::ops::Range;
use std::path::Path;

use serde::Serialize;
use timedisk_volume::{DiskState, Header, Role};

/// Under this name the disk's server keeps how far the erasing of a disk is.
const OVERHAUL: &str = "overhaul";

/// Under this name are the parts of a disk that is made of several.
const LAYOUT: &str = "layout";

/// What is remembered of one disk.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Remembered {
    /// Byte of the image at which it begins.
    pub(super) start: u64,
    pub(super) state_file: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) naa: Option<String>,
    pub(super) last_served_bytes: Option<u64>,
    /// Why a flush failed, if that is not accepted yet.
    pub(super) flush_failure: Option<String>,
    /// A SANITIZE or FORMAT UNIT that is not done.
    pub(super) erasing: Option<String>,
    /// Serial numbers and bytes of the parts of a disk of several.
    pub(super) parts: Option<String>,
    /// What it is to each mirror that it is a member of, in words.
    pub(super) mirrors: Vec<String>,
    /// The bytes of the disk of which an atomic write was cut off.
    pub(super) cut_off_write: Option<Range<u64>>,
    /// Why its state can't be read.
    pub(super) error: Option<String>,
}

impl Remembered {
    fn of(start: u64, looked_up: timedisk_volume::Result<Option<DiskState>>) -> Option<Remembered> {
        let nothing = Remembered {
            start,
            state_file: None,
            serial: None,
            naa: None,
            last_served_bytes: None,
            flush_failure: None,
            erasing: None,
            parts: None,
            mirrors: Vec::new(),
            cut_off_write: None,
            error: None,
        };
        let state = match looked_up {
            Ok(None) => return None,
            Ok(Some(state)) => state,
            Err(error) => return Some(Remembered { error: Some(with_causes(&error)), ..nothing }),
        };
        let cut_off_write = state.cut_off_write();
        let error = cut_off_write.as_ref().err().map(|error| with_causes(error));
        let naa = state.naa().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Remembered {
            state_file: Some(state.path().display().to_string()),
            serial: Some(state.serial().to_owned()),
            naa: Some(naa),
            last_served_bytes: state.last_served(),
            flush_failure: state.flush_failure(),
            erasing: state.setting(OVERHAUL).filter(|text| !text.is_empty()),
            parts: state.setting(LAYOUT).filter(|text| !text.is_empty()),
            mirrors: mirrors_of(&state),
            cut_off_write: cut_off_write.ok().flatten(),
            error,
            ..nothing
        })
    }
}

fn mirrors_of(state: &DiskState) -> Vec<String> {
    let records = timedisk_volume::mirror_headers(state).into_iter();
    records.map(|header| header.map_or("that can't be understood".into(), in_words)).collect()
}

fn in_words(header: Header) -> String {
    let role = match header.member(header.own).map(|own| own.role) {
        Some(Role::In) => "it has all that was written",
        Some(Role::Syncing) => "it had not got all yet",
        Some(Role::Out) | None => "it is out, and misses what was written since",
    };
    let end = match header.clean {
        true => "closed in order",
        false => "not closed in order, or open: members may differ where it was written last",
    };
    format!("of {} members, generation {}: {role}; {end}", header.members.len(), header.generation)
}

/// Refuses an image that may have a part of an atomic write: only a start makes it what clients will see.
pub(crate) fn check_whole(image: &Path, fallback: Option<&Path>) -> anyhow::Result<()> {
    for disk in of_image(image, fallback) {
        if let Some(error) = disk.error {
            anyhow::bail!("{error}");
        }
        if let Some(bytes) = disk.cut_off_write {
            anyhow::bail!(
                "{}: an atomic write to bytes {} to {} of it was cut off, by the end of power or of timedisk; serve it \
                 once, so that the write is done whole, and try again",
                image.display(),
                disk.start + bytes.start,
                disk.start + bytes.end
            );
        }
    }
    Ok(())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What is remembered of the disks of an image, in the order in which they begin.
pub(super) fn of_image(image: &Path, fallback: Option<&Path>) -> Vec<Remembered> {
    let mut starts = starts_beside(image);
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    let look = |start| Remembered::of(start, DiskState::look_up(image, start, fallback));
    starts.into_iter().filter_map(look).collect()
}

/// Where disks begin for which there is a file `IMAGE.START.timedisk`.
fn starts_beside(image: &Path) -> Vec<u64> {
    let Some(name) = image.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let directory = image.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let start = |entry: std::io::Result<std::fs::DirEntry>| {
        let file = entry.ok()?.file_name().to_string_lossy().into_owned();
        let digits = file.strip_prefix(&name)?.strip_prefix('.')?.strip_suffix(".timedisk")?;
        digits.parse().ok().filter(|start: &u64| start.to_string() == digits)
    };
    entries.filter_map(start).collect()
}
