//! One seed is one history.

use std::collections::BTreeSet;

use pos_sim::{Played, Size, play};

fn played(seed: u64) -> Played {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads can be made");
    let size = Size { payments: 60, tills: 4 };
    let played = runtime.block_on(play(seed, size, folder.path(), false));
    played.expect("the world is played to its end")
}

#[test]
fn the_same_seed_is_the_same_history_and_another_is_another() {
    let (first, again) = (played(11), played(11));
    assert_eq!(first.digest, again.digest);
    assert_eq!(first.faults, again.faults);
    assert_eq!(first.judgement.states, again.judgement.states);
    let digests: BTreeSet<_> = [first.digest, played(12).digest, played(13).digest].into();
    assert_eq!(digests.len(), 3);
}

#[test]
fn a_history_is_full_of_faults_and_nothing_comes_to_harm() {
    let Played { payments, faults, judgement, .. } = played(14);
    assert_eq!(payments, 60);
    assert!(faults.values().sum::<u64>() > 60, "{faults:?}");
    assert_eq!(judgement.findings, Vec::<String>::new());
    assert!(judgement.states["done"] > 30, "{:?}", judgement.states);
}
