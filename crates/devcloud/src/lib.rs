//! An S3 and STS endpoint over a folder, inside the process: for `demo`, for trying one's own files offline, for tests.
//!
//! Purpose: the same pipeline, credentials and config as against AWS, without AWS. Each directory in the folder is a
//! bucket, each file below it an object; what is copied or moved in is there at once, and nothing but the files is
//! stored. Signatures, roles, external ids and session tokens are really verified, so what works here has proven the
//! role path and not gone around it.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`], [`error`] | what to serve to whom, and why that was refused |
//! | `server` | listener, connections, shutdown |
//! | `signing`, `access`, `identity`, `sts` | who is calling and what they may do |
//! | [`account`], `borders` | policies that lack an action, regions, owners, KMS keys, a clock that is off |
//! | `store`, `multipart` | the operations of S3 |
//! | `key`, `folder`, `walk`, `listing` | keys and files, order and pages |
//! | `etag`, `body`, `upload` | the bytes: one version or an error, never a mix |
//! | [`faults`] | what goes wrong on purpose: statuses, cuts, wrong lengths and checksums, stale pages, slow bodies |
//!
//! Deliberate limits: path style, no versions, the ETag of a multipart upload is that of its bytes, no user metadata (a folder has no place for it), no
//! symbolic links, nothing is fsynced. A file that is being copied in slowly looks complete between two writes: move
//! large files in instead, from the same disk.

mod access;
pub mod account;
mod body;
mod borders;
pub mod config;
pub mod error;
mod etag;
pub mod faults;
mod folder;
mod identity;
mod key;
mod listing;
mod multipart;
mod server;
mod signing;
mod store;
mod sts;
mod text;
mod upload;
mod walk;

pub use account::{Account, AccountHandle, Denial, Encrypted, SessionKeys};
pub use config::{ACCOUNT_ID, DevCloudConfig, KeyPair, Role};
pub use error::DevCloudError;
pub use faults::{Fault, FaultHandle, Faults, Operation, Refusal, Rule, When};
pub use server::DevCloud;
