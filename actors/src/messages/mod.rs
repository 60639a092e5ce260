//! Every message, and nothing else. Each says who sends it, who gets it, what answers it and what it costs.

pub mod appending;
pub mod control;
pub mod decoding;
pub mod listing;
pub mod supervision;
