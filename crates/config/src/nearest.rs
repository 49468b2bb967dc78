//! The known word that a misspelt one was probably meant to be.

/// Longer words are never compared: nobody misspells 40 letters into a known word.
const LONGEST: usize = 40;

/// The candidate with the fewest edits from `word`, letter case aside, when they are few for its length.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let allowed = if word.len() < 4 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= allowed && *edits < candidate.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, deletions and replacements of one character each.
fn edits(word: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (line, expected) in candidate.chars().take(LONGEST + 1).flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, found) in row.iter_mut().skip(1).zip(word) {
            let replaced = diagonal + usize::from(*found != expected);
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Help for an unknown word: the nearest known one, or else the list of all.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("write `{near}`"),
        None => format!("write {}", alternatives(known)),
    }
}

/// `a`, `b` or `c`, each between back-ticks.
fn alternatives(known: &[&str]) -> String {
    let ticked: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    match ticked.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_word_with_the_fewest_edits_is_chosen_and_a_distant_one_is_not() {
        let known = ["extent", "device", "target", "lun"];
        assert_eq!(nearest("Extent", known), Some("extent"));
        assert_eq!(nearest("exent", known), Some("extent"));
        assert_eq!(nearest("tagret", known), Some("target"));
        assert_eq!(nearest("foo", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }
}
