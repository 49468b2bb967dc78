//! The socket's place in the state directory, and whose it is.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

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
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(Claim::Taken(process(&mut lock)));
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
        let listener = with_short_path(directory, |short| UnixListener::bind(short))
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

/// Connects to the daemon of a state directory.
pub(crate) fn connect(directory: &Path) -> std::io::Result<UnixStream> {
    with_short_path(directory, |short| UnixStream::connect(short))
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
fn with_short_path<T>(directory: &Path, act: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let path = directory.join(SOCKET);
    if path.as_os_str().len() <= LONGEST {
        return act(&path);
    }
    let opened = File::open(directory)?;
    act(&Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join(SOCKET))
}
