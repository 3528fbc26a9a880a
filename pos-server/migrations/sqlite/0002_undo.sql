-- Undoing what must not stand (`payments.md` 3), and tasks that a person ends.

ALTER TABLE operation ADD COLUMN give_up_at INTEGER; -- an approval learnt of later is reversed
ALTER TABLE operation ADD COLUMN by_server INTEGER; -- 1: made by the server, to undo something
ALTER TABLE task ADD COLUMN note TEXT; -- of the person who resolved it
