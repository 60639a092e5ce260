//! What an object version's state in the ledger means.

use super::{Inquiry, Said, Verdict, format_unknown, skipped};
use crate::known::{KnownResult, KnownVersion};
use crate::object::SkipReason;
use crate::revision::BatchKind;

/// Whether rows of it were committed and not taken back.
pub(super) fn has_rows(version: &KnownVersion) -> bool {
    matches!(version.state.as_str(), "ingested" | "quarantined")
}

/// The version that the bucket has now, by its state.
pub(super) fn of(inquiry: &Inquiry<'_>, version: &KnownVersion, versions: &[&KnownVersion]) -> Said {
    match version.state.as_str() {
        "pending" => pending(inquiry, version),
        "claimed" => claimed(inquiry, version),
        "ingested" => ingested(inquiry, version),
        "quarantined" => quarantined(inquiry, version),
        "failed" => failed(inquiry, version),
        "skipped" => skip(inquiry, version, versions),
        "deferred" => {
            let because = "it lies in an archive (its storage class says so), and cannot be read from there";
            let next = "once it was restored, the next scan sees that and it is read";
            Said::new(Verdict::Archived, because, next)
        }
        _ => gone(inquiry, version),
    }
}

fn pending(inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let claim = inquiry.standing.next_claim(inquiry.spec, inquiry.now);
    let mut said = match (version.not_before, last(version)) {
        _ if version.suspect => {
            let because = "the process died while it was being read, so it is read alone next time, and first by a process \
                           of its own";
            Said::new(Verdict::Suspect, because, claim)
        }
        (Some(not_before), _) if not_before > inquiry.now => {
            let because = match troubled(version) {
                Some((code, message)) => format!("it could not be read, {} so far: {code}: {message}", tries(version)),
                None => "it was not what its listing said, and is given time".to_owned(),
            };
            let next = match inquiry.standing.obstacle(inquiry.spec) {
                Some(obstacle) => obstacle,
                None => format!("it is tried again from {not_before} on"),
            };
            Said::new(Verdict::Deferred, because, next).command(inquiry.about_key("datasource retry"))
        }
        (_, last) => {
            let because = match inquiry.standing.ahead {
                _ if last.is_some_and(|result| result.state == "lost") => {
                    "the table was restored to a state before its batch, so it is read again".to_owned()
                }
                Some(0) => format!("it was seen at {} and is the next one to be claimed", version.first_seen),
                Some(ahead) => {
                    let files = if ahead == 1 { "file" } else { "files" };
                    format!("it was seen at {} and waits for its turn: {ahead} {files} before it", version.first_seen)
                }
                None => format!("it was seen at {} and waits for its turn", version.first_seen),
            };
            Said::new(Verdict::Pending, because, claim)
        }
    };
    if version.strikes > 0 {
        said.details
            .push(format!("a process of its own has died over it {} times; three times set it aside", version.strikes));
    }
    said
}

fn tries(version: &KnownVersion) -> String {
    format!("{} {}", version.attempts, if version.attempts == 1 { "time" } else { "times" })
}

fn claimed(inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let (because, next) = match &inquiry.standing.open_batch {
        Some((batch, true)) => (
            format!("batch {batch} has read it and is being committed now"),
            "its rows are in the table as soon as the commit has landed",
        ),
        Some((batch, false)) => {
            (format!("batch {batch} is reading it now"), "its rows are in the table as soon as the batch is committed")
        }
        None => ("a batch is reading it now".to_owned(), "its rows are in the table as soon as the batch is committed"),
    };
    let next = match inquiry.standing.obstacle(inquiry.spec) {
        Some(obstacle) if matches!(inquiry.standing.running, super::Running::No) => {
            format!("the batch was interrupted; the next start goes on from there: {obstacle}")
        }
        _ => next.to_owned(),
    };
    last_trouble(Said::new(Verdict::Claimed, because, next), version)
}

fn ingested(inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let account = &version.account;
    let replays = committed(version).filter(|result| result.kind == BatchKind::Replay);
    let replay = replays.last();
    let expired = committed(version).any(|result| result.kind == BatchKind::Expiry);
    let verdict = match account {
        _ if expired => Verdict::Expired,
        _ if account.in_quarantine > 0 && account.in_table == 0 => Verdict::Quarantined,
        _ if account.in_quarantine > 0 => Verdict::PartlyQuarantined,
        _ if replay.is_some() => Verdict::Replayed,
        _ => Verdict::Ingested,
    };
    let because = format!("it was ingested{}", by(version));
    let mut said = rows(Said::new(verdict, because, "nothing: it is done with"), inquiry, version);
    if let Some(replay) = replay {
        let rows = replay.file.rows;
        said.details.push(format!("{} moved from quarantine into the table{}", count(rows), at(replay)));
    }
    if expired {
        said.details.push(format!("{} left the table because ENGINE_TTL has let them expire", count(account.removed)));
    }
    said
}

