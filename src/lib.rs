//! The program: command line, wiring, HTTP listeners, demo. The only place that names every crate.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | one file for each verb; exit codes |
//! | [`config`] | the configuration folder becomes settings and imports |
//! | [`app`] | puts everything together: configuration, ports, actors, listeners |
//! | [`http`], [`exporter`] | metrics, health and API |
//! | [`preview`], [`quarantine`] | a file as it would land; rows that did not fit, grouped and exported |
//! | [`demo`] | sample data that keeps coming |
//! | [`logging`], [`private_file`] | log lines; secrets of the data directory |

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod exporter;
pub mod http;
pub mod logging;
pub mod preview;
pub mod private_file;
pub mod quarantine;
