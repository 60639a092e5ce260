//! The program: command line, wiring, HTTP listeners, demo. The only place that names every crate.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | one file for each verb; exit codes |
//! | [`config`] | the configuration folder becomes settings and imports |
//! | [`app`] | puts everything together: configuration, ports, actors, listeners |
//! | [`http`], [`exporter`] | metrics, health and API |
//! | [`demo`] | sample data that keeps coming |
//! | [`logging`], [`private_file`] | log lines; secrets of the data directory |

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod exporter;
pub mod http;
pub mod logging;
pub mod private_file;
