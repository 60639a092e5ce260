//! Whole files: read and printed, changed in one place, and broken in one place.

mod editing;
mod mutations;
mod printing;
mod support;
