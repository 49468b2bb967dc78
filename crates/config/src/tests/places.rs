//! Where mistakes are said to be.

use super::{mistakes, read, read_both};
use crate::{File, Mistake};

#[test]
fn all_mistakes_are_found_at_once_in_the_files_order() {
    let text = "extent0 /x 0 1.5GB\nfoo\nextent1 /y abc -1\n\
        target0 xyz extent9 10.0.0.0/33 auth=maybe users=bob\n\
                target1 rw extent1 10/8,bad,::1/200\n";
    let outcome = read_both(text, Some("bob:chap:\n"));
    let places: Vec<(File, usize, usize, &str)> = outcome
        .mistakes
        .iter()
        .map(|m| (m.file, m.line, m.column, if m.file == File::Targets { &text[m.span.clone()] } else { "" }))
        .collect();
    let targets = File::Targets;
    assert_eq!(
        places,
        [
            (targets, 1, 14, "1.5GB"),
            (targets, 2, 1, "foo"),
            (targets, 3, 12, "abc"),
            (targets, 3, 16, "-1"),
            (targets, 4, 9, "xyz"),
            (targets, 4, 13, "extent9"),
            (targets, 4, 21, "10.0.0.0/33"),
            (targets, 4, 38, "maybe"),
            (targets, 5, 25, "bad"),
            (targets, 5, 29, "::1/200"),
            (File::Auths, 1, 10, ""),
        ]
    );
}

#[test]
fn columns_count_characters_and_not_bytes() {
    assert_eq!(mistakes("extent0 /päth/ü 0 1MX\ntarget0 rw extent0 all\n"), ["1:20 MX"]);
    assert_eq!(mistakes("\u{feff}Extent0 /x 0 1MB\nlun0 rw Extent0 any\n")[0], "1:1 Extent0");
}

#[test]
fn a_place_after_escapes_and_continuations_is_the_place_in_the_file() {
    let text = "extent0 /my\\ disk 0 1MB\ntarget0 rw extent0 \\\n  10/8,b\\\nad,11/8 \\\n users=\n";
    let outcome = read(text);
    let places: Vec<_> = outcome.mistakes.iter().map(|m| (m.line, m.column, &text[m.span.clone()])).collect();
    assert_eq!(places, [(3, 8, "b\\\nad"), (5, 8, "")]);
}

#[test]
fn a_mistake_of_the_callers_is_placed_in_the_same_way() {
    let mistake = Mistake::at(File::Targets, "a\nbü c\n", 6..7, "no such file", Some("make it"));
    assert_eq!((mistake.line, mistake.column), (2, 4));
    let outside = Mistake::at(File::Targets, "bü", 2..99, "x", None);
    assert_eq!((outside.span, outside.column), (1..3, 2));
}

#[test]
fn an_empty_text_has_its_mistake_on_line_1() {
    assert_eq!(mistakes(""), ["1:1 "]);
    assert_eq!(mistakes("# one\n# two\n"), ["2:6 "]);
}
