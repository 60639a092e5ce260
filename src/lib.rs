//! The program: command line, wiring, HTTP listeners, demo. The only place that names every crate.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | one file for each verb; exit codes |
//! | [`config`] | the configuration folder becomes settings and imports |
//! | [`app`] | puts everything together: configuration, ports, actors, listeners |
//! | [`operations`] | replay, rollback, maintenance, retry, mending: one form for command line and API |
//! | [`audit`], [`explain`] | bucket, ledger and tables compared; why an object was ingested or not |
//! | [`destination`] | the tables of every import, in a folder or in a bucket |
//! | [`http`], [`exporter`] | metrics, health and API |
//! | [`generate`] | a `.datasource` from a sample file |
//! | [`plan`] | what the next sync would do |
//! | [`preview`], [`quarantine`] | a file as it would land; rows that did not fit, grouped and exported |
//! | [`rows`] | rows of a table as text and as JSON |
//! | [`probe`] | processes that decode suspect files |
//! | [`demo`] | sample data that keeps coming |
//! | [`logging`], [`private_file`] | log lines; secrets of the data directory |

pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod destination;
pub mod explain;
pub mod exporter;
pub mod faults;
pub mod generate;
pub mod http;
pub mod logging;
pub mod operations;
pub mod plan;
pub mod preview;
pub mod private_file;
pub mod probe;
pub mod quarantine;
pub mod rows;
