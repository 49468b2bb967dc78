//! What the documentation says is supported is what the code has.

#[test]
fn the_documentation_is_what_the_tables_say() {
    let documented = include_str!("../../../docs/conformance.md");
    assert!(
        documented == timedisk_target::conformance(),
        "make it again: cargo run -p timedisk-target --example conformance > docs/conformance.md"
    );
}
