//! Datafiles, written.

pub mod connection;
