-- The shop database on PostgreSQL, as it begins.
--
-- Ids are their 16 octets, keys' ids and digests 32, instants milliseconds since 1970, amounts minor
-- units, currencies ISO 4217 numbers. Kinds, states and roles are the small integers of
-- `store/codes.rs`; decline reasons and error codes are their names on the wire.
--
-- Every key leads with the shop, the institution or the writer, so that the rows of one tenant lie
-- together wherever the database spreads them. Ids are time-ordered and random: there are no
-- sequences. Where a person of the operator, a key or a user id asks without a shop, a unique index
-- on that id alone stands beside (`docs/adr/0160-lookups-without-a-shop.md`).

-- Every run of every server process that has written here: the number of its groups that were
-- committed tells it, after a lost connection, whether the last one was.
CREATE TABLE writer (
    id bytea NOT NULL PRIMARY KEY, -- the incarnation
    committed bigint NOT NULL
);

CREATE TABLE institution (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    name text NOT NULL,
    name_ja text NOT NULL,
    url text NOT NULL,
    ca_pem text,
    verify_key bytea NOT NULL,
    seal_root bytea NOT NULL,
    seal_key_version bigint NOT NULL,
    capabilities text NOT NULL, -- JSON
    enabled boolean NOT NULL
);

CREATE TABLE shop (
    id bytea NOT NULL PRIMARY KEY,
    name text NOT NULL,
    email text,
    user_id bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    password_hash text,
    failures bigint NOT NULL DEFAULT 0,
    locked_until bigint,
    panic_code bytea -- SHA-256
);

CREATE TABLE enrolment (
    shop bytea NOT NULL PRIMARY KEY REFERENCES shop (id),
    enrolment_key bytea NOT NULL,
    expires_at bigint NOT NULL,
    spent_for bytea
);

CREATE TABLE recovery_code (
    shop bytea NOT NULL REFERENCES shop (id),
    code bytea NOT NULL, -- SHA-256
    PRIMARY KEY (shop, code)
);

CREATE TABLE pos (
    shop bytea NOT NULL REFERENCES shop (id),
    id bytea NOT NULL,
    name text NOT NULL,
    purpose text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (shop, id)
);

CREATE UNIQUE INDEX pos_by_id ON pos (id);

CREATE TABLE contract (
    shop bytea NOT NULL,
    id bytea NOT NULL,
    pos bytea NOT NULL,
    institution text COLLATE "C" NOT NULL REFERENCES institution (id),
    number text NOT NULL,
    enabled boolean NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (shop, id),
    UNIQUE (shop, pos, institution, number),
    FOREIGN KEY (shop, pos) REFERENCES pos (shop, id)
);

CREATE UNIQUE INDEX contract_by_id ON contract (id);

CREATE TABLE key_record (
    shop bytea NOT NULL REFERENCES shop (id),
    id bytea NOT NULL,
    public bytea NOT NULL,
    role bigint NOT NULL,
    pos bytea,
    created_at bigint NOT NULL,
    ends_at bigint,
    idle_at bigint,
    first_used_at bigint,
    ended_at bigint,
    successor_of bytea,
    PRIMARY KEY (shop, id)
);

-- The key's id is how a call's shop is found.
CREATE UNIQUE INDEX key_record_by_id ON key_record (id);
CREATE INDEX key_record_standing ON key_record (shop, created_at) WHERE ended_at IS NULL;
CREATE INDEX key_record_planned_end ON key_record (ends_at)
    WHERE ended_at IS NULL AND ends_at IS NOT NULL;
CREATE INDEX key_record_ended ON key_record (ended_at) WHERE ended_at IS NOT NULL;

-- The hot tables have no foreign keys: the same verb writes both ends of each reference. Rows that
-- are changed after they were written have room for it on their page, and no index on what changes.
CREATE TABLE payment (
    shop bytea NOT NULL,
    id bytea NOT NULL,
    version bigint NOT NULL,
    amount bigint NOT NULL,
    currency bigint NOT NULL,
    authorised bigint NOT NULL,
    captured bigint NOT NULL,
    released bigint NOT NULL,
    refunded bigint NOT NULL,
    created_at bigint NOT NULL,
    pos bytea NOT NULL,
    contract bytea NOT NULL,
    contract_number text NOT NULL,
    institution text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (shop, id)
) WITH (fillfactor = 70);

