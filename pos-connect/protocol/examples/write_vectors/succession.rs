//! `succession.json`: one chain of answer keys, and walks along it and beside it.

use pos_protocol::Timestamp;
use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::succession::{Fingerprint, Statement, statement_octets};
use pos_protocol::text::base64url;
use serde_json::{Value, json};

/// The key number `n` of the story.
fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[0xa0 | n; 32])
}

fn public(n: u8) -> PublicKey {
    key(n).public()
}

fn step(from: u8, to: u8) -> Statement {
    let created = 1_795_000_000_000_u64.saturating_add(86_400_000_u64.saturating_mul(to.into()));
    Statement::sign(&key(from), public(to), Timestamp::from_ms(created))
}

pub(crate) fn all() -> Value {
    let chain = [step(0, 1), step(1, 2), step(2, 3)];
    let seeds = [0, 1, 2, 3, 4].map(|n| base64url(&*key(n).seed()));
    let signed: Vec<Value> = chain.iter().map(statement).collect();
    json!({
        "about": "Answer keys that follow each other: docs/PROTOCOL.md. `statements` are made \
            from the seeds; `walks` lead from a pin to the offered key, or are refused with the \
            error.",
        "seeds": seeds,
        "statements": signed,
        "walks": walks(&chain),
    })
}

fn statement(statement: &Statement) -> Value {
    let Statement { predecessor, successor, created_ms, .. } = statement;
    json!({
        "octets": base64url(&statement_octets(predecessor, successor, *created_ms)),
        "statement": statement,
    })
}

fn walks(chain: &[Statement; 3]) -> Value {
    let [first, second, third] = chain;
    let mut other_time = second.clone();
    other_time.created_ms = Timestamp::from_ms(1_795_000_000_001);
    let mut other_successor = third.clone();
    other_successor.successor = public(4);
    let mut other_signer = second.clone();
    other_signer.signature = step(3, 2).signature;
    let walk =
        |name: &str, pin: u8, offered: u8, statements: &[&Statement], error: Option<&str>| {
            json!({
                "name": name,
                "pin": Fingerprint::of(&public(pin)),
                "offered": public(offered),
                "statements": statements,
                "error": error,
            })
        };
    let all = [first, second, third];
    json!([
        walk("no statement yet", 0, 0, &[], None),
        walk("from the first key", 0, 3, &all, None),
        walk("from the middle", 1, 3, &all, None),
        walk("from the newest", 3, 3, &all, None),
        walk("a list that begins at the pin", 1, 3, &[second, third], None),
        walk("another key without statement", 0, 1, &[], Some("pin_unknown")),
        walk("a pin that is not in the list", 4, 3, &all, Some("pin_unknown")),
        walk("a list that begins after the pin", 0, 3, &[second, third], Some("pin_unknown")),
        walk("led back", 3, 2, &[first, second], Some("pin_unknown")),
        walk("an older key offered", 0, 2, &all, Some("not_newest")),
        walk("a key beside the list offered", 0, 4, &all, Some("not_newest")),
        walk("a step left out", 0, 3, &[first, third], Some("gap")),
        walk("newest first", 0, 3, &[third, second, first], Some("gap")),
        walk("a fork", 0, 4, &[first, second, &step(1, 4)], Some("fork")),
        walk("a statement twice", 0, 1, &[first, first], Some("fork")),
        walk("back to the first", 0, 0, &[first, second, &step(2, 0)], Some("loop")),
        walk("a key that follows itself", 0, 0, &[&step(0, 0)], Some("loop")),
        walk("time changed", 0, 3, &[first, &other_time, third], Some("bad_signature")),
        walk("successor changed", 0, 4, &[first, second, &other_successor], Some("bad_signature")),
        walk("signed by another", 0, 3, &[first, &other_signer, third], Some("bad_signature")),
    ])
}
