-- Who tells a notice at the moment, so that what a dead process had taken is known from what only waits.
ALTER TABLE notice ADD COLUMN lease_owner bytea;
