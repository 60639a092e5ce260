//! The integration tests, as one binary: one link step, one place for what they share.

#[cfg(test)]
mod accounting;
#[cfg(test)]
mod changing_objects;
#[cfg(test)]
mod config_errors;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod evolution;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod house;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kill_loop;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod second_s3;
#[cfg(test)]
mod side_by_side;
#[cfg(test)]
mod throttle;
