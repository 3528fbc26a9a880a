//! The exchange under virtual time, against scripted and random faults of line and server.

mod faults;
mod line;
mod money;
mod reads;
