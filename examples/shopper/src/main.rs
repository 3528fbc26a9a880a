//! `pos-shopper [--seal FOLDER] TRY_IT... -- SERVE... [-- SETTLE...]`: opens an example shop by these commands and plays
//! the shopper there.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use pos_shopper::Commands;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut seal = None;
    if words.len() > 1 && words.first().is_some_and(|word| word == "--seal") {
        seal = words.drain(..2).nth(1).map(PathBuf::from);
    }
    let usage = "usage: pos-shopper [--seal FOLDER] TRY_IT... -- SERVE... [-- SETTLE...]";
    let mut commands = words.split(|word| word == "--").map(<[String]>::to_vec);
    let (try_it, serve) = (commands.next().context(usage)?, commands.next().context(usage)?);
    let settle = commands.next();
    ensure!(commands.next().is_none() && !try_it.is_empty() && !serve.is_empty(), usage);
    Box::pin(pos_shopper::play(&Commands { try_it, serve, settle, seal })).await
}
