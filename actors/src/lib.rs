//! The actor pipeline: five actors that exchange messages, and nothing else.
//!
//! ```text
//! Supervisor ── owns one generation of ─> ConnectionActor (one per import)
//!    ConnectionActor ──> ListerActor      list pages -> ledger; tells when a scan is complete
//!    ConnectionActor ──> DecoderActor     file -> ranged reads -> blocks on the CPU pool
//!         DecoderActor ──> AppenderActor  blocks; row data never passes the ConnectionActor
//!    ConnectionActor ──> AppenderActor    close, commit, read and create the table
//! ```
//!
//! Vocabulary: a *generation* is one life of an import's four actors. Any child's death ends it, and a fresh one
//! recovers from ledger and table. *Credit* is permission to hold memory; it rides in messages and comes back on drop.
//!
//! Invariants:
//! - Actor files hold protocol only. Decisions are in `connector-core`: claims, the commit protocol, restarts, credit.
//! - Nobody waits inside a handler. Network and disk are awaited on the I/O runtime ([`io`]), decoding and encoding
//!   run on the CPU pool, and both report back as messages.
//! - Every message to a ConnectionActor carries its generation; one from an earlier life is counted and dropped.
//! - Mailboxes bound nothing (an actix `do_send` always queues); what bounds memory is [`credit`].

pub mod appender;
pub mod connection;
pub mod credit;
pub mod decoder;
pub mod exit_guard;
pub mod io;
pub mod lister;
pub mod messages;
pub mod supervisor;
pub mod world;
