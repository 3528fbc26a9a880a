-- What shops are told (`payments.md` 8): where, and what waits to be told.

-- Where a shop is told, by each channel: 1 mail, 2 webhook. The row of a channel that was switched off
-- stays, so that its keys are never used again.
CREATE TABLE channel (
    shop BLOB NOT NULL REFERENCES shop (id),
    channel INTEGER NOT NULL,
    target TEXT, -- the address or URL; NULL where it is switched off
    language TEXT NOT NULL, -- of mail
    key_generation INTEGER NOT NULL, -- of the key that signs webhooks
    older_key_until INTEGER, -- the key before signs beside it until then
    disabled_at INTEGER, -- since the URL answered that it has gone
    PRIMARY KEY (shop, channel)
) STRICT, WITHOUT ROWID;

INSERT INTO channel (shop, channel, target, language, key_generation)
    SELECT id, 1, email, 'en', 0 FROM shop WHERE email IS NOT NULL;

-- One row for each channel until it is told there; what was given up stays for 30 days.
CREATE TABLE notice (
    shop BLOB NOT NULL,
    id BLOB NOT NULL,
    channel INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON
    address TEXT, -- where it must go if not to the channel's target
    tries INTEGER NOT NULL,
    due_at INTEGER, -- NULL once it is given up
    given_up_at INTEGER,
    cause TEXT, -- of the last failure
    PRIMARY KEY (shop, id, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX notice_due ON notice (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notice_given_up ON notice (given_up_at) WHERE given_up_at IS NOT NULL;
