//! timedisk serves sparse files as SCSI disks over iSCSI.

#![forbid(unsafe_code)]

mod addresses;
mod bench;
mod check;
mod command_line;
mod commands;
mod control;
mod copy;
mod daemon;
mod descriptors;
mod hints;
mod image;
mod inventory;
mod openness;
mod plan;
mod portals;
mod progress;
mod qcow2;
mod rooms;
mod serve;
mod service;
mod sparse;
mod state_directory;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Arguments, Verb};
use commands::DiskCommand;

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(command_line::with_verb(std::env::args_os()));
    let result = match arguments.verb {
        Verb::Serve(options) => serve::run(&options),
        Verb::Check(options) => check::run(&options),
        Verb::Status(options) => commands::status(&options),
        Verb::Reload(options) => commands::reload(&options),
        Verb::Resize(options) => commands::resize(&options),
        Verb::Offline(options) => commands::offline(&options),
        Verb::Online(options) => commands::online(&options),
        Verb::Kick(options) => commands::kick(&options),
        Verb::Service(command) => service::run(&command),
        Verb::Mirror(command) => commands::mirror(&command),
        Verb::Disk(DiskCommand::AcceptLoss(options)) => commands::accept_loss(&options),
        Verb::Disk(DiskCommand::Access(options)) => commands::access(&options),
        Verb::Copy(options) => copy::run(&options),
        Verb::Image(command) => image::run(&command),
        Verb::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("timedisk: {error:#}");
            ExitCode::FAILURE
        }
    }
}
