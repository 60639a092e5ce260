//! devcloud as its users meet it: through the AWS SDK, over loopback.

// Clippy lets tests unwrap, and takes these files for tests only if they say so.
#[cfg(test)]
mod faults;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod integrity;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod multipart;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod support;
