//! Prints `docs/conformance.md`.

fn main() {
    print!("{}", timedisk_target::conformance());
}
