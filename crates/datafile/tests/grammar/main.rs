//! Types, defaults, paths, engine keys and CSV options: what is accepted becomes this, what is refused says that.

mod columns;
mod imports;
mod support;
mod table;
