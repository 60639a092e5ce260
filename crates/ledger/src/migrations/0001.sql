-- The ledger's first schema. Times are microseconds since the epoch, sizes and amounts of data are bytes.
-- Object states: pending, claimed, ingested, failed, skipped, deferred, gone.
-- Batch states: claimed, staged (both: open), committed, abandoned, settled.

CREATE TABLE import (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    uuid BLOB NOT NULL UNIQUE,
    bucket INTEGER REFERENCES bucket (id),            -- the one that is read now; set with the row itself
    table_created INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0,
    table_schema TEXT,                                -- JSON
    reference TEXT,                                   -- JSON
    committed_seq INTEGER NOT NULL DEFAULT 0,
    tick_started INTEGER,
    tick_claimed INTEGER NOT NULL DEFAULT 0,
    watermark_time INTEGER,
    watermark_key TEXT,
    row_count INTEGER NOT NULL DEFAULT 0,             -- of ingested files
    byte_count INTEGER NOT NULL DEFAULT 0,            -- of ingested files, as read
    rejected_count INTEGER NOT NULL DEFAULT 0,        -- rows, of failed files
    batch_count INTEGER NOT NULL DEFAULT 0,           -- committed
    late_count INTEGER NOT NULL DEFAULT 0,
    last_scan_at INTEGER,
    last_commit_at INTEGER
) STRICT;

-- An import that is pointed at another bucket keeps the history of the first one.
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY,
    import INTEGER NOT NULL REFERENCES import (id),
    name TEXT NOT NULL,
    UNIQUE (import, name)
) STRICT;

CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    import INTEGER NOT NULL REFERENCES import (id),
    seq INTEGER NOT NULL,
    uuid BLOB NOT NULL UNIQUE,
    label TEXT NOT NULL,                              -- the batch id that people see
    state TEXT NOT NULL CHECK (state IN ('claimed', 'staged', 'committed', 'abandoned', 'settled')),
    files INTEGER NOT NULL,                           -- claimed
    row_count INTEGER NOT NULL DEFAULT 0,             -- staged
    byte_count INTEGER NOT NULL DEFAULT 0,            -- read from S3, of all its files
    table_version INTEGER,
    claimed_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE UNIQUE INDEX batch_open ON batch (import) WHERE state IN ('claimed', 'staged');
CREATE UNIQUE INDEX batch_committed ON batch (import, seq) WHERE state = 'committed';
CREATE INDEX batch_history ON batch (import, id);

-- One row for each object version. Its id, a hash, is computed from these columns when it is needed.
CREATE TABLE object (
    id INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL REFERENCES bucket (id),
    key TEXT NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'claimed', 'ingested', 'failed', 'skipped', 'deferred', 'gone')),
    reason TEXT,                                      -- of a state that no batch brought about
    reclaimed INTEGER NOT NULL DEFAULT 0,             -- 1: given back by a batch, its next claim is free
    attempts INTEGER NOT NULL DEFAULT 0,              -- reads that were deferred
    not_before INTEGER CHECK (not_before IS NULL OR state IN ('pending', 'claimed')),
    batch INTEGER REFERENCES batch (id),              -- the last one that claimed it, unless it gave it back
    first_seen INTEGER NOT NULL,
    CHECK (state <> 'claimed' OR batch IS NOT NULL)
) STRICT;
-- Which versions of a key are known? Also the guard that none is known twice.
CREATE UNIQUE INDEX object_identity ON object (bucket, key, etag, size);
-- Where does the watermark go? (last-modified, key) is the order of discovery.
CREATE INDEX object_position ON object (bucket, last_modified, key);
CREATE INDEX object_claimed ON object (bucket, last_modified, key) WHERE state = 'claimed';
-- What is claimed next? Both hold nothing but the backlog.
CREATE INDEX object_fresh ON object (bucket, last_modified, key) WHERE state = 'pending' AND not_before IS NULL;
CREATE INDEX object_due ON object (bucket, not_before, last_modified, key, size)
    WHERE state = 'pending' AND not_before IS NOT NULL;
CREATE INDEX object_failed ON object (bucket, batch) WHERE state = 'failed';
CREATE INDEX object_batch ON object (batch) WHERE batch IS NOT NULL;

-- How files of a batch ended. Takes effect on the object when the batch is committed or settled.
CREATE TABLE file_result (
    batch INTEGER NOT NULL REFERENCES batch (id),
    object INTEGER NOT NULL REFERENCES object (id),
    ordinal INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ingested', 'failed', 'deferred', 'gone')),
    row_count INTEGER NOT NULL,                       -- ingested; rejected, if it failed
    byte_count INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    code TEXT,
    message TEXT,
    not_before INTEGER,
    PRIMARY KEY (batch, object)
) STRICT, WITHOUT ROWID;

CREATE TABLE staged_file (
    batch INTEGER NOT NULL REFERENCES batch (id),
    ordinal INTEGER NOT NULL,
    path TEXT NOT NULL,
    byte_count INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    stats TEXT NOT NULL,                              -- emptied once the table has it
    PRIMARY KEY (batch, ordinal)
) STRICT, WITHOUT ROWID;

-- Counts of objects, kept by the triggers below so that no page or metric ever counts a million rows.
CREATE TABLE tally (
    bucket INTEGER NOT NULL REFERENCES bucket (id),
    state TEXT NOT NULL,
    waiting INTEGER NOT NULL,                         -- 1: has a not_before
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (bucket, state, waiting)
) STRICT, WITHOUT ROWID;

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
