//! The nouns and the pure rules of `s3-connector`.
//!
//! Purpose: everything that can be decided without touching the outside world is decided here, so that it can be
//! tested without S3, a table, a clock or an actor. This crate does no I/O and knows no actix, AWS, SQLite or Delta.
//!
//! | module | what it decides |
//! |---|---|
//! | [`ids`], [`object`] | what identifies an import, a batch and an object version |
//! | [`uri`] | which keys a bucket URI or an exclusion matches, and which literal prefix to list |
//! | [`schedule`] | when an import works by itself; cron expressions |
//! | [`types`], [`schema`], [`expr`] | column types and what stands for them elsewhere, table schemas, expressions |
//! | [`spelling`] | which texts are dates and times |
//! | [`csv`] | how CSV files are written: configured, found out, fixed |
//! | [`binding`], [`compat`], [`evolve`] | which file column feeds which table column, which type fits, what is added |
//! | [`block`], [`quarantine`], [`remedy`] | the unit of decoded rows with the rejected ones, the table that takes those, what to do about them |
//! | [`origin`] | whether a data source is still the import that its name says |
//! | [`guard`], [`reread`] | when an import is paused because its rows are mostly bad, or most of it would be read again |
//! | [`history`], [`known`] | what the tracker tells of batches, files and schema versions; what the ledger knows of objects |
//! | [`claim`] | how many files one tick may take, and in which order |
//! | [`commit`] | the commit protocol as a state machine, with recovery |
//! | [`revision`] | batches that move or remove rows which are there: replay, rollback, expiry; accounting |
//! | [`plan`] | what the next sync would read, and what that costs |
//! | [`audit`] | whether every row is in the tables exactly once, and what the bucket says |
//! | [`backoff`], [`restart`], [`credit`] | waiting times; what follows the end of a generation; who may hold memory |
//! | [`error`] | error classes by remedy |
//! | [`ports`] | the outside world as this crate sees it: object source, ledger, destination |
//! | [`telemetry`], [`events`] | the catalogue of metrics, and the events that feed log and metric together |

pub mod audit;
pub mod backoff;
pub mod binding;
pub mod block;
pub mod claim;
pub mod clock;
pub mod commit;
pub mod compat;
pub mod credit;
pub mod csv;
pub mod error;
pub mod events;
pub mod evolve;
pub mod explain;
pub mod expr;
pub mod guard;
pub mod history;
pub mod ids;
pub mod known;
pub mod object;
pub mod origin;
pub mod outcome;
pub mod pace;
pub mod plan;
pub mod ports;
pub mod preparation;
pub mod quarantine;
pub mod remedy;
pub mod reread;
pub mod restart;
pub mod revision;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod spec;
pub mod spelling;
pub mod status;
pub mod telemetry;
pub mod types;
pub mod uri;
