//! Plays the shopper at an example shop, whatever language that is written in: over HTTP, as a browser
//! does, with the institution's ledger as the judge of what was paid.
//!
//! The shop is opened by its own `try_it` program, so that what its README says is what is tested.

mod page;
mod shop;
mod story;

use std::path::PathBuf;

use anyhow::Context as _;
use pos_tests::testbed::Testbed;
use pos_tests::{Bed, BedOptions};

/// Opens a shop and plays everything there.
///
/// In `command`, the word `{port}` stands for the port that the shop is to listen on. `seal` is the
/// folder of the installed npm package `pos-connect`; without one, the page gets a file in its place
/// that only has to arrive, because this program seals.
///
/// # Errors
/// What was not as it must be.
pub async fn play(command: &[String], seal: Option<PathBuf>) -> anyhow::Result<()> {
    let options = BedOptions { unregistered: 1, ..BedOptions::default() };
    let testbed = Testbed::open(Bed::start(&options).await?).await?;
    let mut shop = shop::Shop::open(command, &testbed, seal).await.context("opening the shop")?;
    let played = story::play(&shop, testbed.bed()).await;
    let ended = shop.end().await;
    played?;
    ended
}
