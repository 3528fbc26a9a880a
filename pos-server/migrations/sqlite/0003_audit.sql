-- The audit chain (`payments.md` 6.7). It leads with the writer, because a chain is one writer's.
CREATE TABLE audit (
    writer BLOB NOT NULL, -- the incarnation
    seq INTEGER NOT NULL, -- from 0
    at INTEGER NOT NULL,
    shop BLOB,
    body TEXT NOT NULL, -- JSON
    hash BLOB NOT NULL, -- SHA-256 over the hash before it and all the rest
    PRIMARY KEY (writer, seq)
) STRICT, WITHOUT ROWID;
