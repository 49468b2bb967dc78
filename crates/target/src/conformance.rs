//! `docs/conformance.md`.

/// What is supported of the protocols and what is not: the text of `docs/conformance.md`, out of the tables that
/// the code runs on.
pub fn conformance() -> String {
    let title = "# What is supported\n\nMade of the tables that the code runs on; a test compares them:\n\n    \
                 cargo run -p timedisk-target --example conformance > docs/conformance.md\n\n\
                 How libiscsi's suite and sg3-utils find it: [testing.md](testing.md).\n\n";
    [title, &timedisk_scsi::conformance(), "\n", &timedisk_iscsi::conformance::conformance()].concat()
}
