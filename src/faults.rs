//! Faults on demand: with the feature `failpoints`, every call through a port has a point before it and one after it.
//!
//! Without the feature [`wrapped`] gives back what it was given, and nothing of this is compiled. With it, the
//! environment says what happens where, in the syntax of the crate `fail`:
//!
//! ```text
//! FAILPOINTS='ledger::stage::after=2*off->1*return(abort);source::read_range::before=sleep(200)'
//! ```
//!
//! | action | what happens |
//! |---|---|
//! | `panic` | the call panics |
//! | `sleep(ms)`, `delay(ms)` | it takes longer |
//! | `return(error)` | it fails with a `Transient` error; at an `after` point it has been carried out all the same |
//! | `return(data)`, `return(config)`, `return(fenced)` | likewise, with an error of that class |
//! | `return(abort)` | the process is gone |
//! | `return(hang)` | it never ends |
//!
//! The points are named in `METHODS`. `FAILPOINT_KEY` restricts those that concern the bytes or the rows of one object
//! to the object with this key: then a file can be made one over which the process dies or hangs, each time. If
//! `FAILPOINT_LOG` names a file, every point that is passed is appended to it, one a line.

#[cfg(feature = "failpoints")]
mod destination;
#[cfg(feature = "failpoints")]
mod ledger;
#[cfg(feature = "failpoints")]
mod point;
#[cfg(feature = "failpoints")]
mod source;

use connector_actors::world::ImportPorts;

#[cfg(feature = "failpoints")]
pub use self::point::{METHODS, points};

/// The ports of an import, with a point on both sides of every call.
#[cfg(feature = "failpoints")]
pub fn wrapped(ports: ImportPorts) -> ImportPorts {
    use std::sync::Arc;

    point::configure();
    ImportPorts {
        source: Arc::new(source::Faulty(ports.source)),
        ledger: Arc::new(ledger::Faulty(ports.ledger)),
        table: Arc::new(destination::Faulty { inner: ports.table, port: "table" }),
        quarantine: Arc::new(destination::Faulty { inner: ports.quarantine, port: "quarantine" }),
    }
}

/// The ports of an import, as they are.
#[cfg(not(feature = "failpoints"))]
pub fn wrapped(ports: ImportPorts) -> ImportPorts {
    ports
}
