//! The integration tests, as one binary: one link step, one place for what they share.

mod house;