CREATE INDEX payment_by_pos ON payment (shop, pos, id);

-- An operation, or a refusal that was kept (state 32, no payment): one table, so that one unique
-- key holds for both.
CREATE TABLE operation (
    shop bytea NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    payment bytea,
    place bigint, -- in the payment: rises with every operation that it gets
    id bytea,
    kind bigint,
    state bigint NOT NULL, -- below 16 open
    amount bigint,
    allow_partial boolean,
    by_server boolean, -- made by the server, to undo something
    give_up_at bigint, -- an approval learnt of later is reversed
    not_after bigint,
    created_at bigint NOT NULL,
    inquiries bigint,
    lease_epoch bigint,
    ended_at bigint,
    moved bigint, -- the amount of "done"
    reason text, -- of "declined"; the error code of a refusal
    field text, -- of a refusal
    reference text,
    card_reference text,
    raw_code text,
    PRIMARY KEY (shop, key)
) WITH (fillfactor = 70);

CREATE INDEX operation_by_payment ON operation (shop, payment, place) WHERE payment IS NOT NULL;

-- One row for each operation that is open or due: whoever changes it or takes its lease locks this
-- row first. It goes when the operation ends, so that what is looked through for work stays small.
CREATE TABLE open_operation (
    shop bytea NOT NULL,
    payment bytea NOT NULL,
    id bytea NOT NULL,
    institution text COLLATE "C" NOT NULL, -- who is asked what became of it
    state bigint NOT NULL,
    created_at bigint NOT NULL,
    lease_owner bytea, -- the incarnation that holds the lease, until due_at
    due_at bigint, -- when anybody may take it up; NULL when nobody has to
    PRIMARY KEY (shop, payment, id)
);

-- Each institution's work in a line of its own, so that a long one never hides another.
CREATE INDEX open_operation_due ON open_operation (institution, due_at) WHERE due_at IS NOT NULL;

-- Which payment an order has: the one that holds it, else the latest.
CREATE TABLE shop_order (
    shop bytea NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    payment bytea NOT NULL,
    claimed boolean NOT NULL,
    PRIMARY KEY (shop, order_id)
);

-- Envelopes that were used, for as long as they could be used again. The end is written in the
-- envelope itself, so it is the same whenever the envelope comes.
CREATE TABLE nullifier (
    shop bytea NOT NULL,
    not_after bigint NOT NULL,
    envelope bytea NOT NULL, -- SHA-256
    PRIMARY KEY (shop, not_after, envelope)
);

-- Idempotency keys of management calls and of checks, for 30 days.
CREATE TABLE claim (
    shop bytea NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    created_at bigint NOT NULL,
    operation bytea, -- of a check: the name under which it runs
    answer bytea, -- of a check: the body
    refusal text, -- of a check: the error code, instead of a body
    field text, -- that the refusal names
    PRIMARY KEY (shop, key)
);

CREATE INDEX claim_created_at ON claim (created_at);

CREATE TABLE task (
    shop bytea NOT NULL,
    id bytea NOT NULL,
    created_at bigint NOT NULL,
    payment bytea NOT NULL,
    operation bytea NOT NULL,
    text text NOT NULL,
    resolved_at bigint,
    note text, -- of the person who resolved it
    PRIMARY KEY (shop, id)
);

CREATE UNIQUE INDEX task_by_id ON task (id);
CREATE INDEX task_open ON task (created_at, id) WHERE resolved_at IS NULL;
CREATE INDEX task_open_of ON task (shop, operation) WHERE resolved_at IS NULL;

-- The audit chain (`payments.md` 6.7). It leads with the writer, because a chain is one writer's.
CREATE TABLE audit (
    writer bytea NOT NULL, -- the incarnation
    seq bigint NOT NULL, -- from 0
    at bigint NOT NULL,
    shop bytea,
    body text NOT NULL, -- JSON
    hash bytea NOT NULL, -- SHA-256 over the hash before it and all the rest
    PRIMARY KEY (writer, seq)
);

-- Times that were lost in restores, both ends included.
CREATE TABLE time_gap (
    from_ms bigint NOT NULL PRIMARY KEY,
    to_ms bigint NOT NULL
);
