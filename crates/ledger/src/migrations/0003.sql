-- Batches of several kinds, where the rows of an object version are, suspects, overwritten keys that are read.
-- Two tables are rebuilt, because SQLite cannot alter a CHECK: see 0002.
-- Batch states are now: claimed, staged (both: open), committed, abandoned, settled, lost.

ALTER TABLE import ADD COLUMN overwrite TEXT NOT NULL DEFAULT 'ignore' CHECK (overwrite IN ('ignore', 'append'));
ALTER TABLE import ADD COLUMN reread_reason TEXT CHECK (reread_reason IS NULL OR paused = 1);
ALTER TABLE import ADD COLUMN reread_waived INTEGER NOT NULL DEFAULT 0;         -- 1: the next scan lets all new versions in
ALTER TABLE import ADD COLUMN quarantine_seq INTEGER;                           -- of the last batch with a part in quarantine, 0: none yet
ALTER TABLE import ADD COLUMN passed_over INTEGER NOT NULL DEFAULT 0;           -- batches in a row that left a suspect waiting

CREATE TABLE batch_new (
    id INTEGER PRIMARY KEY,
    import INTEGER NOT NULL REFERENCES import (id),
    seq INTEGER NOT NULL,
    uuid BLOB NOT NULL UNIQUE,
    label TEXT NOT NULL,                              -- the batch id that people see
    kind TEXT NOT NULL CHECK (kind IN ('ingest', 'replay', 'rollback', 'expiry')),
    state TEXT NOT NULL CHECK (state IN ('claimed', 'staged', 'committed', 'abandoned', 'settled', 'lost')),
    files INTEGER NOT NULL,                           -- claimed
    row_count INTEGER NOT NULL DEFAULT 0,             -- staged for the table
    quarantined_count INTEGER NOT NULL DEFAULT 0,     -- staged for quarantine
    byte_count INTEGER NOT NULL DEFAULT 0,            -- read from S3, of all its files
    table_version INTEGER,
    claimed_at INTEGER NOT NULL,
    ended_at INTEGER,
    added TEXT NOT NULL DEFAULT '[]',                 -- JSON: columns that its commit adds
    quarantine_added TEXT NOT NULL DEFAULT '[]',      -- JSON: the same, to the quarantine table
    removes TEXT NOT NULL DEFAULT 'null',             -- JSON: rows that leave the table
    quarantine_removes TEXT NOT NULL DEFAULT 'null'   -- JSON: rows that leave quarantine
) STRICT;
INSERT INTO batch_new (id, import, seq, uuid, label, kind, state, files, row_count, quarantined_count, byte_count,
        table_version, claimed_at, ended_at, added, quarantine_added)
    SELECT id, import, seq, uuid, label, 'ingest', state, files, row_count, quarantined_count, byte_count,
        table_version, claimed_at, ended_at, added, quarantine_added
    FROM batch;
DROP TABLE batch;
ALTER TABLE batch_new RENAME TO batch;
CREATE UNIQUE INDEX batch_open ON batch (import) WHERE state IN ('claimed', 'staged');
CREATE UNIQUE INDEX batch_committed ON batch (import, seq) WHERE state = 'committed';
CREATE INDEX batch_history ON batch (import, id);
-- Which batch is meant by the id that people see?
CREATE INDEX batch_label ON batch (import, label);
-- Which batches lies the table behind?
CREATE INDEX batch_lost ON batch (import, seq) WHERE state = 'lost';

CREATE TABLE file_result_new (
    batch INTEGER NOT NULL REFERENCES batch (id),
    object INTEGER NOT NULL REFERENCES object (id),
    ordinal INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN (
        'ingested', 'quarantined', 'failed', 'deferred', 'gone', 'replayed', 'rolled_back', 'superseded', 'expired')),
    row_count INTEGER NOT NULL CHECK (row_count = 0 OR outcome IN ('ingested', 'replayed')),
    quarantined_count INTEGER NOT NULL CHECK (quarantined_count = 0 OR outcome IN ('ingested', 'quarantined')),
    removed_count INTEGER NOT NULL                    -- rows that left the table
        CHECK (removed_count = 0 OR outcome IN ('rolled_back', 'expired')),
    removed_quarantined_count INTEGER NOT NULL        -- rows that left quarantine
        CHECK (removed_quarantined_count = 0 OR outcome IN ('replayed', 'rolled_back', 'superseded')),
    expired BLOB,                                     -- the sum of the fingerprints of the rows that expired
    byte_count INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    code TEXT,
    message TEXT,
    not_before INTEGER,
    PRIMARY KEY (batch, object)
) STRICT, WITHOUT ROWID;
INSERT INTO file_result_new
    SELECT batch, object, ordinal, outcome, row_count, quarantined_count, 0, 0, NULL, byte_count, duration_ms, code,
        message, not_before
    FROM file_result;
DROP TABLE file_result;
ALTER TABLE file_result_new RENAME TO file_result;
-- What became of an object version in its batches? Its account is their sum.
CREATE INDEX file_result_object ON file_result (object);

-- What the tables said of an object version when they were asked; stands for all results up to that batch.
CREATE TABLE adopted (
    object INTEGER PRIMARY KEY REFERENCES object (id),
    batch INTEGER NOT NULL,                           -- the newest one of the ledger then, 0 for none
    row_count INTEGER NOT NULL,
    quarantined_count INTEGER NOT NULL,
    removed_count INTEGER NOT NULL,
    expired BLOB NOT NULL
) STRICT;

-- Object versions that the open batch concerns and that it has not claimed: those whose rows it revises.
CREATE TABLE member (
    batch INTEGER NOT NULL REFERENCES batch (id),
    object INTEGER NOT NULL REFERENCES object (id),
    PRIMARY KEY (batch, object)
) STRICT, WITHOUT ROWID;

-- Files of the open batch whose bytes are being parsed.
CREATE TABLE reading (
    batch INTEGER NOT NULL REFERENCES batch (id),
    object INTEGER NOT NULL REFERENCES object (id),
    PRIMARY KEY (batch, object)
) STRICT, WITHOUT ROWID;

ALTER TABLE object ADD COLUMN suspect INTEGER NOT NULL DEFAULT 0;               -- 1: it was being read when the process died
ALTER TABLE object ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;               -- deaths of a child process over it
-- The id of a version that only the tables know, so that ETag and size are missing; a listing that shows it fills them in.
ALTER TABLE object ADD COLUMN version BLOB;
CREATE INDEX object_suspect ON object (bucket, not_before, last_modified, key) WHERE suspect = 1 AND state = 'pending';
-- New versions of ingested keys that wait for the end of the scan.
CREATE INDEX object_held ON object (bucket) WHERE state = 'deferred' AND reason = 'overwrite';
