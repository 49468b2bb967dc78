//! A CHAP secret, which no log ever shows.

use std::fmt;

/// A secret's bytes. There is no `Display`, and `Debug` does not show them; nor is there `==`, whose time
/// would tell how much of a guess was right.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Keeps `bytes` as a secret.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes, as they go into the digest (RFC 1994 §4.1).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