fn quarantined(inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let because = match troubled(version) {
        Some((code, message)) => format!("it does not fit the table as a whole: {code}: {message}"),
        None => "it does not fit the table as a whole".to_owned(),
    };
    if matches!(version.reason.as_deref(), Some("replaced" | "superseded")) {
        let next = "nothing: what was in quarantine of it has been removed";
        return last_trouble(Said::new(Verdict::Superseded, SUPERSEDED, next), version);
    }
    let next = "its rows wait in quarantine until they are replayed, or a new version of it is put there";
    let said = Said::new(Verdict::Quarantined, because, next).detail(format!("it was read{}", by(version)));
    rows(said, inquiry, version)
}

const SUPERSEDED: &str = "a later version of its key was ingested and took its place";

fn failed(inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let (code, message) = troubled(version).unwrap_or(("unknown", "the ledger does not say why"));
    if matches!(version.reason.as_deref(), Some("replaced" | "superseded")) {
        return last_trouble(Said::new(Verdict::Superseded, SUPERSEDED, "nothing: it is not read again"), version);
    }
    let next = "nothing until it is retried, or a new version of it is put there";
    let said = match version.strikes {
        0 => Said::new(Verdict::Failed, format!("it cannot be read{}: {code}: {message}", by(version)), next),
        strikes => {
            let because = format!("{strikes} processes died over it, so it was set aside: {code}: {message}");
            Said::new(Verdict::Poison, because, next)
        }
    };
    said.command(inquiry.about_key("datasource retry"))
}

fn skip(inquiry: &Inquiry<'_>, version: &KnownVersion, versions: &[&KnownVersion]) -> Said {
    match version.reason.as_deref() {
        Some("overwrite") => {
            let earlier = versions.iter().find(|other| other.id != version.id && has_rows(other));
            let because = match earlier {
                Some(earlier) => format!(
                    "an earlier version of it was ingested{}, and IMPORT_ON_OVERWRITE was ignore when this one came",
                    by(earlier)
                ),
                None => "an earlier version of it was ingested, and IMPORT_ON_OVERWRITE was ignore".to_owned(),
            };
            let next = "it is not read; with IMPORT_ON_OVERWRITE append the next version of it would be";
            Said::new(Verdict::Overwritten, because, next)
        }
        Some("rolled_back") => {
            let rollback = committed(version).filter(|result| result.kind == BatchKind::Rollback).last();
            let because = match rollback {
                Some(rollback) => format!("its rows were rolled back{}", at(rollback)),
                None => "its rows were rolled back".to_owned(),
            };
            let next = "it is not read again until it is asked for";
            Said::new(Verdict::RolledBack, because, next).command(inquiry.about_key("datasource retry"))
        }
        reason => {
            let known = [SkipReason::DirectoryMarker, SkipReason::Hidden, SkipReason::Empty, SkipReason::UnknownFormat];
            let reason = known.into_iter().find(|known| Some(known.code()) == reason);
            let newly = skipped(inquiry, reason.or_else(|| SkipReason::of_listing(inquiry.key, version.size)));
            newly.unwrap_or_else(|| format_unknown(inquiry))
        }
    }
}

fn gone(inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let because = match version.reason.as_deref() {
        Some("superseded") => "a scan saw another version of it before this one was read".to_owned(),
        Some("bucket_changed") => "the import was pointed at another bucket before it was read".to_owned(),
        _ => "it had vanished or changed when it was to be read".to_owned(),
    };
    let next = inquiry.standing.next_scan(inquiry.spec, inquiry.now);
    last_trouble(Said::new(Verdict::Gone, because, next), version)
}

/// Where its rows are, and how to look at them.
pub(super) fn rows(mut said: Said, inquiry: &Inquiry<'_>, version: &KnownVersion) -> Said {
    let account = &version.account;
    said.details.push(format!(
        "{} read: {} in the table, {} in quarantine, {} removed on purpose",
        count(account.read),
        account.in_table,
        account.in_quarantine,
        account.removed
    ));
    if account.in_quarantine > 0 {
        said = said.command(inquiry.about_key("quarantine show")).command(inquiry.about_key("quarantine replay"));
    }
    said
}

/// What went wrong with it last, if anything did.
pub(super) fn last_trouble(said: Said, version: &KnownVersion) -> Said {
    match troubled(version) {
        Some((code, message)) => said.detail(format!("the last read of it ended so: {code}: {message}")),
        None => said,
    }
}

/// ` by batch X at T`: the last batch that brought it.
pub(super) fn by(version: &KnownVersion) -> String {
    let brought = |result: &&KnownResult| result.kind == BatchKind::Ingest;
    version.results.iter().rev().find(brought).map_or(String::new(), at)
}

fn at(result: &KnownResult) -> String {
    let when = result.ended_at.map_or(String::new(), |at| format!(" at {at}"));
    format!(" by batch {}{when}", result.batch)
}

fn committed(version: &KnownVersion) -> impl Iterator<Item = &KnownResult> {
    version.results.iter().filter(|result| result.state == "committed")
}

fn last(version: &KnownVersion) -> Option<&KnownResult> {
    version.results.last()
}

fn troubled(version: &KnownVersion) -> Option<(&str, &str)> {
    let of = |result: &'_ KnownResult| result.file.code.is_some();
    let result = version.results.iter().rev().find(|result| of(result))?;
    Some((result.file.code.as_deref()?, result.file.message.as_deref().unwrap_or("")))
}

fn count(rows: u64) -> String {
    format!("{rows} {}", if rows == 1 { "row" } else { "rows" })
}
