//! The virtual POS: who may act for a shop, and how a shop comes to have its keys.

pub mod enrolment;
pub mod institutions;
pub mod keys;
pub mod login;
pub mod notices;
pub mod password;
pub mod registration;
