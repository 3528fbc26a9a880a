-- Reconciliation with institutions' settlement files (`payments.md` 8).

ALTER TABLE operation ADD COLUMN institution text COLLATE "C"; -- who is asked about it
ALTER TABLE operation ADD COLUMN settled_day bigint; -- YYYYMMDD of the file that names it
ALTER TABLE operation ADD COLUMN settled_run bigint; -- of the run that found it there

UPDATE operation o SET institution = p.institution
    FROM payment p WHERE p.shop = o.shop AND p.id = o.payment;

-- An institution names an operation by its id alone. Ids grow with time, so that new rows go to the
-- end of their institution's part.
CREATE INDEX operation_of_institution ON operation (institution, id) WHERE institution IS NOT NULL;

-- A day whose file was read to its end. A mark of another run on its operations counts for nothing.
CREATE TABLE settlement (
    institution text COLLATE "C" NOT NULL REFERENCES institution (id),
    day bigint NOT NULL, -- YYYYMMDD, as the institution counts days
    from_ms bigint NOT NULL,
    until_ms bigint NOT NULL,
    run bigint NOT NULL,
    PRIMARY KEY (institution, day)
);

-- What a person must see to that is about an institution: it may name an operation that no shop here
-- has. The text is what it is about, so it is said once.
CREATE TABLE institution_task (
    institution text COLLATE "C" NOT NULL REFERENCES institution (id),
    text text COLLATE "C" NOT NULL,
    id bytea NOT NULL,
    created_at bigint NOT NULL,
    shop bytea,
    payment bytea,
    operation bytea,
    holds boolean NOT NULL, -- while it is open the institution gets nothing new
    resolved_at bigint,
    note text,
    PRIMARY KEY (institution, text)
);

CREATE UNIQUE INDEX institution_task_by_id ON institution_task (id);
CREATE INDEX institution_task_open ON institution_task (created_at, id) WHERE resolved_at IS NULL;
CREATE INDEX institution_task_holding ON institution_task (institution)
    WHERE resolved_at IS NULL AND holds;
