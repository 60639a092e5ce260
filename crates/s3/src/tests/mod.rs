//! The adapter against a scripted server on the loopback interface.

mod caller;
mod hostile;
mod identity;
mod listing;
mod reading;
mod refusals;
mod server;
mod world;
