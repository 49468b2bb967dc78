//! What can be typed.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::BenchOptions;
use crate::commands::{
    DiskCommand, DiskOptions, KickOptions, MirrorCommand, ReloadOptions, ResizeOptions, StatusOptions,
};
use crate::copy::CopyOptions;
use crate::image::ImageCommand;
use crate::service::ServiceCommand;

/// Serves sparse files as SCSI disks over iSCSI.
///
/// Without a command, `serve` is meant: `timedisk` alone serves one sparse disk of 100 MB on this machine's loopback
/// address, and says what to type next.
#[derive(Debug, Parser)]
#[command(name = "timedisk", version, propagate_version = false, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve disks until told to stop (SIGTERM or Ctrl-C).
    Serve(ServeOptions),
    /// Read a configuration, print it as a tree, point at each mistake.
    Check(CheckOptions),
    /// Show the disks and sessions of a running daemon.
    Status(StatusOptions),
    /// Read the files again, and serve what they say: all of it, or nothing of it.
    Reload(ReloadOptions),
    /// Make a disk larger while it is served.
    Resize(ResizeOptions),
    /// Flush a disk and close its files, so that they can be copied or mended.
    Offline(DiskOptions),
    /// Bring a disk back that was taken offline.
    Online(DiskOptions),
    /// End a session.
    Kick(KickOptions),
    /// Start timedisk at boot: files for systemd, NetBSD, FreeBSD and launchd.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Look after one disk.
    #[command(subcommand)]
    Disk(DiskCommand),
    #[command(subcommand)]
    Mirror(MirrorCommand),
    /// Copy images, devices and disks of targets; holes stay holes.
    Copy(CopyOptions),
    /// Look at an image, make one, check it, give back its zeros, change its size.
    #[command(subcommand)]
    Image(ImageCommand),
    Bench(BenchOptions),
}

/// Serve disks until told to stop.
#[derive(Args, Clone, Debug, Default)]
#[command(disable_version_flag = true)]
pub(crate) struct ServeOptions {
    /// Serve what this file describes (NetBSD's format), on all addresses of this machine.
    #[arg(short = 'f', value_name = "TARGETS")]
    pub(crate) targets: Option<PathBuf>,

    /// Users and their CHAP secrets (NetBSD's format) [default: `auths` beside TARGETS, if it is there].
    #[arg(long, value_name = "FILE")]
    pub(crate) auths: Option<PathBuf>,

    /// Serve this file as a disk, on loopback unless --listen says otherwise. It is made if it is not there; one that
    /// is there is used as it is. Keys: ro=yes, auth=chap|none, users=NAME,..., iqn=NAME, direct=yes, checksum=yes,
    /// physical=512, format=qcow2 (with ro=yes). memory:/NAME:SIZE is a disk in memory, gone at the end.
    #[arg(long = "disk", value_name = "PATH[:SIZE][,KEY=VALUE]...")]
    pub(crate) disks: Vec<String>,

    /// Read the files as NetBSD's own daemon does, mistakes and all, and print its start-up text on stdout. Without -f,
    /// /etc/iscsi/targets is meant. Netmasks and CHAP are enforced all the same.
    #[arg(long)]
    pub(crate) netbsd_compat: bool,

    /// IPv4 only.
    #[arg(short = '4', conflicts_with = "ipv6_only")]
    pub(crate) ipv4_only: bool,

    /// IPv6 only.
    #[arg(short = '6')]
    pub(crate) ipv6_only: bool,

    /// Listen on this address (IPv6 with a port in brackets: [::1]:3260). May be given several times.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = listen_address)]
    pub(crate) listen: Vec<(IpAddr, Option<u16>)>,

    /// Port to listen on.
    #[arg(short = 'p', value_name = "PORT", default_value_t = 3260)]
    pub(crate) port: u16,

    /// What the names of targets begin with.
    #[arg(short = 't', value_name = "IQN_BASE", default_value = "iqn.1994-04.org.netbsd.iscsi-target")]
    pub(crate) iqn_base: String,

    /// Bytes of a logical block: 512, 1024, 2048, 4096 or 8192.
    #[arg(short = 'b', value_name = "BLOCKLEN", default_value_t = 512, value_parser = block_length)]
    pub(crate) block_length: u32,

    /// Accepted for the sake of NetBSD's scripts: timedisk always stays in the foreground.
    #[arg(short = 'D')]
    pub(crate) foreground: bool,

