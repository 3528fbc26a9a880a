-- What shops are told (`payments.md` 8): where, and what waits to be told.

-- Where a shop is told, by each channel: 1 mail, 2 webhook. The row of a channel that was switched off
-- stays, so that its keys are never used again.
CREATE TABLE channel (
    shop bytea NOT NULL REFERENCES shop (id),
    channel bigint NOT NULL,
    target text, -- the address or URL; NULL where it is switched off
    language text NOT NULL, -- of mail
    key_generation bigint NOT NULL, -- of the key that signs webhooks
    older_key_until bigint, -- the key before signs beside it until then
    disabled_at bigint, -- since the URL answered that it has gone
    PRIMARY KEY (shop, channel)
);

INSERT INTO channel (shop, channel, target, language, key_generation)
    SELECT id, 1, email, 'en', 0 FROM shop WHERE email IS NOT NULL;

-- One row for each channel until it is told there; what was given up stays for 30 days.
CREATE TABLE notice (
    shop bytea NOT NULL,
    id bytea NOT NULL,
    channel bigint NOT NULL,
    created_at bigint NOT NULL,
    body text NOT NULL, -- JSON
    address text, -- where it must go if not to the channel's target
    tries bigint NOT NULL,
    due_at bigint, -- NULL once it is given up
    given_up_at bigint,
    cause text, -- of the last failure
    PRIMARY KEY (shop, id, channel)
);

CREATE INDEX notice_due ON notice (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notice_given_up ON notice (given_up_at) WHERE given_up_at IS NOT NULL;
