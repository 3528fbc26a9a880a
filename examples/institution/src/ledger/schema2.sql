-- When money moved, for the settlement file: an operation that was done, also if it was reversed later,
-- and a reversal that gave something back.

ALTER TABLE operation ADD COLUMN ended_ms INTEGER;
ALTER TABLE reversal ADD COLUMN ended_ms INTEGER;
ALTER TABLE reversal ADD COLUMN moved INTEGER;

CREATE INDEX operation_by_end ON operation (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX reversal_by_end ON reversal (ended_ms) WHERE ended_ms IS NOT NULL;
