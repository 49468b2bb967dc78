//! The socket's place in the state directory, and whose it is.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::net::UnixStream;

const SOCKET: &str = "control.sock";
const LOCK: &str = "control.lock";

/// The longest path that a socket's address has room for (unix(7)).
const LONGEST: usize = 107;

/// The socket of a running daemon.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: UnixListener,
    /// Held as long as the daemon lives: tells a socket in use from one that was left behind.
    _lock: File,
    path: PathBuf,
}

/// What came of asking for the socket.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is ours.
    Ours(Endpoint),
    /// Another daemon has it: its process id, if that is known.
    Taken(Option<u32>),
}

impl Endpoint {
    /// Asks for the socket in `directory`, which exists. One that was left behind is replaced.
    pub(crate) fn claim(directory: &Path) -> anyhow::Result<Claim> {
        let lock_path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock =
            options.open(&lock_path).with_context(|| format!("can't open {}", lock_path.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Claim::Taken(process(&mut lock))),
            Err(error) => return Err(error).with_context(|| format!("can't lock {}", lock_path.display())),
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        let path = directory.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't replace {}", path.display()));
            }
            _ => {}
        }
        let listener = ShortPath::of(directory)
            .and_then(|short| UnixListener::bind(&short.path))
            .with_context(|| format!("can't make {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Claim::Ours(Endpoint { listener, _lock: lock, path }))
    }

    pub(crate) fn listener(&self) -> std::io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // The lock is let go of after this, so it is still ours.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Connects to the daemon of a state directory. Does not wait, as a blocking socket would where the queue is full.
pub(crate) async fn connect(directory: &Path) -> std::io::Result<UnixStream> {
    let short = ShortPath::of(directory)?;
    UnixStream::connect(&short.path).await
}

/// The process that has the socket of a state directory, if there is one.
pub(crate) fn owner(directory: &Path) -> Option<u32> {
    let mut lock = File::open(directory.join(LOCK)).ok()?;
    // Who gets the lock finds nobody there.
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => process(&mut lock),
    }
}

fn process(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The socket's path, by way of a descriptor of its directory where it is too long for an address.
struct ShortPath {
    path: PathBuf,
    /// The path holds good only as long as this is open.
    _directory: Option<File>,
}

impl ShortPath {
    fn of(directory: &Path) -> std::io::Result<ShortPath> {
        let path = directory.join(SOCKET);
        if path.as_os_str().len() <= LONGEST {
            return Ok(ShortPath { path, _directory: None });
        }
        let opened = File::open(directory)?;
        let path = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join(SOCKET);
        Ok(ShortPath { path, _directory: Some(opened) })
    }
}
