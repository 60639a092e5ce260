//! The grammar of datafiles, held against the two public clients: what at least one of them accepts, we accept, and
//! what both refuse, we refuse. Where we do otherwise, `tests/oracle/differences.toml` says so and why.
//!
//! ```text
//! tests/oracle/corpus ──ask_client.py──> what the clients say ┐
//!                     ──config::load───> what we say          ├──judge──> nothing, or the test fails
//!                        differences.toml, what is declared ──┘
//! ```
//!
//! `tests/setup` installs the clients. Both read text only: their copies of ClickHouse's parser know the types, and
//! nothing reaches their service.

mod clients;
mod differences;
mod judge;
mod page;
mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::clients::{CLIENTS, Client};

/// Where the corpus, the requirements of the clients, and the differences are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")
}

/// What `tb_secret` finds in the corpus, for the clients and for us.
const SECRETS: [(&str, &str); 3] = [
    ("shop_role_arn", "arn:aws:iam::111111111111:role/shop"),
    ("shop_key_id", "AKIAEXAMPLE"),
    ("shop_key_secret", "not-a-real-secret"),
];

/// The datafiles of the corpus, by path below it.
fn corpus() -> BTreeSet<String> {
    let root = folder().join("corpus");
    let mut open = vec![root.clone()];
    let mut files = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "datasource" || end == "connection") {
                files.insert(path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").replace('\\', "/"));
            }
        }
    }
    files
}

#[test]
fn we_accept_what_a_client_accepts_and_refuse_what_both_refuse() {
    let clients: Vec<Client> = CLIENTS.into_iter().filter_map(Client::find).collect();
    if clients.len() < CLIENTS.len() {
        return;
    }
    let files = corpus();
    assert!(files.len() >= 150, "only {} files", files.len());
    let answers: Vec<_> = clients.iter().map(Client::ask).collect();
    let subjects: Vec<_> = files.iter().map(|file| judge::subject(file, &answers, verdict::of(file))).collect();
    let problems = judge::judge(&subjects, &differences::read());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The corpus is broad enough to mean something: it has what everybody accepts and what everybody refuses.
#[test]
fn the_examples_of_the_reference_are_accepted() {
    for file in ["reference/orders.datasource", "reference/shop_s3.connection", "reference/s3.datasource"] {
        assert!(corpus().contains(file), "{file} is gone");
        let verdict = verdict::of(file);
        assert!(verdict.accepted(), "{file}: {verdict:?}");
    }
}
