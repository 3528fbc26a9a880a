//! What the generators share.

pub mod surface;
pub mod words;
