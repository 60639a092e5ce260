//! The program with failpoints (src/faults.rs): a fault at every point, crashes within recoveries, SIGTERM anywhere.
//!
//! A binary of its own, because the program is built with the feature `failpoints` for it:
//!
//! ```text
//! cargo test --features failpoints --test faults
//! ```

#[cfg(test)]
mod endings;
#[cfg(test)]
#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "it serves two binaries, and each uses a part of it")]
mod harness;
#[cfg(test)]
mod matrix;
#[cfg(test)]
#[expect(dead_code, reason = "it serves two binaries, and each uses a part of it")]
mod workload;
#[cfg(test)]
mod world;
