//! Reads and repeatable calls, clocks, and the first answer key.

use super::super::*;
use super::line::*;

fn read() -> Line {
    Line::new(Call::get("/v1/methods"))
}

fn body_of(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Answer(body) => body,
        other => panic!("{other:?}"),
    }
}

fn yes() -> serde_json::Value {
    serde_json::json!({ "ok": true })
}

#[test]
fn a_read_is_simply_repeated() {
    let mut line = read();
    let outcome = line.run([
        Then::Page(502, "<html>"),
        Then::Silence,
        Then::Altered(200, yes()),
        Then::Says(503, problem("overloaded", "after", Some(700))),
        Then::Says(200, yes()),
    ]);
    assert_eq!(body_of(outcome), br#"{"ok":true}"#);
    assert!(line.targets().iter().all(|target| *target == "/v1/methods"));
    assert!(line.sent.iter().all(|sent| sent.attempt.is_none()), "nothing for the journal");
}

#[test]
fn a_read_ends_with_what_was_last_in_its_way() {
    let mut line = read();
    let outcome = line.run_with(|line, _| {
        line.pass(Duration::from_millis(100));
        Event::Answered(Response { status: 502, headers: Vec::new(), body: Vec::new() })
    });
    assert!(matches!(outcome, Outcome::Failed(Cause::Unverified(_))), "{outcome:?}");
    assert!((34_000..=40_000).contains(&line.elapsed_ms()));
    let outcome = read().run([Then::Says(429, problem("login_locked", "after", Some(1_800_000)))]);
    assert_eq!(code_of(&outcome), "login_locked");
    let outcome = read().run([Then::Says(404, problem("not_found", "never", None))]);
    assert_eq!(code_of(&outcome), "not_found");
}

#[test]
fn waits_double_up_to_five_seconds() {
    let waits: Vec<_> = (1..8).map(|failures| backoff(failures).as_millis()).collect();
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    assert_eq!(share(Duration::from_secs(4), u32::MAX), Duration::from_secs(1));
    assert_eq!(share(Duration::from_secs(4), 0), Duration::ZERO);
}

#[test]
fn a_clock_that_is_an_hour_wrong_is_set_by_the_signed_refusal() {
    for ahead_s in [-3_600, 3_600] {
        let mut line = Line::payment();
        line.server_ahead_ms = ahead_s * 1_000;
        let outcome = line.run([
            Then::Says(401, problem("signature_stale", "same_key", None)),
            Then::Says(200, operation("done")),
        ]);
        assert_eq!(state_of(&outcome), "done");
        let shift = i64::try_from(line.sent[1].created_s).unwrap() - 1_795_132_800;
        assert!((shift - ahead_s).abs() <= 1, "{shift}");
        let offset_ms = line.exchange.trust.offset_ms;
        assert!((offset_ms - ahead_s * 1_000).abs() < 1_000, "{offset_ms}");
    }
}

#[test]
fn nobody_else_sets_the_clock() {
    let mut line = read();
    line.server_ahead_ms = -3_600_000;
    let stale = || problem("signature_stale", "same_key", None);
    line.run([Then::Altered(401, stale()), Then::Elsewhere(401, stale()), Then::Silence, {
        // Only this one is proved.
        Then::Says(404, problem("not_found", "never", None))
    }]);
    for sent in &line.sent {
        assert!(sent.created_s >= 1_795_132_800, "{}", sent.created_s);
    }
}

/// Whoever may hold an answer back may not shift a clock that is right.
#[test]
fn a_delayed_answer_does_not_move_a_right_clock() {
    let mut line = read();
    line.run_with(|line, outgoing| {
        let time = line.server_time();
        line.pass(Duration::from_secs(15));
        let body = br#"{"ok":true}"#.to_vec();
        Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
    });
    assert_eq!(line.exchange.trust.offset_ms, 0);
}

/// Somebody sets this machine's clock between a call and its answer.
#[test]
fn a_clock_that_is_set_meanwhile_teaches_nothing() {
    for ahead in [true, false] {
        let mut line = read();
        let outcome = line.run_with(|line, outgoing| {
            line.pass(Duration::from_millis(50));
            let time = line.server_time();
            let hour = Duration::from_secs(3_600);
            let wall = line.now.wall;
            line.now.wall = if ahead { wall.plus(hour) } else { wall.minus(hour) };
            let body = br#"{"ok":true}"#.to_vec();
            Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
        });
        assert_eq!(body_of(outcome), br#"{"ok":true}"#);
        assert_eq!(line.exchange.learnt_offset_ms(), None);
    }
}

#[test]
fn only_an_exchange_that_learnt_the_time_tells_it() {
    let mut line = read();
    line.run([Then::Says(200, yes())]);
    assert_eq!(line.exchange.learnt_offset_ms(), None);
    let mut line = read();
    line.server_ahead_ms = 3_600_000;
    line.run([Then::Says(200, yes())]);
    let learnt = line.exchange.learnt_offset_ms().unwrap();
    assert!((3_599_000..=3_601_000).contains(&learnt), "{learnt}");
}

#[test]
fn a_server_that_finds_everything_stale_is_not_asked_for_ever() {
    let stale = || Then::Says(401, problem("signature_stale", "same_key", None));
    let outcome = read().run([stale(), stale(), stale()]);
    assert_eq!(code_of(&outcome), "signature_stale");
}

/// The refused copy was signed an hour ahead: whoever held it could still use it in an hour.
#[test]
fn a_copy_from_the_future_may_still_arrive() {
    let mut line = Line::payment();
    line.server_ahead_ms = -3_600_000;
    let then = line.server_time().plus(Duration::from_secs(1));
    let mut answers = vec![
        Then::Says(401, problem("signature_stale", "same_key", None)),
        Then::Says(409, problem("order_taken", "never", None)),
        Then::Says(200, nothing(then, serde_json::json!([]))),
    ];
    let mut questions = 0;
    let outcome = line.run_with(|line, outgoing| {
        if answers.is_empty() {
            questions += 1;
            line.pass(Duration::from_millis(50));
            let body = nothing(line.server_time(), serde_json::json!([]));
            let time = line.server_time();
            let body = serde_json::to_vec(&body).unwrap();
            return Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time));
        }
        let Then::Says(status, body) = answers.remove(0) else { panic!() };
        line.pass(Duration::from_millis(50));
        let time = line.server_time();
        let body = serde_json::to_vec(&body).unwrap();
        Event::Answered(signed(FIRST, status, body, signature_of(outgoing), time))
    });
    assert!(questions > 0);
    assert!(matches!(outcome, Outcome::Unknown(Some(Cause::Refused(_)))), "{outcome:?}");
}

