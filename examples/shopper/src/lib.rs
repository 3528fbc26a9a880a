//! Plays the shopper at an example shop, whatever language that is written in: over HTTP, as a browser
//! does, with the institution's ledger as the judge of what was paid.
//!
//! The shop is opened by its own `try_it` program, so that what its README says is what is tested.

mod page;
mod record;
mod shop;
mod story;

use std::path::PathBuf;

use anyhow::Context as _;
use pos_tests::BedOptions;
use pos_tests::testbed::Testbed;

use crate::shop::Shop;

/// How a shop is opened. In all commands, the word `{port}` stands for the port that it is to listen on.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Its `try_it` program.
    pub try_it: Vec<String>,
    /// The same shop without a test bed of its own, by the settings in its environment.
    pub serve: Vec<String>,
    /// What its README has run every minute, where the shop does not do that by itself.
    pub settle: Option<Vec<String>>,
    /// The folder of the installed npm package `pos-connect`. Without one, the page gets a file in its
    /// place that only has to arrive, because this program seals.
    pub seal: Option<PathBuf>,
}

/// Opens a shop and plays everything there.
///
/// # Errors
/// What was not as it must be.
pub async fn play(commands: &Commands) -> anyhow::Result<()> {
    let options = BedOptions { unregistered: 2, ..BedOptions::default() };
    let testbed = Testbed::start(options).await?;
    let mut shop = Shop::try_it(commands, &testbed, 0).await.context("opening the shop")?;
    story::play(&shop, testbed.bed()).await?;
    shop.end().await?;
    shop.has_left_nothing()?;
    let mut shop = Shop::try_it(commands, &testbed, 1).await.context("opening another")?;
    story::crash(&mut shop, commands, &testbed).await.context("a crash while paying")?;
    shop.end().await
}
