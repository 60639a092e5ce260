-- Quarantine, a schema that evolves, the guard, a history by outcome.
-- Two tables are rebuilt, because SQLite cannot alter a CHECK. So this runs with foreign keys off, and they are checked
-- before the transaction ends.

-- Rows of version 1 that did not fit were counted and are nowhere: they are not in quarantine, so nothing is carried over.
ALTER TABLE import DROP COLUMN rejected_count;
ALTER TABLE import ADD COLUMN quarantined_count INTEGER NOT NULL DEFAULT 0;     -- rows
ALTER TABLE import ADD COLUMN guard_reason TEXT CHECK (guard_reason IS NULL OR paused = 1);
ALTER TABLE import ADD COLUMN guard_waived INTEGER NOT NULL DEFAULT 0;          -- 1: the next batch is not judged
ALTER TABLE import ADD COLUMN streak_files INTEGER NOT NULL DEFAULT 0;          -- in a row that went to quarantine as a whole
ALTER TABLE import ADD COLUMN streak_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE import ADD COLUMN reference_key TEXT;                               -- of the file in `reference`
UPDATE import SET reference_key = reference ->> '$.key' WHERE reference IS NOT NULL;

ALTER TABLE batch ADD COLUMN quarantined_count INTEGER NOT NULL DEFAULT 0;      -- rows, staged
ALTER TABLE batch ADD COLUMN added TEXT NOT NULL DEFAULT '[]';                  -- JSON: columns that its commit adds
ALTER TABLE batch ADD COLUMN quarantine_added TEXT NOT NULL DEFAULT '[]';       -- JSON: the same, to the quarantine table

ALTER TABLE staged_file ADD COLUMN kind TEXT NOT NULL DEFAULT 'table' CHECK (kind IN ('table', 'quarantine'));
ALTER TABLE staged_file ADD COLUMN partition TEXT;

CREATE TABLE schema_version (
    import INTEGER NOT NULL REFERENCES import (id),
    version INTEGER NOT NULL,                         -- from 1
    at INTEGER NOT NULL,
    batch INTEGER REFERENCES batch (id),              -- whose commit brought it; none for version 1
    changes TEXT NOT NULL,                            -- JSON
    evidence TEXT NOT NULL,                           -- JSON; of the reference file, with version 1 only
    PRIMARY KEY (import, version)
) STRICT, WITHOUT ROWID;

-- When a table was created is not known any more; its first batch was claimed next to that.
INSERT INTO schema_version (import, version, at, changes, evidence)
    SELECT import.id, 1, (SELECT MIN(claimed_at) FROM batch WHERE batch.import = import.id),
        (SELECT json_group_array(json_object(
            'column', value ->> '$.name',
            'type', iif(value ->> '$.nullable', 'Nullable(' || (value ->> '$.type') || ')', value ->> '$.type'),
            'key', NULL) ORDER BY json_each.key)
         FROM json_each(import.table_schema)),
        '[]'
    FROM import WHERE table_created = 1 AND table_schema IS NOT NULL
        AND EXISTS (SELECT 1 FROM batch WHERE batch.import = import.id);
-- A table that never had a batch is noted again when its import starts, and that is its version 1.
UPDATE import SET table_created = 0
    WHERE table_created = 1 AND NOT EXISTS (SELECT 1 FROM schema_version WHERE schema_version.import = import.id);

CREATE TABLE file_result_new (
    batch INTEGER NOT NULL REFERENCES batch (id),
    object INTEGER NOT NULL REFERENCES object (id),
    ordinal INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ingested', 'quarantined', 'failed', 'deferred', 'gone')),
    row_count INTEGER NOT NULL CHECK (row_count = 0 OR outcome = 'ingested'),
    quarantined_count INTEGER NOT NULL CHECK (quarantined_count = 0 OR outcome IN ('ingested', 'quarantined')),
    byte_count INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    code TEXT,
    message TEXT,
    not_before INTEGER,
    PRIMARY KEY (batch, object)
) STRICT, WITHOUT ROWID;
INSERT INTO file_result_new
    SELECT batch, object, ordinal, outcome, iif(outcome = 'ingested', row_count, 0), 0, byte_count, duration_ms, code,
        message, not_before
    FROM file_result;
