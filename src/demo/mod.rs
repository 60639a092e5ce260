//! The demo: a shop whose files keep landing in an embedded bucket.
//!
//! | module | what it does |
//! |---|---|
//! | [`generator`] | the shop's files: the same seed and number give the same bytes |
//! | [`shop`] | drops them into the bucket, one after the other |
//! | [`home`] | the demo's folder: bucket, configuration and data |

pub mod generator;
pub mod home;
pub mod shop;
