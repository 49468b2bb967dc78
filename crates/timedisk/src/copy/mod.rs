//! `timedisk copy`: of images, devices and disks of targets, with holes kept.

mod destination;
mod end;
mod journal;
mod pipeline;
mod point;
mod remote;
mod scale;
mod verify;

use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use timedisk_config::format_size;

use crate::commands::{DaemonOptions, say, short};
use crate::image::{check_whole, in_use, served_instead};
use crate::progress::stop_on_signals;
use destination::Destination;
use end::{End, Format, Place};
use point::PointOfDisk;

/// Ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Copy an image, a block device or a disk of an iSCSI target to another one. Holes stay holes, and zeros become holes.
///
/// A file gets its name when it is whole and on stable storage; until then it is NAME.timedisk-partial. A copy that was
/// interrupted goes on where it was when the same command is typed again. The copy of an image is another disk: it gets
/// a serial number of its own, unless NAME.timedisk is there.
///
/// An image that a timedisk serves is copied as it was at one moment, while clients go on: the daemon keeps what they
/// overwrite aside. disk:NAME is such a disk by its name in `timedisk status`, also one of several files. If that is
/// interrupted, begin again with --restart: the moment is gone. Copy a disk of another machine through its iscsi://
/// URL (iscsi://[USER%SECRET@]HOST[:PORT]/TARGET/LUN); let no client write to it meanwhile.
///
/// Example: timedisk copy /srv/a.img /mnt/usb/a.img --verify
#[derive(Args, Debug)]
pub(crate) struct CopyOptions {
    /// A file, a block device, an iscsi:// URL, or disk:NAME.
    source: String,
    /// Another one.
    destination: String,
    /// What the bytes of SOURCE are. The disk in a qcow2 image is copied as it is now; an image that needs another file
    /// is refused.
    #[arg(long, value_name = "FORMAT", default_value = "raw")]
    from: Format,
    /// Replace a file, or what is on a device or disk.
    #[arg(long)]
    overwrite: bool,
    /// Begin again, whatever was done earlier.
    #[arg(long)]
    restart: bool,
    /// Read both back and compare them.
    #[arg(long)]
    verify: bool,
    /// Of a served disk: how much clients may overwrite meanwhile, in parts of 64 KiB [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = timedisk_config::parse_size)]
    scratch: Option<u64>,
    /// The result as JSON, one object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// A copy to be made: what was typed, understood.
#[derive(Debug)]
struct Task<'a> {
    source: Place,
    destination: Place,
    typed: &'a CopyOptions,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Copied {
    source: String,
    destination: String,
    size_bytes: u64,
    /// Where it went on, if it had been interrupted.
    resumed_from: u64,
    /// Data that were read, this time.
    data_bytes: u64,
    /// What of it was not zeros, and was written.
    written_bytes: u64,
    /// What the file takes on its file system.
    allocated_bytes: Option<u64>,
    seconds: f64,
    bytes_per_second: f64,
    verified: bool,
}

