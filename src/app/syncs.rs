//! The syncs that were asked for through the API, so that whoever asked can learn how each of them ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_actors::messages::control::SyncSummary;
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use serde_json::{Value, json};

/// As many are remembered; who comes later learns that it is not known.
const KEPT: usize = 1_000;

/// See the module. Clones share what they remember.
#[derive(Clone, Default)]
pub struct Syncs(Arc<Mutex<VecDeque<Asked>>>);

struct Asked {
    id: String,
    import: ImportName,
    /// `None` while it runs.
    result: Option<Result<SyncSummary, Failure>>,
}

impl Syncs {
    /// Notes a sync that begins, and returns its id.
    pub fn begin(&self, import: &ImportName) -> String {
        let id = format!("{:016x}", fastrand::u64(..));
        let mut all = self.all();
        if all.len() >= KEPT {
            all.pop_front();
        }
        all.push_back(Asked { id: id.clone(), import: import.clone(), result: None });
        id
    }

    /// Notes how it ended.
    pub fn end(&self, id: &str, result: Result<SyncSummary, Failure>) {
        if let Some(asked) = self.all().iter_mut().find(|asked| asked.id == id) {
            asked.result = Some(result);
        }
    }

    /// What there is to say of it: `{"id", "import", "state": "running" | "done" | "failed", "summary", "error"}`; `None`
    /// if this process was not asked for it, or too long ago.
    pub fn of(&self, import: &ImportName, id: &str) -> Option<Value> {
        let all = self.all();
        let asked = all.iter().find(|asked| asked.id == id && asked.import == *import)?;
        let (state, summary, error) = match &asked.result {
            None => ("running", Value::Null, Value::Null),
            Some(Ok(summary)) => ("done", as_json(summary), Value::Null),
            Some(Err(Failure { class, code, message })) => {
                ("failed", Value::Null, json!({ "class": class, "code": code, "message": message }))
            }
        };
        Some(json!({ "id": id, "import": import, "state": state, "summary": summary, "error": error }))
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counts of a sync.
fn as_json(summary: &SyncSummary) -> Value {
    json!({
        "batches": summary.batches,
        "files": summary.files_ingested,
        "files_quarantined": summary.files_quarantined,
        "files_failed": summary.files_failed,
        "files_deferred": summary.files_deferred,
        "rows": summary.rows,
        "rows_quarantined": summary.rows_quarantined,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_found_by_its_id_until_it_is_forgotten() {
        let (syncs, orders) = (Syncs::default(), ImportName::new("orders"));
        let id = syncs.begin(&orders);
        let state = |id: &str| syncs.of(&orders, id).map(|sync| sync["state"].clone());
        assert_eq!(state(&id), Some(json!("running")));
        assert_eq!(syncs.of(&ImportName::new("visits"), &id), None);
        syncs.end(&id, Ok(SyncSummary { rows: 7, ..SyncSummary::default() }));
        assert_eq!(syncs.of(&orders, &id).expect("known")["summary"]["rows"], 7);
        let failed = syncs.begin(&orders);
        syncs.end(&failed, Err(Failure::transient("no_answer", "gone")));
        let told = syncs.of(&orders, &failed).expect("known");
        assert_eq!((&told["state"], &told["error"]["code"]), (&json!("failed"), &json!("no_answer")));
        for _ in 0..KEPT {
            syncs.begin(&orders);
        }
        assert_eq!(state(&id), None);
    }
}
