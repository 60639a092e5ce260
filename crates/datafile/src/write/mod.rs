//! Writing datafiles: typed values become text that reads back as the same values.

pub mod connection;
pub mod datasource;
