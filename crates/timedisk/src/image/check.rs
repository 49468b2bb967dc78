//! `timedisk image check`: what stands in the way of serving an image as the disk that it was.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use timedisk_config::format_size;

use super::info::{Info, short_of_room};
use super::states::{self, Remembered};
use super::{CheckOptions, show};
use crate::sparse::SparseFile;

/// A disk has whole blocks of so many bytes at least.
const BLOCK: u64 = 512;

/// Bytes of one read.
const PIECE: usize = 1 << 20;

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    path: String,
    is_sound: bool,
    /// What keeps the disk from being served, or from taking writes; each with what to do.
    problems: Vec<String>,
    /// What is worth knowing.
    notes: Vec<String>,
}

pub(super) fn run(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let path = options.look.file.as_path();
    let mut findings = Findings {
        path: path.display().to_string(),
        is_sound: false,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    findings.look(options)?;
    findings.is_sound = findings.problems.is_empty();
    let shown = show(&findings, || findings.text(), options.look.json)?;
    Ok(if findings.is_sound { shown } else { ExitCode::FAILURE })
}

impl Findings {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn look(&mut self, options: &CheckOptions) -> anyhow::Result<()> {
        let path = options.look.file.as_path();
        if !path.exists() {
            self.missing(options);
            return Ok(());
        }
        let info = match Info::of(&options.look) {
            Ok(info) => info,
            Err(error) => {
                self.problem(format!("{error:#}"));
                return Ok(());
            }
        };
        self.holder(&info);
        self.size(path, &info);
        info.disks.iter().for_each(|disk| self.disk(disk, &info));
        if info.disks.is_empty() {
            self.note("no disk is remembered here: it gets a new serial number when it is first served");
        }
        if options.read {
            self.read(path)?;
        }
        Ok(())
    }

    /// No file: a disk that was served must not be made anew.
    fn missing(&mut self, options: &CheckOptions) {
        let path = options.look.file.as_path();
        let fallback = options.look.daemon.directory().ok();
        self.problem(format!("{} is not there (is its file system mounted?)", path.display()));
        for disk in states::of_image(path, fallback.as_deref()) {
            let place = disk.state_file.unwrap_or_default();
            self.problem(format!(
                "a disk of it was served before ({place}): bring the image back; no empty one is made in its place as \
                 long as that file is there"
            ));
        }
    }

    fn holder(&mut self, info: &Info) {
        match &info.holder {
            Some(holder) if holder.disk.is_some() => self.note(format!("it is open in {holder}")),
            Some(holder) => self.problem(format!(
                "it is in use by {holder}: a start is refused until that has ended (a timedisk with another state \
                 directory is named with --state)"
            )),
            None => {}
        }
    }

    fn size(&mut self, path: &Path, info: &Info) {
        if info.size_bytes < BLOCK {
            self.problem(format!(
                "it has {} bytes, less than one block: give it a size with `timedisk image resize`",
                info.size_bytes
            ));
        } else if !info.size_bytes.is_multiple_of(BLOCK) {
            let rest = info.size_bytes % BLOCK;
            self.note(format!("its last {rest} bytes are no whole block and are not served"));
        }
        // A daemon has it open for writing already; a device is opened by one program alone.
        if info.holder.is_none()
            && let Err(error) = SparseFile::open(path, true, None)
        {
            self.problem(format!("{error:#}: allow it to this user, or serve it read-only"));
        }
        if let Some((growth, free)) = short_of_room(path, info) {
            self.note(format!(
                "it can grow by {}, and its file system has {} left: writes fail when that is full, reads go on",
                format_size(growth),
                format_size(free)
            ));
        }
        let leftover = beside(path, ".timedisk.new");
        if leftover.exists() {
            self.note(format!(
                "{} was left behind by a crash; it is replaced when needed",
                leftover.display()
            ));
        }
        let unfinished = beside(path, crate::image::PARTIAL);
        if unfinished.exists() {
            self.note(format!(
                "{} is a copy that was not finished: the same `timedisk copy` goes on with it",
                unfinished.display()
            ));
        }
    }

    fn disk(&mut self, disk: &Remembered, info: &Info) {
        if let Some(error) = &disk.error {
            // It says what to do already.
            self.problem(error.clone());
            return;
        }
        let named = match disk.start {
            0 => String::new(),
            start => format!("the disk at byte {start}: "),
        };
        if let Some(reason) = &disk.flush_failure {
            self.problem(format!(
                "{named}a flush failed ({reason}), and what was written before it may be lost; it takes no writes. \
                 Check what is on it, then `timedisk disk accept-loss {} --start {}`",
                self.path, disk.start
            ));
        }
        match disk.erasing.as_deref() {
            Some(text) if text.ends_with(" failed") => self.problem(format!(
                "{named}a client's erasing of it has failed; it can't be used until a client has erased it"
            )),
            Some(_) => self.note(format!("{named}a client has it erased; that goes on when it is served")),
            None => {}
        }
        if let Some(bytes) = &disk.cut_off_write {
            self.note(format!(
                "{named}an atomic write to bytes {} to {} was cut off; it is done whole when the disk is next served",
                bytes.start, bytes.end
            ));
        }
        if let Some(parts) = &disk.parts {
            self.note(format!("{named}it is part of a disk of several extents ({parts})"));
        }
        for mirror in &disk.mirrors {
            self.note(format!("{named}it is a member of a mirror {mirror}"));
        }
        let has = info.size_bytes.saturating_sub(disk.start);
        if let (Some(before), None) = (disk.last_served_bytes.filter(|before| *before > has), &disk.parts) {
            self.problem(format!(
                "{named}it had {} when it was last served, and has {} now: something has cut it. Bring the image back \
                 from a copy; or, if what was at its end does not matter, make it as long as it was: \
                 `timedisk image resize {} {}`",
                format_size(before),
                format_size(has),
                self.path,
                format_size(disk.start + before)
            ));
        }
    }

    /// Reads all data.
    fn read(&mut self, path: &Path) -> anyhow::Result<()> {
        let file = SparseFile::open(path, false, None)?;
        let (mut buffer, mut at, mut bytes, mut bad) = (vec![0; PIECE], 0, 0, 0_u64);
        while let Some(data) = file.next_data(at)? {
            let length = (data.end - data.start).min(PIECE as u64);
            let piece = buffer.get_mut(..length as usize).unwrap_or_default();
            if let Err(error) = file.read(data.start, piece) {
                bad += 1;
                if bad == 1 {
                    self.problem(format!("{error:#}: replace the device, and copy what can still be read"));
                }
            }
            bytes += length;
            at = data.start + length;
        }
        if bad > 1 {
            self.problem(format!("{bad} pieces of {} can't be read in all", format_size(PIECE as u64)));
        }
        self.note(format!("{} of data were read", format_size(bytes)));
        Ok(())
    }

    fn text(&self) -> String {
        let verdict = match self.problems.len() {
            0 => "sound".to_owned(),
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        let lines = self.problems.iter().map(|text| ("problem", text));
        let lines = lines.chain(self.notes.iter().map(|text| ("note", text)));
        let lines: String = lines.map(|(kind, text)| format!("  {kind}: {text}\n")).collect();
        format!("{}: {verdict}\n{lines}", self.path)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
