//! Tests of the device server as a whole.
