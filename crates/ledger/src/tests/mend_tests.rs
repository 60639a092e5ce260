//! Making the ledger agree with the table: adopting it, and reading again what a restored table lacks.

use connector_core::ids::ImportUuid;
use connector_core::revision::RowDigest;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;

use super::*;
use crate::{Adopted, AdoptedVersion, Adoption, LedgerReader};

fn schema() -> TableSchema {
    TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)])
}

fn uuid() -> ImportUuid {
    ImportUuid(Uuid::from_u128(77))
}

fn version(key: &str, etag: &str, rows: u64, rows_quarantined: u64) -> AdoptedVersion {
    let id = ObjectVersionId::of(uuid(), BUCKET, key, etag, 10);
    let present = rows + rows_quarantined;
    let digest = Some(RowDigest::of_first(id, present));
    AdoptedVersion { key: key.into(), id, rows, rows_quarantined, max_row_plus_one: present, digest }
}

fn adoption(committed_seq: i64, versions: Vec<AdoptedVersion>) -> Adoption {
    Adoption { uuid: uuid(), committed_seq, quarantine_seq: 0, schema: schema(), versions, restored: false }
}

fn adopt(house: &House, adoption: Adoption) -> Adopted {
    wait(house.ledger.adopt(&house.import, BUCKET, adoption, at(5_000))).unwrap()
}

fn reread(house: &House, seq: i64) -> u64 {
    wait(house.ledger.reread(&house.import, seq, at(9_000))).unwrap()
}

fn after(house: &House, seq: i64) -> Vec<String> {
    let versions = wait(house.ledger.batches_after(&house.import, seq)).unwrap();
    versions.into_iter().map(|version| version.key).collect()
}

/// Reads these keys in a batch of their own.
fn ingest(house: &mut House, names: &[&str], outcome: fn(&str) -> Option<FileOutcome>) -> ClaimedBatch {
    house.page(&names.iter().map(|key| object(key, "1", 5)).collect::<Vec<_>>());
    let batch = house.claim_all(2_000);
    house.commit(&batch, outcome, 2_000);
    batch
}

#[test]
fn case_12_a_ledger_that_was_lost_is_built_anew_from_the_table_and_nothing_is_read_twice() {
    let mut house = House::new();
    let versions =
        vec![version("a", "1", 7, 0), version("b", "1", 5, 2), version("q", "1", 0, 4), version("old", "1", 3, 0)];
    let adopted = adopt(&house, adoption(9, versions.clone()));
    assert_eq!(adopted, Adopted { unknown: 4, ..Adopted::default() });
    assert_eq!(adopt(&house, adoption(9, versions)), adopted, "once more changes nothing");
    let record = house.record();
    assert_eq!((record.uuid, record.committed_seq, record.table_created), (uuid(), 9, true));
    assert!(wait(house.ledger.origins()).unwrap()[0].has_batches, "its table has rows, whoever brought them");
    assert_eq!((record.schema, record.open_batch, record.fresh), (Some(schema()), None, false));
    let counts = house.counts(1);
    assert_eq!((counts.rows, counts.rows_quarantined, counts.schema_version), (15, 6, 1));
    assert_eq!(house.known("a", "").account.in_table, 7, "known before any listing has shown it");

    let listed = ["a", "b", "q", "new"].map(|key| object(key, "1", 5));
    let outcome = house.page(&listed);
    assert_eq!((outcome.known, outcome.new), (3, 1));
    assert_eq!(house.page(&[object("old", "2", 6)]).skipped, 1, "overwritten since");
    house.finish_scan(6_000);
    assert_eq!((house.state("a 1"), house.state("q 1")), ("ingested".into(), "quarantined".into()));
    assert_eq!((house.rows("a", "1"), house.rows("b", "1"), house.rows("q", "1")), ([7, 0, 0], [5, 2, 0], [0, 4, 0]));
    let tallies = "SELECT COUNT(*) FROM (SELECT bucket, state, waiting, files, bytes FROM tally WHERE files <> 0
        EXCEPT SELECT bucket, state, not_before IS NOT NULL, COUNT(*), SUM(size) FROM object GROUP BY 1, 2, 3)";
    assert_eq!(house.number(tallies), 0);
    let batch = house.claim_all(6_000);
    assert_eq!((batch.seq, keys(&batch)), (10, vec!["new"]));
    house.commit(&batch, |_| Some(ingested()), 6_000);
    // What is in quarantine can be replayed, and a better version supersedes it.
    let replay = house.revise(&Revision::Replay { files: keyed(&house, &[("b", "1"), ("q", "1")]) }, 6_001);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 1 }), 6_001);
    assert_eq!((house.rows("b", "1"), house.rows("q", "1")), ([6, 1, 0], [1, 3, 0]));
}

