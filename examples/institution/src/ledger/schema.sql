-- The books of one institution. Money moves by double entry: every movement is two entries that
-- add up to nothing, so that all entries of a currency do too.

CREATE TABLE account (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL,
    currency INTEGER NOT NULL,
    balance  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (name, currency)
) STRICT;

-- One row for each operation id that was ever taken in, whatever became of it.
CREATE TABLE operation (
    id             INTEGER PRIMARY KEY,
    operation      BLOB    NOT NULL UNIQUE,
    fingerprint    BLOB    NOT NULL,
    kind           TEXT    NOT NULL,
    original       INTEGER REFERENCES operation (id),
    contract       TEXT    NOT NULL,
    order_id       TEXT    NOT NULL,
    currency       INTEGER NOT NULL,
    asked          INTEGER NOT NULL,
    moved          INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    reason         TEXT,
    raw_code       TEXT,
    card_reference TEXT,
    captured       INTEGER NOT NULL DEFAULT 0,
    released       INTEGER NOT NULL DEFAULT 0,
    refunded       INTEGER NOT NULL DEFAULT 0,
    asked_about    INTEGER NOT NULL DEFAULT 0,
    arrived_ms     INTEGER NOT NULL
) STRICT;

-- Reversals, also of originals that have not arrived and then must be refused.
CREATE TABLE reversal (
    id          INTEGER PRIMARY KEY,
    operation   BLOB NOT NULL UNIQUE,
    original    BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    state       TEXT NOT NULL
) STRICT;

CREATE INDEX reversal_of ON reversal (original);

-- Positive is what the account gets. `cause` is an operation's row, negative for a reversal's, and
-- 0 for opening balances.
CREATE TABLE entry (
    id      INTEGER PRIMARY KEY,
    cause   INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    amount  INTEGER NOT NULL
) STRICT;

CREATE INDEX entry_by_cause ON entry (cause);

-- The random octets of envelopes, each taken for one operation or check.
CREATE TABLE taken (
    rand BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE contract (
    number  TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operator_key (
    x TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
