//! Rules about how files look.

use crate::rust_text::without_comments_and_strings;

/// The most lines a Rust file may have.
pub(crate) const MOST_LINES: usize = 500;
/// The most characters a line of Rust may have.
const LONGEST_LINE: usize = 120;

/// Files that may be longer, each with the reason. Files named `tests.rs` may be as well.
pub(crate) const LONGER: &[(&str, &str)] = &[];

/// Calls and attributes that stand for something not done. Written in two parts, so that this file does not have them.
const UNDONE: [&str; 4] =
    [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!"), concat!("#[", "ignore")];

/// Directories that exist on somebody's machine only. Written in two parts as well.
const PLACES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/ro", "ot/"), concat!("/home", "/")];

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

pub(crate) fn file_length(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let may_be_longer = path.ends_with("/tests.rs") || LONGER.iter().any(|(longer, _)| *longer == path);
    let complaint = (is_rust(path) && lines > MOST_LINES && !may_be_longer)
        .then(|| format!("{path}: {lines} lines; {MOST_LINES} are the most"));
    complaint.into_iter().collect()
}

pub(crate) fn line_length(path: &str, text: &str) -> Vec<String> {
    if !is_rust(path) {
        return Vec::new();
    }
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.chars().count() > LONGEST_LINE)
        .map(|(number, line)| format!("{path}:{number}: {} characters", line.chars().count()))
        .collect()
}

pub(crate) fn left_undone(path: &str, text: &str) -> Vec<String> {
    if !is_rust(path) {
        return Vec::new();
    }
    let code = without_comments_and_strings(text);
    complaints(path, &code, &UNDONE, |_| true)
}

/// Any text file, comments and all.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // where a path goes on to the left, as in `target/work/`, it is no place on a machine
    complaints(path, text, &PLACES, |before| {
        !before.ends_with(|c: char| c.is_alphanumeric() || "_-./}])~*".contains(c))
    })
}

/// One complaint for each place where one of `needles` stands and `starts` approves of the text on its left.
fn complaints(path: &str, text: &str, needles: &[&str], starts: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for needle in needles {
            if line.match_indices(needle).any(|(at, _)| starts(&line[..at])) {
                found.push(format!("{path}:{number}: {needle}"));
            }
        }
    }
    found
}
