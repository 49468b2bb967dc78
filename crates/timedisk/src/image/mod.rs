//! `timedisk image`: what people do with the file under a disk, without hurting it.

mod check;
mod compact;
mod create;
mod holder;
mod info;
mod resize;
mod states;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::commands::{DaemonOptions, say};

pub(crate) use holder::{Holder, in_use, served_instead};
pub(crate) use states::check_whole;

/// What is added to the name of a file while it is being copied to.
pub(crate) const PARTIAL: &str = ".timedisk-partial";

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    Info(LookOptions),
    Check(CheckOptions),
    Create(create::CreateOptions),
    Compact(compact::CompactOptions),
    Resize(resize::ResizeOptions),
}

/// Show what an image is: its size and what it takes, where data are in it, whose disk it is, who has it open.
///
/// Example: timedisk image info /srv/a.img
#[derive(Args, Debug)]
pub(crate) struct LookOptions {
    /// The image, or a block device.
    file: PathBuf,
    /// As JSON, one object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Say whether a disk can be served from an image as it was before, and if not, what to do. Writes nothing.
///
/// Status 0 if nothing stands in the way, else 1. What is on the disk is its client's to check.
///
/// Example: timedisk image check /srv/a.img
#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    look: LookOptions,
    /// Read all data, too, to see whether the device can.
    #[arg(long)]
    read: bool,
}

/// Runs the command.
pub(crate) fn run(command: &ImageCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImageCommand::Info(options) => info::run(options),
        ImageCommand::Check(options) => check::run(options),
        ImageCommand::Create(options) => create::run(options),
        ImageCommand::Compact(options) => compact::run(options),
        ImageCommand::Resize(options) => resize::run(options),
    }
}

/// Shows something as JSON, or as people read it.
fn show(report: &impl Serialize, text: impl FnOnce() -> String, json: bool) -> anyhow::Result<ExitCode> {
    match json {
        true => Ok(say(&format!("{}\n", serde_json::to_string(report)?))),
        false => Ok(say(&text())),
    }
}