fn by_fingerprint(call: Call) -> Line {
    Line::believing(call, Trust { answer_key: None, ..trust() })
}

#[test]
fn a_fingerprint_alone_fetches_the_key_before_anything_is_sent() {
    let mut line = by_fingerprint(Call::get("/v1/methods"));
    let outcome = line.run([
        Then::Page(503, "starting"),
        Then::Nowhere,
        Then::Keys(SECOND, vec![(FIRST, SECOND)]),
        Then::By(SECOND, 200, yes()),
    ]);
    assert_eq!(body_of(outcome), br#"{"ok":true}"#);
    assert_eq!(line.targets(), [KEYS, KEYS, KEYS, "/v1/methods"]);
    assert!(line.sent[1].at_ms >= 250, "not without a pause");
    assert_eq!(line.pinned, [key(SECOND).public()]);
}

/// Somebody who ends TLS in between offers a key of his own.
#[test]
fn a_planted_key_is_refused_and_nothing_is_sent() {
    for statements in [vec![], vec![(STRANGER, SECOND)], vec![(FIRST, STRANGER), (FIRST, SECOND)]] {
        let mut line = by_fingerprint(money_call());
        let outcome = line.run([Then::Keys(STRANGER, statements)]);
        let Outcome::Failed(Cause::Unverified(refused)) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(refused, Unverified::Succession(_)), "{refused}");
        assert_eq!(line.targets(), [KEYS]);
    }
}

#[test]
fn unreachable_keys_end_with_the_verb() {
    let mut line = by_fingerprint(money_call());
    let outcome = line.run_with(|line, _| {
        line.pass(Duration::from_millis(100));
        Event::Failed(SendFailure::Timeout)
    });
    assert!(matches!(outcome, Outcome::Failed(_)), "nothing was sent: {outcome:?}");
    assert!(line.sent.len() < 20 && line.elapsed_ms() <= 40_000);
}

/// Both ways of reading give the same, for each kind and for what is none.
#[test]
fn what_a_key_holds_is_read_as_its_type_is() {
    let mut refusal = problem("busy", "after", Some(5));
    refusal["found"] = "refusal".into();
    let nothing = nothing(BEGINNING, serde_json::json!([{ "from_ms": 1, "to_ms": 2 }]));
    for body in [found("done"), refusal, nothing] {
        let octets = serde_json::to_vec(&body).unwrap();
        assert_eq!(key_status(&octets).unwrap(), serde_json::from_value(body).unwrap());
    }
    for wrong in [r#"{"found":"lost"}"#, r#"{"found":"operation"}"#, "{}", "[]"] {
        assert!(key_status(wrong.as_bytes()).is_err(), "{wrong}");
    }
}