#[test]
fn an_unseen_version_can_expire_and_cannot_be_read() {
    let mut house = House::new();
    adopt(&house, adoption(3, vec![version("a", "1", 7, 2)]));
    let files = keyed(&house, &[("a", "1")]);
    let asked = house.try_revise(&Revision::Replay { files: files.clone() }, 6_000).unwrap();
    assert_eq!(asked, None);
    let batch = house.revise(&Revision::Expiry { files }, 6_000);
    assert_eq!((batch.files[0].0.etag.len(), batch.files[0].1.in_table), (0, 7));
    let digest = RowDigest::of_first(batch.files[0].0.id, 7);
    house.commit_revision(&batch, |_| Some(FileOutcome::Expired { rows: 7, digest }), 6_001);
    house.page(&[object("a", "1", 5)]);
    assert_eq!(house.rows("a", "1"), [0, 2, 7]);
}

#[test]
fn a_new_version_of_an_unseen_quarantined_one_supersedes_it() {
    let mut house = House::new();
    adopt(&house, adoption(3, vec![version("a", "1", 0, 4)]));
    house.page(&[object("a", "2", 5)]);
    let batch = house.claim_all(6_000);
    let [(_, superseded)] = batch.supersedes[..] else { panic!("one") };
    assert_eq!((superseded.id, superseded.rows), (version("a", "1", 0, 4).id, 4));
    let mut all = results(&batch, |_| Some(ingested()));
    all.push(FileResult {
        id: superseded.id,
        outcome: FileOutcome::Superseded { rows_quarantined: 4 },
        bytes: 0,
        duration_ms: 0,
    });
    house.try_stage(&batch, &staged(all)).unwrap();
    wait(house.ledger.finalise(&house.import, 4, 1, at(6_000))).unwrap();
    assert_eq!((house.counts(1).rows, house.counts(1).rows_quarantined), (7, 0));
}

#[test]
fn case_12_a_ledger_that_was_restored_from_a_backup_is_brought_up_to_the_table() {
    let mut house = House::new();
    adopt(&house, adoption(0, vec![]));
    ingest(&mut house, &["a"], |_| Some(partly()));
    // The backup is from here; the table went on with b, replayed a, and took c back.
    house.page(&["b", "c", "d"].map(|key| object(key, "1", 6)));
    let open = house.claim_all(3_000);
    house.try_stage(&open, &staged(results(&open, |_| Some(ingested())))).unwrap();
    let adopted = adopt(&house, adoption(4, vec![version("a", "1", 8, 1), version("b", "1", 7, 0)]));
    assert_eq!(adopted, Adopted { known: 2, ..Adopted::default() });
    let record = house.record();
    assert_eq!((record.committed_seq, record.open_batch), (4, None));
    assert_eq!(
        (house.state("a 1"), house.state("b 1"), house.state("c 1")),
        ("ingested".into(), "ingested".into(), "pending".into())
    );
    assert_eq!((house.rows("a", "1"), house.rows("b", "1")), ([8, 1, 0], [7, 0, 0]));
    assert_eq!((house.counts(1).rows, house.counts(1).rows_quarantined), (15, 1));
    let next = house.claim_all(5_001);
    assert_eq!((next.seq, keys(&next)), (5, vec!["c", "d"]));
}

#[test]
fn rows_of_an_adopted_version_that_have_expired_are_told_by_their_sum() {
    let house = House::new();
    let mut found = version("a", "1", 5, 0);
    let id = found.id;
    let mut present = RowDigest::default();
    (5..10).for_each(|row| present += RowDigest::of_row(id, row));
    (found.max_row_plus_one, found.digest) = (10, Some(present));
    adopt(&house, adoption(3, vec![found]));
    let account = house.known("a", "").account;
    assert_eq!((account.read, account.in_table, account.removed), (10, 5, 5));
    assert_eq!(account.expired, RowDigest::of_first(id, 5));
}

#[test]
fn a_table_of_another_import_is_not_adopted_and_one_that_was_swapped_starts_afresh() {
    let mut house = House::new();
    ingest(&mut house, &["a", "b"], |_| Some(ingested()));
    let other = ImportName::new("other");
    let refused =
        wait(house.ledger.adopt(&other, BUCKET, Adoption { uuid: house.record().uuid, ..adoption(1, vec![]) }, at(1)));
    assert_eq!(refused.unwrap_err().code, "table_of_another_import");

    adopt(&house, adoption(6, vec![version("a", "1", 5, 0)]));
    let counts = house.counts(1);
    assert_eq!((counts.rows, counts.batches, house.record().committed_seq), (5, 0, 6));
    house.page(&["a", "b"].map(|key| object(key, "1", 5)));
    assert_eq!(house.rows("a", "1"), [5, 0, 0]);
    assert_eq!(keys(&house.claim_all(6_000)), ["b"], "that was in another table");
}