    /// Serve disks even if they have become shorter than they were when they were last served: what is on them loses
    /// its end.
    #[arg(long)]
    pub(crate) allow_shrink: bool,

    /// Sessions at once.
    #[arg(short = 's', value_name = "SESSIONS", default_value_t = 4096,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) sessions: u16,

    /// Say more.
    #[arg(short = 'v', value_name = "WHAT", value_enum)]
    pub(crate) verbose: Vec<Trace>,

    /// Print the version.
    #[arg(short = 'V', long = "version")]
    pub(crate) version: bool,

    /// Where the default disk and saved settings live [default: /var/lib/timedisk for root, else
    /// ~/.local/state/timedisk].
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Write this file once every disk accepts logins.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

/// What to say more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trace {
    /// Connections.
    Net,
    /// Protocol.
    Iscsi,
    /// Commands.
    Scsi,
    /// All of it.
    All,
}

/// Read a configuration, print it as a tree, point at each mistake.
#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    /// The file that describes the targets.
    #[arg(short = 'f', value_name = "TARGETS", default_value = "/etc/iscsi/targets")]
    pub(crate) targets: PathBuf,

    /// Users and their CHAP secrets [default: `auths` beside TARGETS, if it is there].
    #[arg(long, value_name = "FILE")]
    pub(crate) auths: Option<PathBuf>,

    /// Read the files as NetBSD's own daemon does, mistakes and all.
    #[arg(long)]
    pub(crate) netbsd_compat: bool,

    /// Print the file as it is understood, instead of the tree: each line whole, in one form, for another file.
    #[arg(long)]
    pub(crate) print: bool,

    /// What the names of targets begin with.
    #[arg(short = 't', value_name = "IQN_BASE", default_value = "iqn.1994-04.org.netbsd.iscsi-target")]
    pub(crate) iqn_base: String,

    /// Bytes of a logical block.
    #[arg(short = 'b', value_name = "BLOCKLEN", default_value_t = 512, value_parser = block_length)]
    pub(crate) block_length: u32,
}

/// Options that all verbs share.
const SHARED: [&str; 3] = ["--help", "-h", "--version"];

/// Puts `serve` where no verb was typed.
pub(crate) fn with_verb(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let has_verb = arguments.get(1).is_some_and(|first| {
        let looks_like_a_verb = !first.to_string_lossy().starts_with('-');
        looks_like_a_verb || SHARED.iter().any(|option| first == option)
    });
    if !has_verb {
        arguments.insert(1.min(arguments.len()), "serve".into());
    }
    arguments
}

/// Reads an address of this machine, with or without a port.
pub(crate) fn listen_address(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(|address| (address, None)).map_err(|_| {
        "write an address of this machine, with or without a port: 192.168.1.5, 192.168.1.5:3260, [fd00::5]:3260".into()
    })
}

fn block_length(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(length @ (512 | 1024 | 2048 | 4096 | 8192)) => Ok(length),
        _ => Err("choose 512, 1024, 2048, 4096 or 8192".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verb_of(words: &[&str]) -> Vec<String> {
        let typed = std::iter::once("timedisk").chain(words.iter().copied()).map(OsString::from);
        with_verb(typed).into_iter().skip(1).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn serve_is_meant_where_no_verb_is_typed() {
        assert_eq!(verb_of(&[]), ["serve"]);
        assert_eq!(verb_of(&["--state", "x"]), ["serve", "--state", "x"]);
        assert_eq!(verb_of(&["-V"]), ["serve", "-V"]);
        assert_eq!(verb_of(&["check", "-f", "x"]), ["check", "-f", "x"]);
        assert_eq!(verb_of(&["--help"]), ["--help"]);
        assert_eq!(verb_of(&["serv"]), ["serv"], "a mistyped verb is not an option of serve");
    }

    #[test]
    fn the_description_of_the_command_line_is_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn listen_addresses_are_read_in_every_usual_form() {
        assert_eq!(listen_address("127.0.0.1").unwrap(), ("127.0.0.1".parse().unwrap(), None));
        assert_eq!(listen_address("[::1]:99").unwrap(), ("::1".parse().unwrap(), Some(99)));
        assert_eq!(listen_address("::1").unwrap(), ("::1".parse().unwrap(), None));
        assert!(listen_address("example").is_err());
    }
}
