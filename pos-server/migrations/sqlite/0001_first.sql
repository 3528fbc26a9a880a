-- The shop database as it begins.
--
-- Ids are their 16 octets, keys' ids and digests 32, instants milliseconds since 1970, amounts minor
-- units, currencies ISO 4217 numbers. Kinds, states and roles are the small integers of
-- `store/sqlite/codes.rs`; decline reasons and error codes are their names on the wire.
--
-- Keys lead with the shop. Where a person of the operator, a key or a user id asks without one, a
-- unique index on that id alone stands beside (`docs/adr/0160-lookups-without-a-shop.md`). In the
-- hot tables three keys lead with what grows with time instead, so that the rows of many shops are
-- written side by side (`docs/adr/0164-hot-trees-grow-at-their-end.md`).

CREATE TABLE institution (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    name_ja TEXT NOT NULL,
    url TEXT NOT NULL,
    ca_pem TEXT,
    verify_key BLOB NOT NULL,
    seal_root BLOB NOT NULL,
    seal_key_version INTEGER NOT NULL,
    capabilities TEXT NOT NULL, -- JSON
    enabled INTEGER NOT NULL
) STRICT;

CREATE TABLE shop (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    user_id BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    password_hash TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    locked_until INTEGER,
    panic_code BLOB -- SHA-256
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolment (
    shop BLOB NOT NULL PRIMARY KEY REFERENCES shop (id),
    enrolment_key BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    spent_for BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    shop BLOB NOT NULL REFERENCES shop (id),
    code BLOB NOT NULL, -- SHA-256
    PRIMARY KEY (shop, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE pos (
    shop BLOB NOT NULL REFERENCES shop (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (shop, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX pos_by_id ON pos (id);

CREATE TABLE contract (
    shop BLOB NOT NULL,
    id BLOB NOT NULL,
    pos BLOB NOT NULL,
    institution TEXT NOT NULL REFERENCES institution (id),
    number TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (shop, id),
    UNIQUE (shop, pos, institution, number),
    FOREIGN KEY (shop, pos) REFERENCES pos (shop, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX contract_by_id ON contract (id);

-- The key's id is how a call's shop is found, so it is the whole key here.
CREATE TABLE key_record (
    id BLOB NOT NULL PRIMARY KEY,
    shop BLOB NOT NULL REFERENCES shop (id),
    public BLOB NOT NULL,
    role INTEGER NOT NULL,
    pos BLOB,
    created_at INTEGER NOT NULL,
    ends_at INTEGER,
    idle_at INTEGER,
    first_used_at INTEGER,
    ended_at INTEGER,
    successor_of BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX key_record_standing ON key_record (shop, created_at) WHERE ended_at IS NULL;
CREATE INDEX key_record_planned_end ON key_record (ends_at)
    WHERE ended_at IS NULL AND ends_at IS NOT NULL;
CREATE INDEX key_record_ended ON key_record (ended_at) WHERE ended_at IS NOT NULL;

-- The hot tables have row numbers and a unique key beside, and no foreign keys: the same verb
-- writes both ends of each reference.
CREATE TABLE payment (
    row INTEGER PRIMARY KEY,
    shop BLOB NOT NULL,
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    authorised INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    released INTEGER NOT NULL,
    refunded INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    pos BLOB NOT NULL,
    contract BLOB NOT NULL,
    contract_number TEXT NOT NULL,
    institution TEXT NOT NULL,
    order_id TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX payment_by_id ON payment (id);
CREATE INDEX payment_by_pos ON payment (shop, pos, id);

-- An operation, or a refusal that was kept (state 32, no payment): one table, so that one unique
-- key holds for both.
CREATE TABLE operation (
    row INTEGER PRIMARY KEY,
    shop BLOB NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    payment INTEGER, -- its row
    institution TEXT, -- who is asked what became of it
    id BLOB,
    kind INTEGER,
    state INTEGER NOT NULL, -- below 16 open
    amount INTEGER,
    allow_partial INTEGER,
    not_after INTEGER,
    created_at INTEGER NOT NULL,
    inquiries INTEGER,
    lease_epoch INTEGER,
    lease_owner BLOB, -- the incarnation that holds the lease, until due_at
    due_at INTEGER, -- when anybody may take it up; NULL when nobody has to
    ended_at INTEGER,
    moved INTEGER, -- the amount of "done"
    reason TEXT, -- of "declined"; the error code of a refusal
    field TEXT, -- of a refusal
    reference TEXT,
    card_reference TEXT,
    raw_code TEXT
) STRICT;

CREATE UNIQUE INDEX operation_by_key ON operation (key, shop);
CREATE INDEX operation_by_payment ON operation (payment) WHERE payment IS NOT NULL;
-- Each institution's work in a line of its own, so that a long one never hides another.
CREATE INDEX operation_due ON operation (institution, due_at) WHERE due_at IS NOT NULL;
-- Open and nobody's work: what waits for a person.
CREATE INDEX operation_resting ON operation (state, created_at)
    WHERE due_at IS NULL AND state < 16;

-- Which payment an order has: the one that holds it (claimed = 1), else the latest.
CREATE TABLE shop_order (
    shop BLOB NOT NULL,
    order_id TEXT NOT NULL,
    payment BLOB NOT NULL,
    claimed INTEGER NOT NULL,
    PRIMARY KEY (shop, order_id)
) STRICT, WITHOUT ROWID;

-- Envelopes that were used, for as long as they could be used again. The end is written in the
-- envelope itself, so it is the same whenever the envelope comes.
CREATE TABLE nullifier (
    not_after INTEGER NOT NULL,
    shop BLOB NOT NULL,
    envelope BLOB NOT NULL, -- SHA-256
    PRIMARY KEY (not_after, shop, envelope)
) STRICT, WITHOUT ROWID;

-- Idempotency keys of management calls and of checks, for 30 days.
CREATE TABLE claim (
    shop BLOB NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    operation BLOB, -- of a check: the name under which it runs
    answer BLOB, -- of a check: the body
    refusal TEXT, -- of a check: the error code, instead of a body
    field TEXT, -- that the refusal names
    PRIMARY KEY (shop, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX claim_created_at ON claim (created_at);

CREATE TABLE task (
    shop BLOB NOT NULL,
    id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    payment BLOB NOT NULL,
    operation BLOB NOT NULL,
    text TEXT NOT NULL,
    resolved_at INTEGER,
    PRIMARY KEY (shop, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX task_by_id ON task (id);
CREATE INDEX task_open ON task (created_at, id) WHERE resolved_at IS NULL;
CREATE INDEX task_open_of ON task (shop, operation) WHERE resolved_at IS NULL;

-- Times that were lost in restores, both ends included.
CREATE TABLE time_gap (
    from_ms INTEGER NOT NULL PRIMARY KEY,
    to_ms INTEGER NOT NULL
) STRICT;
