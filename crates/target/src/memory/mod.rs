//! Memory for the data of commands: bounded for all sessions together, and at hand for each.

mod pages;
mod pool;
mod shelf;

#[cfg(test)]
mod tests;

pub(crate) use pool::Pool;
pub(crate) use shelf::{Buffer, Share};
