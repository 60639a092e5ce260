//! `s3-connector`: watches S3 buckets and ingests every new file exactly once into a table.

use std::process::ExitCode;

fn main() -> ExitCode {
    s3_connector::cli::main()
}
