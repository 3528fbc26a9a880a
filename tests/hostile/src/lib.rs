//! What strangers may send, made here for whoever has to withstand it.
//!
//! [`targets`] holds the bodies of the fuzz targets as plain functions: libFuzzer calls them
//! (`tests/fuzz`), and so does a test on the stable compiler, with the corpora that were found.
//! [`calls`] makes signed calls and bends them, [`requests`] makes requests that no client would
//! send; both are drawn from a seed by [`draw::Draw`], so that every find can be made again.

// Arithmetic here overflows loudly, and a find ends the run.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow in a test's own sums must be loud"
)]

pub mod calls;
pub mod draw;
pub mod message;
pub mod requests;
pub mod targets;
