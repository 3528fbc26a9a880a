//! What the generators share.

pub mod surface;
