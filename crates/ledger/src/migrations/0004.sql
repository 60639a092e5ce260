-- What a data source read when it was last accepted: a name alone does not tell whether an import is still the same one.

CREATE TABLE origin (
    name TEXT PRIMARY KEY,                            -- of the import, which need not have been opened yet
    bucket TEXT NOT NULL,
    uri TEXT NOT NULL                                 -- IMPORT_BUCKET_URI
) STRICT;