#[test]
fn what_a_restored_table_lacks_is_read_again_and_what_it_has_is_not() {
    let mut house = House::new();
    ingest(&mut house, &["a", "part"], |key| Some(if key == "a" { ingested() } else { partly() }));
    ingest(&mut house, &["b", "q"], |key| Some(if key == "b" { partly() } else { quarantined() }));
    let replay = house.revise(&Revision::Replay { files: keyed(&house, &[("part", "1")]) }, 2_000);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 2 }), 2_000);
    let third = ingest(&mut house, &["c", "d"], |_| Some(ingested()));
    house.page(&[object("d", "2", 9)]);
    assert_eq!((after(&house, 4), after(&house, 3)), (vec![], vec!["c".into()]));
    assert_eq!(after(&house, 1), ["b", "c", "q"], "d holds something else now, part was only replayed");

    assert_eq!(reread(&house, 1), 3);
    assert_eq!(reread(&house, 1), 0, "once more changes nothing");
    assert_eq!(after(&house, 1), ["b", "c", "q"], "and they are known still");
    let states = ["a 1", "part 1", "b 1", "q 1", "c 1", "d 1"].map(|object| house.state(object));
    assert_eq!(states, ["ingested", "ingested", "pending", "pending", "pending", "ingested"].map(str::to_owned));
    let counts = house.counts(3_000);
    assert_eq!((counts.rows, counts.rows_quarantined, counts.batches), (21, 2, 1));
    assert_eq!(house.record().committed_seq, 4);
    assert_eq!(house.rows("part", "1"), [7, 2, 0], "as before its replay");
    let states: Vec<_> = super::history_tests::page(&house, &super::history_tests::newest(9)).batches;
    let states: Vec<_> = states.iter().map(|batch| (batch.seq, batch.state.as_str())).collect();
    assert_eq!(states, [(4, "lost"), (3, "lost"), (2, "lost"), (1, "committed")]);
    let refused = house.try_revise(&Revision::Rollback { batch: third.id }, 1).unwrap_err();
    assert_eq!(refused.code, "no_such_batch");

    // The replayed rows are in neither table, nor is any row of d, whose key holds something else now.
    let restored = Adoption { uuid: house.record().uuid, restored: true, ..adoption(5, held(&house, [7, 0])) };
    let adopted = adopt(&house, restored.clone());
    let missing: Vec<_> = adopted.missing.iter().map(|missing| (missing.key.as_str(), missing.rows)).collect();
    assert_eq!((missing, adopted.pending), (vec![("part", 2), ("d", 7)], 0));
    assert_eq!(adopt(&house, restored), adopted, "once more changes nothing");
    assert_eq!((house.rows("part", "1"), house.rows("d", "1")), ([9, 0, 0], [7, 0, 0]), "they are missed");
    house.page(&[object("d", "2", 9)]);
    let batch = house.claim_all(3_000);
    assert_eq!((batch.seq, keys(&batch)), (6, vec!["b", "c", "q", "d"]));
    house.commit(&batch, |_| Some(partly()), 3_000);
    assert_eq!((house.rows("part", "1"), house.rows("b", "1")), ([9, 0, 0], [7, 2, 0]));
    assert_eq!((house.counts(1).rows, house.counts(1).rows_quarantined), (7 + 9 + 7 + 4 * 7, 4 * 2));
    // Whoever rebuilds accepts it.
    let accepted = Adoption { restored: false, ..adoption(6, held(&house, [7, 0])) };
    let adopted = adopt(&house, Adoption { uuid: house.record().uuid, ..accepted });
    assert_eq!((adopted.missing, adopted.without_rows), (vec![], 5), "the others are in no table of this test");
    assert_eq!((house.rows("part", "1"), house.rows("d", "1")), ([7, 0, 2], [0, 0, 7]));
}

/// What the restored table of that test has: a, and so many rows of part in either table.
fn held(house: &House, part: [u64; 2]) -> Vec<AdoptedVersion> {
    let uuid = house.record().uuid;
    let of = |key: &str, [rows, rows_quarantined]: [u64; 2]| {
        let id = ObjectVersionId::of(uuid, BUCKET, key, "1", 10);
        AdoptedVersion { id, ..version(key, "1", rows, rows_quarantined) }
    };
    vec![of("a", [7, 0]), of("part", part)]
}