DROP TABLE file_result;
ALTER TABLE file_result_new RENAME TO file_result;

-- Which batches have a file of this outcome? One row for each outcome of a batch.
CREATE TABLE batch_outcome (
    import INTEGER NOT NULL REFERENCES import (id),
    outcome TEXT NOT NULL,
    batch INTEGER NOT NULL REFERENCES batch (id),
    PRIMARY KEY (import, outcome, batch)
) STRICT, WITHOUT ROWID;
INSERT INTO batch_outcome
    SELECT DISTINCT batch.import, file_result.outcome, batch.id
    FROM file_result JOIN batch ON batch.id = file_result.batch;

CREATE TABLE object_new (
    id INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL REFERENCES bucket (id),
    key TEXT NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (
        state IN ('pending', 'claimed', 'ingested', 'quarantined', 'failed', 'skipped', 'deferred', 'gone')),
    reason TEXT,                                      -- of a state that no batch brought about; or 'replaced'
    reclaimed INTEGER NOT NULL DEFAULT 0,             -- 1: given back by a batch, its next claim is free
    attempts INTEGER NOT NULL DEFAULT 0,              -- reads that were deferred
    not_before INTEGER CHECK (not_before IS NULL OR state IN ('pending', 'claimed')),
    batch INTEGER REFERENCES batch (id),              -- the last one that claimed it, unless it gave it back
    place INTEGER,                                    -- in that batch, from 0: the order of the claim
    first_seen INTEGER NOT NULL,
    CHECK (state <> 'claimed' OR batch IS NOT NULL)
) STRICT;
-- 'replaced': it failed, or went to quarantine as a whole, and a later version of its key was ingested.
INSERT INTO object_new
    SELECT id, bucket, key, etag, size, last_modified, state,
        iif(state = 'failed' AND EXISTS (
            SELECT 1 FROM object AS later
            WHERE later.bucket = object.bucket AND later.key = object.key AND later.state = 'ingested'
        ), 'replaced', reason),
        reclaimed, attempts, not_before, batch, NULL, first_seen
    FROM object;
-- Its indexes and triggers go with it. The tallies stay as they are: no object changes its state here.
DROP TABLE object;
ALTER TABLE object_new RENAME TO object;

-- As in the first schema, but for object_failed.
CREATE UNIQUE INDEX object_identity ON object (bucket, key, etag, size);
CREATE INDEX object_position ON object (bucket, last_modified, key);
CREATE INDEX object_claimed ON object (bucket, last_modified, key) WHERE state = 'claimed';
CREATE INDEX object_fresh ON object (bucket, last_modified, key) WHERE state = 'pending' AND not_before IS NULL;
CREATE INDEX object_due ON object (bucket, not_before, last_modified, key, size)
    WHERE state = 'pending' AND not_before IS NOT NULL;
CREATE INDEX object_failed ON object (bucket, batch) WHERE state IN ('failed', 'quarantined') AND reason IS NULL;
CREATE INDEX object_batch ON object (batch) WHERE batch IS NOT NULL;

CREATE TRIGGER object_added AFTER INSERT ON object BEGIN
    INSERT INTO tally (bucket, state, waiting, files, bytes)
        VALUES (new.bucket, new.state, new.not_before IS NOT NULL, 1, new.size)
        ON CONFLICT (bucket, state, waiting) DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER object_moved AFTER UPDATE OF state, not_before ON object
WHEN old.state <> new.state OR (old.not_before IS NULL) <> (new.not_before IS NULL) BEGIN
    UPDATE tally SET files = files - 1, bytes = bytes - old.size
        WHERE bucket = old.bucket AND state = old.state AND waiting = (old.not_before IS NOT NULL);
    INSERT INTO tally (bucket, state, waiting, files, bytes)
        VALUES (new.bucket, new.state, new.not_before IS NOT NULL, 1, new.size)
        ON CONFLICT (bucket, state, waiting) DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
END;
