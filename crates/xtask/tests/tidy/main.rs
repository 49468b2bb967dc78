//! The rules of the house, checked on every file of the checkout.
//!
//! Each rule is a function from a file's path and text to the complaints about it; `planted` shows for each that it
//! catches what it is there for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dependencies;
mod named_tests;
mod planted;
mod purity;
mod rust_text;
mod shape;

use std::path::{Path, PathBuf};

/// A file of the checkout.
struct SourceFile {
    /// Relative to the checkout, with `/` between the parts.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Every text file that is not built and not git's own.
fn files() -> Vec<SourceFile> {
    const SKIPPED: [&str; 6] =
        [".git", "target", "fuzz/target", "fuzz/artifacts", "fuzz/coverage", "fuzz/corpus"];
    let root = root();
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type().unwrap(), entry.path());
            if SKIPPED.iter().any(|skipped| path == root.join(skipped)) {
                continue;
            }
            if kind.is_dir() {
                directories.push(path);
            } else if let (true, Ok(text)) = (kind.is_file(), std::fs::read_to_string(&path)) {
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(SourceFile { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|file| file.path == "crates/target/src/lib.rs"), "a crate is left out");
    assert!(found.len() > 20, "only {} files below {}", found.len(), root.display());
    found
}

/// Applies a rule to every file, and fails with all complaints at once.
fn enforce(rule: fn(&str, &str) -> Vec<String>) {
    let complaints: Vec<_> = files().iter().flat_map(|file| rule(&file.path, &file.text)).collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn no_rust_file_is_too_long() {
    enforce(shape::file_length);
}

#[test]
fn no_line_of_rust_is_too_long() {
    enforce(shape::line_length);
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    enforce(shape::left_undone);
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    enforce(shape::machine_paths);
}

#[test]
fn protocol_scsi_and_configuration_do_no_input_or_output() {
    enforce(purity::sources);
}

#[test]
fn protocol_scsi_and_configuration_depend_on_nothing_that_does() {
    enforce(purity::manifests);
}

#[test]
fn every_file_that_may_be_longer_is_there_and_needs_it() {
    let files = files();
    for (path, reason) in shape::LONGER {
        let file = files.iter().find(|file| file.path == *path);
        let lines = file.unwrap_or_else(|| panic!("{path} is gone")).text.lines().count();
        assert!(lines > shape::MOST_LINES, "{path} has only {lines} lines: strike it out");
        assert!(!reason.is_empty(), "{path} has no reason");
    }
}

#[test]
fn every_dependency_is_explained() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let unexplained = dependencies::unexplained(&read("Cargo.toml"), &read("docs/dependencies.md"));
    assert_eq!(unexplained, [""; 0], "not in docs/dependencies.md");
}

#[test]
fn every_test_that_the_security_table_names_exists() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).ok();
    let missing = named_tests::missing(&read(named_tests::DOCUMENT).unwrap(), read);
    assert_eq!(missing, [""; 0], "in {}", named_tests::DOCUMENT);
}