#[test]
fn a_table_and_its_quarantine_that_were_both_restored_miss_nothing() {
    let mut house = House::new();
    ingest(&mut house, &["a", "part"], |key| Some(if key == "a" { ingested() } else { partly() }));
    let replay = house.revise(&Revision::Replay { files: keyed(&house, &[("part", "1")]) }, 2_000);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 2 }), 2_000);
    assert_eq!((reread(&house, 1), after(&house, 1)), (0, vec![]));
    let mut versions = held(&house, [7, 2]);
    versions.iter_mut().for_each(|version| version.digest = Some(RowDigest::of_first(version.id, 9)));
    let adopted = adopt(&house, Adoption { uuid: house.record().uuid, restored: true, ..adoption(3, versions) });
    assert_eq!((adopted.missing, adopted.pending, adopted.known), (vec![], 0, 2));
    assert_eq!(house.rows("part", "1"), [7, 2, 0]);
}

#[test]
fn a_reread_whose_adoption_never_came_is_known_to_a_rebuild() {
    let mut house = House::new();
    ingest(&mut house, &["a", "part"], |key| Some(if key == "a" { ingested() } else { partly() }));
    let replay = house.revise(&Revision::Replay { files: keyed(&house, &[("part", "1")]) }, 2_000);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 2 }), 2_000);
    reread(&house, 1);
    let rebuild = Adoption { uuid: house.record().uuid, ..adoption(3, held(&house, [7, 0])) };
    assert_eq!(adopt(&house, rebuild).missing.len(), 1);
}

#[test]
fn no_reread_counts_batches_of_a_table_that_was_adopted_before() {
    let mut house = House::new();
    for key in ["a", "b", "c"] {
        ingest(&mut house, &[key], |_| Some(ingested()));
    }
    reread(&house, 2);
    adopt(&house, adoption(1, vec![version("a", "1", 5, 0), version("b", "1", 5, 0), version("c", "1", 5, 0)]));
    ingest(&mut house, &["d"], |_| Some(ingested()));
    assert_eq!((after(&house, 1), reread(&house, 1)), (vec!["d".to_owned()], 1));
    assert_eq!((house.rows("b", "1"), house.rows("c", "1")), ([5, 0, 0], [5, 0, 0]));
}

#[test]
fn a_rebuild_takes_rows_from_the_account_that_the_table_has_no_more() {
    let mut house = House::new();
    ingest(&mut house, &["a", "gone"], |_| Some(partly()));
    let id = ObjectVersionId::of(house.record().uuid, BUCKET, "a", "1", 10);
    let found = AdoptedVersion { id, digest: Some(RowDigest::of_first(id, 9)), ..version("a", "1", 7, 2) };
    let rebuild = Adoption { uuid: house.record().uuid, ..adoption(4, vec![found]) };
    assert_eq!(adopt(&house, rebuild.clone()).without_rows, 1);
    assert_eq!((house.rows("gone", "1"), house.state("gone 1")), ([0, 0, 9], "ingested".into()));
    assert_eq!((house.counts(1).rows, house.counts(1).rows_quarantined), (7, 2));
    assert_eq!(adopt(&house, rebuild).without_rows, 0, "told once");
}

#[test]
fn a_lost_rollback_and_a_lost_replacement_leave_what_the_tables_have_and_miss_nothing() {
    let mut house = House::new();
    let first = ingest(&mut house, &["a", "q"], |key| Some(if key == "a" { partly() } else { quarantined() }));
    house.page(&[object("q", "2", 9)]);
    let better = house.claim_all(2_000);
    let mut all = results(&better, |_| Some(ingested()));
    let outcome = FileOutcome::Superseded { rows_quarantined: 4 };
    all.push(FileResult { id: better.supersedes[0].1.id, outcome, bytes: 0, duration_ms: 0 });
    house.try_stage(&better, &staged(all)).unwrap();
    wait(house.ledger.finalise(&house.import, 2, 1, at(2_000))).unwrap();
    let back = house.revise(&Revision::Rollback { batch: first.id }, 2_000);
    house.commit_revision(&back, |_| Some(FileOutcome::RolledBack { rows: 7, rows_quarantined: 2 }), 2_000);

    assert_eq!(after(&house, 1), ["q"], "the better one alone is read again");
    assert_eq!(reread(&house, 1), 1);
    let states = ["a 1", "q 1", "q 2"].map(|object| house.state(object));
    assert_eq!(states, ["skipped:rolled_back", "quarantined:replaced", "pending"].map(str::to_owned));
    assert_eq!((house.rows("a", "1"), house.rows("q", "1"), house.counts(1).rows), ([0, 0, 9], [0, 0, 4], 0));
    // The table was restored and its quarantine was not.
    let restored =
        Adoption { uuid: house.record().uuid, restored: true, ..adoption(4, held(&house, [0, 0])[..1].into()) };
    assert_eq!(adopt(&house, restored).missing, []);
    assert_eq!((house.state("a 1"), house.rows("a", "1")), ("ingested".into(), [7, 0, 2]));
}

