//! The integration tests, as one binary: one link step, one place for what they share.

#[cfg(test)]
mod first_run;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod house;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod second_s3;
