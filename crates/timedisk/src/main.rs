//! timedisk
fn main() {}
