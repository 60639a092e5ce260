//! What imports read, as far as it was ever accepted: with what is opened, what is only accepted, and what is not.

use connector_core::origin::Known;
use connector_core::uri::BucketUri;

use super::*;
use crate::LedgerReader;

fn accept(house: &House, name: &str, uri: &str) {
    wait(house.ledger.accept(vec![(ImportName::new(name), BucketUri::parse(uri).unwrap())])).unwrap();
}

fn known(name: &str, bucket: &str, uri: Option<&str>, has_batches: bool) -> Known {
    Known { name: ImportName::new(name), bucket: bucket.to_owned(), uri: uri.map(str::to_owned), has_batches }
}

fn origins(house: &House) -> Vec<Known> {
    wait(house.ledger.origins()).unwrap()
}

#[test]
fn what_was_accepted_last_is_what_an_import_reads() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    let name = house.import.to_string();
    assert_eq!(origins(&house), [known(&name, BUCKET, None, false)], "opened by a program that accepted nothing");
    accept(&house, &name, &format!("s3://{BUCKET}/*.csv"));
    accept(&house, "zebra", "s3://zoo/a/*.csv");
    let uri = format!("s3://{BUCKET}/*.csv");
    assert_eq!(
        origins(&house),
        [known(&name, BUCKET, Some(&uri), false), known("zebra", "zoo", Some("s3://zoo/a/*.csv"), false)]
    );
    house.page(&[object("a", "1", 1)]);
    let batch = house.claim_all(1_000);
    assert!(!origins(&house)[0].has_batches, "one that is open may yet come to nothing");
    house.commit(&batch, |_| Some(ingested()), 1_000);
    accept(&house, &name, "s3://mart/*.csv");
    accept(&house, "zebra", "s3://zoo/b/*.csv");
    let now = origins(&house);
    assert_eq!(now[0], known(&name, "mart", Some("s3://mart/*.csv"), true), "accepted, although it is open elsewhere");
    assert_eq!(now[1].uri.as_deref(), Some("s3://zoo/b/*.csv"));
    assert_eq!(LedgerReader::open(dir.path()).unwrap().unwrap().origins().unwrap(), now);
}

#[test]
fn a_staged_batch_may_have_landed() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1)]);
    let batch = house.claim_all(1_000);
    let frozen = staged(results(&batch, |_| Some(ingested())));
    wait(house.ledger.stage(&house.import, batch.seq, batch.uuid, &frozen)).unwrap();
    assert!(origins(&house)[0].has_batches);
}
