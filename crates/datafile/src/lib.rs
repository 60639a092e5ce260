//! The grammar of `.connection` and `.datasource` files.
//!
//! Purpose: text goes in; a typed tree whose values keep their spans comes out, together with every problem of the
//! file at once, each with line, column, caret and a hint. This crate reads no file and no environment: texts and
//! secrets are handed in.
//!
//! ```text
//! text ──lexer──> directives, words, blocks ──document──> known, unique directives
//!      ──reader──> values with secrets resolved ──datasource / connection──> typed tree
//!                                     SCHEMA ──tokens──> column ──> types, default, path
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`source`] | files, spans, values with spans |
//! | [`diagnostic`], [`suggest`] | problems and how they are printed; "did you mean" |
//! | [`lexer`], [`directives`], [`document`] | lines to directives; which directives there are, and what becomes of each |
//! | [`reader`], [`secrets`] | words to values, `{{ tb_secret("NAME") }}` resolved |
//! | [`mod@column`], [`types`], [`default`], [`path`] | the SCHEMA block |
//! | `schedule`, `exclude` | when an import works, which keys it leaves out |
//! | [`mod@print`], [`edit`] | the way back: a file taken apart and put together again, laid out, changed in one place |
//! | [`datasource`], [`engine`], [`csv`], [`extras`], [`indexes`], [`connection`] | the two kinds of file |
//! | [`mod@write`] | new files, as text that is read back as the same values |

pub mod column;
pub mod connection;
pub mod csv;
pub mod datasource;
pub mod default;
pub mod diagnostic;
pub mod directives;
pub mod document;
pub mod edit;
pub mod engine;
mod exclude;
pub mod extras;
pub mod indexes;
pub mod lexer;
pub mod path;
pub mod print;
pub mod reader;
mod schedule;
pub mod secrets;
pub mod source;
pub mod suggest;
mod tokens;
pub mod types;
pub mod write;

pub use column::{Codec, ColumnDef};
pub use connection::{AccessDef, Connection, parse_connection};
pub use datasource::{DataSource, Import, parse_datasource};
pub use diagnostic::{Colour, Diagnostic, Place, Problems, Severity, render};
pub use engine::{EngineKind, TableEngine};
pub use extras::Extras;
pub use secrets::Secrets;
pub use source::{SourceFile, Span, Spanned};
