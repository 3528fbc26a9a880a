//! `pos-shopper [--seal FOLDER] COMMAND...`: opens an example shop by this command and plays the
//! shopper there.

use std::path::PathBuf;

use anyhow::ensure;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut seal = None;
    if words.len() > 1 && words.first().is_some_and(|word| word == "--seal") {
        words.remove(0);
        seal = Some(PathBuf::from(words.remove(0)));
    }
    ensure!(!words.is_empty(), "usage: pos-shopper [--seal FOLDER] COMMAND...");
    Box::pin(pos_shopper::play(&words, seal)).await
}
