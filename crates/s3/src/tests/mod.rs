//! The adapter against a scripted server on the loopback interface.

mod identity;
mod listing;
mod reading;
mod refusals;
mod server;
mod world;