/// Runs the command.
pub(crate) fn run(options: &CopyOptions) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let task = Task {
        source: options.source.parse().context("the source")?,
        destination: options.destination.parse().context("the destination")?,
        typed: options,
    };
    let mut source = task.open_source()?;
    if source.may_be_qcow2() {
        eprintln!(
            "timedisk: {} begins as a qcow2 image does, and is copied byte for byte. If you know that it is one, and \
             want the disk in it: --from qcow2",
            task.source
        );
    }
    if let (Place::Path(path), End::File(_)) = (&task.source, &source) {
        check_whole(path, options.daemon.directory().ok().as_deref())?;
    }
    let stop = stop_on_signals()?;
    let stamp = source.stamp()?;
    let mut destination = Destination::open(&task, &source)?;
    let resumed_from = destination.journal.done();
    if resumed_from > 0 {
        eprintln!("timedisk: goes on at byte {resumed_from}, where it was interrupted");
        if matches!(source, End::Disk(_)) {
            eprintln!(
                "timedisk: a disk does not tell whether it was written to meanwhile; --verify finds what differs"
            );
        }
    }
    let of_a_point = matches!(source, End::Point(_));
    let moved = pipeline::run(&mut source, &mut destination.end, &mut destination.journal, &stop)
        .with_context(|| task.kept(&destination, of_a_point))?;
    if moved.is_stopped {
        return Ok(interrupted(&destination, &source));
    }
    let verified = options.verify && verify(&mut source, &mut destination, &stop)?;
    if options.verify && !verified {
        eprintln!("timedisk: interrupted before all was compared: the same command goes on");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let now = source.stamp()?;
    if now != stamp {
        bail!(
            "the source has changed while it was copied, so that the copy is of no one time: it was {stamp}, and is \
             {now}. See that nothing writes to it, and begin again with --restart"
        );
    }
    destination.finish()?;
    let size_bytes = source.length();
    source.close();
    let seconds = began.elapsed().as_secs_f64();
    let copied = Copied {
        source: task.source.to_string(),
        destination: task.destination.to_string(),
        size_bytes,
        resumed_from,
        data_bytes: moved.read,
        written_bytes: moved.written,
        allocated_bytes: task.allocated(),
        seconds,
        bytes_per_second: moved.read as f64 / seconds.max(f64::MIN_POSITIVE),
        verified,
    };
    Ok(say(&match options.json {
        true => format!("{}\n", serde_json::to_string(&copied)?),
        false => copied.text(),
    }))
}

impl Task<'_> {
    /// The source; of what a daemon serves, a point.
    fn open_source(&self) -> anyhow::Result<End> {
        let typed = self.typed;
        if let Place::Disk(name) = &self.source {
            return PointOfDisk::take(name, None, typed);
        }
        let error = match End::source(&self.source, typed.from) {
            Ok(source) => return Ok(source),
            Err(error) => error,
        };
        if let (Some(disk), Place::Path(path), Format::Raw) =
            (served_instead(&error, &typed.daemon), &self.source, typed.from)
        {
            return PointOfDisk::take(&disk.name, Some(path), typed);
        }
        Err(in_use(error, &typed.daemon, |disk| {
            let (name, url) = (&disk.name, &disk.url);
            format!(
                "copy it through its URL, {url}, while no client writes to it; or `timedisk offline {name}`, copy the \
                 file, `timedisk online {name}`"
            )
        }))
    }

    /// What is said of an error in the middle.
    fn kept(&self, destination: &Destination, of_a_point: bool) -> String {
        if of_a_point {
            return format!("{} is not whole; the copy has to begin again, with --restart", self.destination);
        }
        format!(
            "{} is not whole; what was done up to byte {} is kept, and the same command goes on from there",
            self.destination,
            destination.journal.done()
        )
    }

    fn allocated(&self) -> Option<u64> {
        let Place::Path(path) = &self.destination else { return None };
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some(metadata.blocks() * 512)
    }
}

impl Copied {
    fn text(&self) -> String {
        let verified = if self.verified { ", compared with it" } else { "" };
        let takes =
            self.allocated_bytes.map_or(String::new(), |bytes| format!("; it takes {}", short(bytes)));
        format!(
            "{}: {} of {}, {} of data in {:.1} s{verified}{takes}\n",
            self.destination,
            format_size(self.size_bytes),
            self.source,
            short(self.data_bytes),
            self.seconds
        )
    }
}

fn verify(source: &mut End, destination: &mut Destination, stop: &AtomicBool) -> anyhow::Result<bool> {
    destination.end.flush()?;
    verify::run(source, &mut destination.end, stop)
}

fn interrupted(destination: &Destination, source: &End) -> ExitCode {
    let (done, length) = (destination.journal.done(), source.length());
    if matches!(source, End::Point(_)) {
        eprintln!("timedisk: interrupted; the disk goes on, so the copy has to begin again: --restart");
        return ExitCode::from(INTERRUPTED);
    }
    let percent = done as f64 * 100.0 / length.max(1) as f64;
    eprintln!(
        "timedisk: interrupted at byte {done} ({percent:.0}% of the size): the same command goes on from there; with \
         --restart it begins again"
    );
    ExitCode::from(INTERRUPTED)
}
