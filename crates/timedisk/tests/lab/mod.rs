//! `timedisk` as a process, on files of a test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Not every test needs all of it.
#![allow(dead_code)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A directory for one test.
pub(crate) struct Lab {
    pub(crate) directory: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of `length` bytes with 4 KiB of data at each of the places.
    pub(crate) fn sparse(&self, name: &str, length: u64, places: impl IntoIterator<Item = u64>) -> PathBuf {
        let path = self.path(name);
        let file = File::create(&path).unwrap();
        file.set_len(length).unwrap();
        for place in places {
            file.write_all_at(&block(place), place).unwrap();
        }
        file.sync_all().unwrap();
        path
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_timedisk"));
        command.args(words).stdin(Stdio::null()).current_dir(self.directory.path());
        command.env("XDG_STATE_HOME", self.path("none"));
        if !["create"].iter().any(|verb| words.contains(verb)) {
            command.arg("--state").arg(self.path("state"));
        }
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command says on stdout, if it succeeds.
    #[track_caller]
    pub(crate) fn good(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.good(words)).unwrap()
    }

    /// All that a command says, if it fails in a way that it knows.
    #[track_caller]
    pub(crate) fn bad(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// Serves files, which are there or have a size.
    pub(crate) fn serve(&self, disks: &[&str]) -> Served {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        for disk in disks {
            command.args(["--disk", disk]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let urls: Vec<String> = lines.map_while(Result::ok).take(disks.len()).collect();
        assert_eq!(urls.len(), disks.len(), "not all disks are served");
        Served { child, urls }
    }
}

/// A daemon, killed with the test.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) urls: Vec<String>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Data that no other place has.
pub(crate) fn block(place: u64) -> [u8; 4096] {
    std::array::from_fn(|index| {
        (place >> 12).wrapping_mul(0x9e37_79b9).to_le_bytes()[index % 5] ^ index as u8 | 1
    })
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

#[track_caller]
pub(crate) fn has_all(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "not a word of {word:?}: {text}");
    }
}
