//! The rule that each direct dependency has a line that says what it is for.

/// The external crates of `[workspace.dependencies]` that the table in the document has no row for.
pub(crate) fn unexplained(manifest: &str, document: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.contains("path = "))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !document.lines().any(|line| line.starts_with(&format!("| {name} |"))))
        .collect()
}
