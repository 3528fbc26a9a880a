//! The shop as a shopper finds it.

#[tokio::test(flavor = "multi_thread")]
async fn every_story_ends_as_it_must() {
    let command = [env!("CARGO_BIN_EXE_pos-shop"), "try", "{port}"].map(str::to_owned);
    if let Err(error) = Box::pin(pos_shopper::play(&command, None)).await {
        panic!("{error:?}");
    }
}
