-- Reconciliation with institutions' settlement files (`payments.md` 8).

ALTER TABLE operation ADD COLUMN settled_day INTEGER; -- YYYYMMDD of the file that names it
ALTER TABLE operation ADD COLUMN settled_run INTEGER; -- of the run that found it there

-- An institution names an operation by its id alone. Ids grow with time, so that new rows go to the
-- end of their institution's part.
CREATE INDEX operation_of_institution ON operation (institution, id) WHERE institution IS NOT NULL;

-- A day whose file was read to its end. A mark of another run on its operations counts for nothing.
CREATE TABLE settlement (
    institution TEXT NOT NULL REFERENCES institution (id),
    day INTEGER NOT NULL, -- YYYYMMDD, as the institution counts days
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (institution, day)
) STRICT, WITHOUT ROWID;

-- What a person must see to that is about an institution: it may name an operation that no shop here
-- has. The text is what it is about, so it is said once.
CREATE TABLE institution_task (
    institution TEXT NOT NULL REFERENCES institution (id),
    text TEXT NOT NULL,
    id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    shop BLOB,
    payment BLOB,
    operation BLOB,
    holds INTEGER NOT NULL, -- 1: while it is open the institution gets nothing new
    resolved_at INTEGER,
    note TEXT,
    PRIMARY KEY (institution, text)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX institution_task_by_id ON institution_task (id);
CREATE INDEX institution_task_open ON institution_task (created_at, id) WHERE resolved_at IS NULL;
CREATE INDEX institution_task_holding ON institution_task (institution)
    WHERE resolved_at IS NULL AND holds = 1;
