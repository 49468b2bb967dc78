#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod double;
mod dropping;
mod files;
mod hanging;
mod histories;
mod opening;
mod resyncing;
