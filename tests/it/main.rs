//! The integration tests, as one binary: one link step, one place for what they share.

#[cfg(test)]
mod accounting;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod changing_objects;
#[cfg(test)]
mod checker;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod config_errors;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod evolution;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod first_steps;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile_s3;
#[cfg(test)]
mod house;
#[cfg(test)]
#[path = "../power_loss/image.rs"]
mod image;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kill_files;
#[cfg(test)]
mod kill_loop;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod mending;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod patterns;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod power_loss;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod reference;
mod reload;
mod removing;
#[cfg(test)]
mod revisions;
#[cfg(test)]
mod s3_mending;
#[cfg(test)]
mod s3_tables;
#[cfg(test)]
mod second_s3;
#[cfg(test)]
#[path = "../power_loss/shim.rs"]
mod shim;
#[cfg(test)]
mod side_by_side;
#[cfg(test)]
mod throttle;
#[cfg(test)]
mod two_hosts;
#[cfg(test)]
mod types;
#[cfg(test)]
#[path = "../faults/workload.rs"]
mod workload;
