//! timedisk serves sparse files as SCSI disks over iSCSI.

#![forbid(unsafe_code)]

mod addresses;
mod check;
mod command_line;
mod daemon;
mod hints;
mod inventory;
mod plan;
mod serve;
mod state_directory;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Arguments, Verb};

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(command_line::with_verb(std::env::args_os()));
    let result = match arguments.verb {
        Verb::Serve(options) => serve::run(&options),
        Verb::Check(options) => check::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("timedisk: {error:#}");
            ExitCode::FAILURE
        }
    }
}
