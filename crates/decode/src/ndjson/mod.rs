//! NDJSON: one JSON object per line.
//!
//! A file is read in two steps: one sequential [`LineSplitter`] that cuts it into blocks of whole lines, in order, and an
//! [`NdjsonDecoder`] that turns blocks into typed rows, many at a time. There is no header: each record names its
//! values, so a key that nobody has seen in a sample may come up in any row, and then that row is rejected.
//!
//! | module | what it does |
//! |---|---|
//! | `split` | blocks of whole lines |
//! | `lines` | which lines are records |
//! | `json` | JSON text taken apart without changing a digit |
//! | `tree` | which column takes which value: all source paths as one tree |
//! | `walk` | one record through the tree |
//! | `elements` | lists out of the elements of arrays (`lines[:].sku`) |
//! | `cells` | where in the block the text of each value is |
//! | `decode` | a block into rows and rejected rows |
//! | `survey`, `observed`, `infer` | what a sample shows, and the columns that follow |
//!
//! The cell of a JSON value is its text: what a string says, the digits of a number as they are written, `true` and
//! `false`, and of an array or object its JSON text as the file has it. `null` and a key that is not there are no value.

mod cells;
mod decode;
mod elements;
mod infer;
pub(crate) mod json;
mod lines;
mod observed;
mod split;
mod survey;
mod tree;
mod walk;

pub use decode::NdjsonDecoder;
pub use infer::{infer, shape, shape_for, uncovered};
pub use split::{LineSplitter, MAX_RECORD_BYTES};
