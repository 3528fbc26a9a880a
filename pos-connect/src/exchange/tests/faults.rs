//! Thousands of random lines: whatever is lost, held back, doubled or forged, nothing that the
//! module calls settled may be otherwise at the server, then or later.

use std::collections::HashMap;

use pos_protocol::sign::call::{MAX_AGE, MAX_AHEAD};
use serde_json::{Value, json};

use super::super::*;
use super::line::*;

/// A small deterministic generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// The server as far as it matters: it knows what it has made.
#[derive(Default)]
struct Server {
    made: Option<&'static str>,
    /// It refuses new calls, for a reason that time can undo; the refusal is kept under the key.
    refuses: bool,
    kept: Option<Value>,
}

impl Server {
    /// A call arrives, perhaps a copy, perhaps late.
    fn take(
        &mut self,
        created: u64,
        expires: u64,
        now: Timestamp,
        dice: &mut Dice,
    ) -> (u16, Value) {
        let now_s = now.as_secs();
        let is_fresh = created <= now_s + MAX_AHEAD.as_secs()
            && now_s <= created + MAX_AGE.as_secs()
            && now.as_ms() < expires * 1_000;
        if !is_fresh {
            return (401, problem("signature_stale", "same_key", None));
        }
        if let Some(state) = self.made {
            return (200, operation(state));
        }
        if let Some(kept) = &self.kept {
            return (409, kept.clone());
        }
        if self.refuses {
            let kept = problem("order_taken", "never", None);
            self.kept = Some(kept.clone());
            return (409, kept);
        }
        match dice.roll(4) {
            0 => (503, problem("overloaded", "after", Some(200))),
            1 => {
                self.made = Some("declined");
                (200, operation("declined"))
            }
            _ => {
                self.made = Some("done");
                (200, operation("done"))
            }
        }
    }

    fn tell(&self, now: Timestamp) -> Value {
        if let Some(state) = self.made {
            return found(state);
        }
        self.kept.clone().map_or_else(
            || nothing(now, json!([])),
            |mut kept| {
                kept["found"] = "refusal".into();
                kept
            },
        )
    }
}

#[test]
fn what_is_settled_stays_so_whatever_the_line_does() {
    let mut seen: HashMap<&'static str, u32> = HashMap::new();
    for seed in 1..=1_500 {
        *seen.entry(one_payment(seed)).or_default() += 1;
    }
    // The faults are such that every end is met often, so that none is vacuously right.
    for end in ["operation", "refused", "not_made", "unknown", "failed"] {
        assert!(seen.get(end).copied().unwrap_or_default() >= 20, "{end}: {seen:?}");
    }
}

fn one_payment(seed: u64) -> &'static str {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut server = Server { refuses: dice.roll(5) == 0, ..Server::default() };
    let mut line = Line::payment();
    line.server_ahead_ms = [0, 0, 0, 5_000, -5_000, 90_000, -90_000][dice.roll(7) as usize];
    let weather = dice.roll(4);
    // Copies that somebody on the line keeps, to be delivered at a time of his choosing.
    let mut copies: Vec<(u64, u64)> = Vec::new();
    let outcome = line.run_with(|line, outgoing| {
        line.pass(Duration::from_millis(20 + dice.roll(300)));
        if dice.roll(6) == 0 && !copies.is_empty() {
            let (created, expires) = copies[dice.roll(copies.len() as u64) as usize];
            server.take(created, expires, line.server_time(), &mut dice);
        }
        let sent = line.sent.last().unwrap();
        let (created, expires) = (sent.created_s, sent.expires_s);
        let is_call = outgoing.attempt.is_some();
        if weather == 3 && is_call {
            return no_connection();
        }
        let fate = if weather == 0 { 0 } else { dice.roll(9) };
        if is_call && fate != 1 {
            copies.push((created, expires));
        }
        let is_lost_before = matches!(fate, 2 | 3) || (fate == 4 && dice.roll(2) == 0);
        let answer = if is_lost_before {
            None
        } else if is_call && fate == 8 {
            // A bent copy, and the server's honest refusal of that one. The call itself is held.
            Some((415, problem("unsupported_media_type", "never", None)))
        } else if is_call {
            Some(server.take(created, expires, line.server_time(), &mut dice))
        } else {
            Some((200, server.tell(line.server_time())))
        };
        if fate == 1 && is_call {
            // It was delivered above all the same, so this must not be said of it.
            copies.push((created, expires));
        }
        match (fate, answer) {
            (2, _) | (5, _) => {
                line.pass(outgoing.timeout);
                Event::Failed(SendFailure::Timeout)
            }
            (3 | 4 | 6, _) | (_, None) => {
                let body = br#"{"state":"declined"}"#.to_vec();
                Event::Answered(Response { status: 502, headers: Vec::new(), body })
            }
            (_, Some((status, body))) => {
                let body = serde_json::to_vec(&body).unwrap();
                let time = line.server_time();
                Event::Answered(signed(FIRST, status, body, signature_of(outgoing), time))
            }
        }
    });
    let end = judge(&outcome, &server, seed);
    // Now every copy arrives, at every second for two minutes and more.
    server.refuses = false;
    for _ in 0..200 {
        line.pass(Duration::from_secs(1));
        for (created, expires) in &copies {
            server.take(*created, *expires, line.server_time(), &mut dice);
        }
    }
    judge(&outcome, &server, seed);
    assert!(line.sent.len() < 60, "seed {seed}: {} messages", line.sent.len());
    end
}

fn no_connection() -> Event {
    Event::Failed(SendFailure::Connect("no way".into()))
}

/// That the server has not done otherwise than the module says.
fn judge(outcome: &Outcome, server: &Server, seed: u64) -> &'static str {
    match outcome {
        Outcome::Operation(operation) => {
            assert_eq!(Some(operation.state.wire()), server.made, "seed {seed}");
            "operation"
        }
        Outcome::Refused(problem) => {
            assert_eq!(server.made, None, "seed {seed}: {problem:?}");
            "refused"
        }
        Outcome::NotMade => {
            assert_eq!(server.made, None, "seed {seed}");
            "not_made"
        }
        Outcome::Failed(cause) => {
            assert_eq!(server.made, None, "seed {seed}: {cause}");
            "failed"
        }
        Outcome::Unknown(_) => "unknown",
        other => panic!("seed {seed}: {other:?}"),
    }
}
