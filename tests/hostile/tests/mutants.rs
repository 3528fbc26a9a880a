//! Mutants of signed calls, judged as the server judges calls. Small here; `cargo xtask full --only hostile`
//! says how many by a variable.

use pos_hostile::calls::{Calls, is_taken};
use pos_protocol::key::SigningKey;

fn told_in(variable: &str, otherwise: u64) -> u64 {
    let told = std::env::var(variable);
    told.map_or(otherwise, |text| text.parse().expect("a number of mutants"))
}

#[test]
fn what_was_signed_is_taken_and_no_mutant_of_it() {
    let count = told_in("POS_HOSTILE_MUTANTS", 20_000);
    let seed = told_in("POS_HOSTILE_SEED", 20_261_127);
    let keys = [SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32])];
    let calls = Calls::made(&keys);
    let known: Vec<_> = keys.iter().map(|key| (key.public().id(), key.public())).collect();
    for call in calls.all() {
        assert!(is_taken(call, &known) && calls.was_signed(call), "{call:?}");
    }
    let tally = calls.judge(seed, count, &keys);
    println!("hostile: mutants={} accepted={} seed={seed}", tally.mutants, tally.accepted.len());
    assert_eq!((tally.mutants, tally.accepted), (count, Vec::new()));
}
