//! A model checker of the commit protocol: real [`CommitMachine`](super::CommitMachine)s in a small world, every
//! interleaving of which is tried.
//!
//! | file | what it is |
//! |---|---|
//! | `world` | ledger, tables and data files, and what a commit does to them |
//! | `process` | one process: carries out what its machine asks for, as actors, ledger and destination do |
//! | `choices` | what can happen next: steps, crashes, lost answers, late commits, rivals, foreign writers |
//! | `invariants` | what has to be true at all times |
//! | `search` | the exhaustive search |
//! | `mistakes` | the same world with a mistake in it |
//! | `tests`, `seeded` | the searches: of the right protocol, and of each mistake, which has to be found |
//!
//! What the model takes for granted, since other tests prove it: a ledger call happens wholly or not at all; a log entry
//! is put only where none is; whoever reads a table makes what it reads durable first; data files are durable before
//! they are staged.

mod choices;
mod invariants;
mod mistakes;
mod process;
mod search;
mod seeded;
mod tests;
mod world;