#[test]
fn a_lost_expiry_leaves_the_rows_where_they_were() {
    let mut house = House::new();
    ingest(&mut house, &["a"], |_| Some(ingested()));
    let batch = house.revise(&Revision::Expiry { files: keyed(&house, &[("a", "1")]) }, 2_000);
    let digest = RowDigest::of_first(batch.files[0].0.id, 7);
    house.commit_revision(&batch, |_| Some(FileOutcome::Expired { rows: 7, digest }), 2_000);
    assert_eq!((house.counts(1).rows, after(&house, 1)), (0, vec![]));
    assert_eq!(reread(&house, 1), 0);
    assert_eq!((house.state("a 1"), house.rows("a", "1"), house.counts(1).rows), ("ingested".into(), [7, 0, 0], 7));
}

#[test]
fn a_staged_batch_is_lost_with_the_others_and_what_it_may_have_left_is_known() {
    let mut house = House::new();
    ingest(&mut house, &["a"], |_| Some(ingested()));
    ingest(&mut house, &["b"], |_| Some(ingested()));
    house.page(&[object("c", "1", 9), object("d", "1", 9)]);
    let open = house.claim_all(3_000);
    house.try_stage(&open, &staged(results(&open, |key| (key == "c").then(partly)))).unwrap();
    assert_eq!(after(&house, 1), ["b", "c"]);
    assert_eq!(reread(&house, 1), 1);
    assert_eq!((after(&house, 1), house.record().open_batch), (vec!["b".into(), "c".into()], None));
    assert_eq!(keys(&house.claim_all(3_001)), ["b", "c", "d"]);
}

#[test]
fn people_see_what_is_known_of_a_key_and_of_all_objects() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    adopt(&house, adoption(1, vec![version("unseen", "1", 3, 0)]));
    ingest(&mut house, &["a", "b"], |key| Some(if key == "a" { partly() } else { failed() }));
    house.page(&[object("never", "1", 9), object("a", "2", 9)]);
    let reader = LedgerReader::open(dir.path()).unwrap().unwrap();
    let import = house.import.clone();
    let versions = reader.versions_of(&import, "a").unwrap().unwrap();
    let seen: Vec<_> = versions.iter().map(|v| (v.etag.as_str(), v.state.as_str(), v.results.len())).collect();
    assert_eq!(seen, [("1", "ingested", 1), ("2", "skipped", 0)]);
    assert_eq!(
        (versions[0].bucket.as_str(), versions[0].first_seen, versions[1].reason.as_deref()),
        (BUCKET, at(1_000), Some("overwrite"))
    );
    let result = &versions[0].results[0];
    assert_eq!((result.state.as_str(), result.file.rows, result.ended_at), ("committed", 7, Some(at(2_000))));
    assert_eq!(reader.versions_of(&import, "nobody").unwrap(), Some(vec![]));

    let mut all = Vec::new();
    while let Some((position, known)) =
        reader.accounts(&import, all.last().map(|(position, _)| *position), 1).unwrap().unwrap().pop()
    {
        all.push((position, known));
    }
    let seen: Vec<_> =
        all.iter().map(|(_, known)| (known.key.as_str(), known.state.as_str(), known.account.read)).collect();
    assert_eq!(seen, [("unseen", "ingested", 3), ("a", "ingested", 9), ("b", "failed", 0)]);
    let keys = reader.keys(&import, &["a".into(), "never".into(), "nobody".into()]).unwrap().unwrap();
    assert_eq!(
        keys.iter().map(|(key, known)| (key.as_str(), known.len())).collect::<Vec<_>>(),
        [("a", 2), ("never", 1)]
    );
    assert_eq!(reader.committed_seq(&import).unwrap(), Some((2, None)));
    house.claim_all(9_000);
    assert_eq!(reader.committed_seq(&import).unwrap(), Some((2, Some("claimed"))));
    assert_eq!(reader.versions_of(&ImportName::new("nobody"), "a").unwrap(), None);
}
