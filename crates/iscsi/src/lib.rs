//! iscsi
#![forbid(unsafe_code)]
