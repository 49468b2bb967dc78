//! The rule that the tests which a document's table names exist, where it says, as tests.

use crate::rust_text::without_comments_and_strings;

/// The document with the table.
pub(crate) const DOCUMENT: &str = "docs/security.md";

/// What a cell's path may begin with instead of all of it.
const SHORT: (&str, &str) = ("promises/security/", "crates/target/tests/promises/security/");

/// What is said of a row for which there can be no test.
const NONE: &str = "no test: ";

/// What the table's rows name and is not there, and rows that name nothing. `read` gives the text of a file of the
/// checkout.
pub(crate) fn missing(document: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let rows = document.lines().filter(|line| line.starts_with('|')).skip(2);
    let complaints: Vec<String> = rows.clone().flat_map(|row| row_complaints(row, &read)).collect();
    if rows.count() == 0 { vec!["the table has no rows".to_owned()] } else { complaints }
}

fn row_complaints(row: &str, read: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    let cells: Vec<&str> = row.trim().trim_matches('|').split(" | ").collect();
    let title: String = row.chars().take(60).collect();
    let &[_, rule, tests] = cells.as_slice() else { return vec![format!("{title}…: not three cells")] };
    if rule.trim().starts_with(NONE) {
        return Vec::new();
    }
    let (mut complaints, mut count, mut file) = (Vec::new(), 0, None);
    // Between backquotes: a file, then tests of it.
    for word in tests.split('`').skip(1).step_by(2) {
        if word.contains('/') {
            let path =
                word.strip_prefix(SHORT.0).map_or(word.to_owned(), |rest| format!("{}{rest}", SHORT.1));
            match read(&path) {
                None => complaints.push(format!("{title}…: there is no file {path}")),
                Some(_) if path.starts_with("fuzz/") => count += 1,
                Some(text) => file = Some((path, text)),
            }
            continue;
        }
        match &file {
            Some((path, text)) if is_test(path, text, word) => count += 1,
            Some((path, _)) => complaints.push(format!("{title}…: {path} has no test {word}")),
            None => complaints.push(format!("{title}…: {word} is in no file")),
        }
    }
    if count == 0 && complaints.is_empty() {
        complaints.push(format!("{title}…: no test is named"));
    }
    complaints
}

/// Whether a file has a test of that name: in Rust a function with `#[test]`, in a script a function that its runner
/// calls.
fn is_test(path: &str, text: &str, name: &str) -> bool {
    if !path.ends_with(".rs") {
        return text.lines().any(|line| line.starts_with(&format!("t_{name}() {{")));
    }
    let code = without_comments_and_strings(text);
    code.split("#[test]").skip(1).any(|after| {
        let after = after.trim_start().strip_prefix("fn ").unwrap_or_default();
        after.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
    })
}
