//! The shop as a shopper finds it.

use pos_shopper::Commands;

#[tokio::test(flavor = "multi_thread")]
async fn every_story_ends_as_it_must() {
    let command = |words: &[&str]| {
        let program = env!("CARGO_BIN_EXE_pos-shop");
        [program].iter().chain(words).map(ToString::to_string).collect()
    };
    let try_it = command(&["try", "{port}"]);
    let serve = command(&["serve", "--listen", "127.0.0.1:{port}"]);
    let commands = Commands { try_it, serve, settle: None, seal: None };
    if let Err(error) = Box::pin(pos_shopper::play(&commands)).await {
        panic!("{error:?}");
    }
}
