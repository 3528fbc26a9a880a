//! Payments: what is believed, when it is asked, when it is sent again.

use serde_json::{Value, json};

use super::super::*;
use super::line::*;
use crate::journal::Attempt;

fn attempt(created_s: u64, expires_s: u64) -> Attempt {
    let base = BEGINNING.as_secs();
    Attempt {
        created_ms: Timestamp::from_secs(base + created_s),
        expires_ms: Timestamp::from_secs(base + expires_s),
    }
}

/// A call of an earlier life, whose only attempt was taken until 19 s after the beginning.
fn resumed() -> Line {
    after(vec![attempt(0, 19)])
}

/// A call of an earlier life that made these attempts.
fn after(attempts: Vec<Attempt>) -> Line {
    after_believing(attempts, trust())
}

fn after_believing(attempts: Vec<Attempt>, trust: Trust) -> Line {
    let mut line = Line::payment();
    let limits = Limits { attempt: Duration::from_secs(20), total: Duration::from_secs(40) };
    let signer = Arc::new(key(SHOP).into());
    line.exchange = Exchange::resume(expected(), attempts, AUTHORITY.into(), signer, trust, limits);
    line
}

#[test]
fn an_approval_is_one_signed_message_and_its_answer() {
    let mut line = Line::payment();
    let outcome = line.run([Then::Says(200, operation("done"))]);
    assert_eq!(state_of(&outcome), "done");
    let sent = &line.sent[0];
    assert_eq!((sent.target.as_str(), sent.idempotency_key.as_deref()), (CALL, Some(KEY)));
    assert_eq!(sent.created_s, 1_795_132_800);
    // 20 s to wait, of which the last is left to the answer's way back.
    assert_eq!(sent.expires_s, 1_795_132_819);
    assert_eq!(sent.attempt, Some(attempt(0, 19)));
}

#[test]
fn a_decline_is_an_outcome() {
    let outcome = Line::payment().run([Then::Says(200, operation("declined"))]);
    assert_eq!(state_of(&outcome), "declined");
}

#[test]
fn a_lost_answer_is_asked_for_by_key() {
    let mut line = Line::payment();
    let outcome = line.run([Then::Silence, Then::Says(200, found("done"))]);
    assert_eq!(state_of(&outcome), "done");
    assert_eq!(line.targets(), [CALL, QUESTION]);
    assert_eq!(line.sent[1].idempotency_key, None, "a question is a read");
    assert_eq!(line.sent[1].attempt, None);
}

#[test]
fn a_lost_call_is_sent_again_signed_afresh_with_the_same_key_and_body() {
    let mut line = Line::payment();
    let asked = line.server_time().plus(Duration::from_millis(400));
    let outcome = line.run([
        Then::Break,
        Then::Says(200, nothing(asked, json!([]))),
        Then::Says(200, operation("done")),
    ]);
    assert_eq!(state_of(&outcome), "done");
    assert_eq!(line.targets(), [CALL, QUESTION, CALL]);
    let [first, _, again] = &line.sent[..] else { panic!() };
    assert_eq!((&first.body, &first.idempotency_key), (&again.body, &again.idempotency_key));
    assert!(again.attempt.is_some());
}

#[test]
fn a_retry_carries_times_of_its_own() {
    let mut line = Line::payment();
    let asked = line.server_time().plus(Duration::from_secs(20));
    line.run([
        Then::Silence,
        Then::Says(200, nothing(asked, json!([]))),
        Then::Says(200, operation("done")),
    ]);
    let [first, _, again] = &line.sent[..] else { panic!() };
    assert_eq!(again.created_s, first.created_s + 20);
    assert_ne!(first.signature, again.signature);
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut line = Line::payment();
    let Action::Send(outgoing) = at_once(line.exchange.next(line.now, 0)) else { panic!() };
    let body = serde_json::to_vec(&operation("processing")).unwrap();
    let answer = || signed(FIRST, 202, body.clone(), signature_of(&outgoing), line.server_time());
    let (first, second) = (answer(), answer());
    at_once(line.exchange.take(Event::Answered(first), line.now));
    at_once(line.exchange.take(Event::Answered(second), line.now));
    assert_eq!(state_of(&line.run([Then::Says(200, found("done"))])), "done");
}

/// Whatever says no without the server's signature says nothing.
#[test]
fn an_answer_that_is_not_proved_is_no_answer() {
    let refusal = || problem("invalid_field", "never", None);
    let unproved: Vec<fn() -> Then> = vec![
        || Then::Page(502, "<html>Bad Gateway</html>"),
        || Then::Page(200, r#"{"state":"declined"}"#),
        || Then::Altered(400, problem("invalid_field", "never", None)),
        || Then::Altered(200, operation("done")),
        || Then::Elsewhere(400, problem("invalid_field", "never", None)),
        || Then::Elsewhere(200, operation("declined")),
    ];
    for (at, unproved) in unproved.iter().enumerate() {
        let mut line = Line::payment();
        let outcome = line.run([unproved(), Then::Says(200, found("done"))]);
        assert_eq!((state_of(&outcome), line.targets()), ("done", vec![CALL, QUESTION]), "{at}");
    }
    // A stranger's signature is first followed up, and then not believed either.
    let mut line = Line::payment();
    let outcome = line.run([
        Then::By(STRANGER, 400, refusal()),
        Then::Keys(STRANGER, vec![(SECOND, STRANGER)]),
        Then::By(STRANGER, 200, found("declined")),
        Then::Says(200, found("done")),
    ]);
    assert_eq!(state_of(&outcome), "done");
    assert_eq!(line.targets(), [CALL, KEYS, QUESTION, QUESTION]);
    assert_eq!(line.pinned, []);
}

#[test]
fn a_new_answer_key_is_followed_and_pinned_before_it_is_believed() {
    let mut line = Line::payment();
    let outcome = line
        .run([Then::By(SECOND, 200, operation("done")), Then::Keys(SECOND, vec![(FIRST, SECOND)])]);
    assert_eq!(state_of(&outcome), "done");
    assert_eq!(line.pinned, [key(SECOND).public()]);
    assert_eq!(line.exchange.trust.pin, Fingerprint::of(&key(SECOND).public()));
}

#[test]
fn a_busy_server_says_nothing_of_what_was_begun() {
    for (status, code) in [(429, "too_many_requests"), (503, "overloaded"), (500, "internal")] {
        let mut line = Line::payment();
        let outcome = line.run([
            Then::Says(status, problem(code, "after", Some(3_000))),
            Then::Says(200, found("done")),
        ]);
        assert_eq!((state_of(&outcome), line.targets()), ("done", vec![CALL, QUESTION]), "{code}");
        assert!(line.sent[1].at_ms >= 3_000, "the advice is kept: {} ms", line.sent[1].at_ms);
    }
}

#[test]
fn a_busy_server_that_knows_nothing_is_sent_the_call_again() {
    let mut line = Line::payment();
    let asked = line.server_time().plus(Duration::from_secs(1));
    let outcome = line.run([
        Then::Says(503, problem("not_ready", "after", Some(500))),
        Then::Says(200, nothing(asked, json!([]))),
        Then::Says(200, operation("done")),
    ]);
    assert_eq!((state_of(&outcome), line.targets()), ("done", vec![CALL, QUESTION, CALL]));
}

#[test]
fn advice_to_wait_longer_than_the_verb_lives_is_followed_by_one_question() {
    let overloaded = || Then::Says(503, problem("overloaded", "after", Some(60_000)));
    let mut line = Line::payment();
    let outcome = line.run([overloaded(), Then::Says(200, found("done"))]);
    assert_eq!((state_of(&outcome), line.targets()), ("done", vec![CALL, QUESTION]));
    assert!((34_000..40_000).contains(&line.sent[1].at_ms), "{} ms", line.sent[1].at_ms);

    let outcome = Line::payment().run([overloaded(), overloaded()]);
    let Outcome::Unknown(Some(Cause::Refused(problem))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(problem.retry_after_ms, Some(60_000));
}

/// The disk was slow: the attempt stands in the journal, and what is left of its life is too short.
#[test]
fn what_was_noted_too_late_is_not_sent_and_signed_again() {
    let mut line = Line::payment();
    let mut calls = 0;
    let outcome = line.run_with(|line, outgoing| {
        calls += 1;
        if calls == 1 {
            assert_eq!(outgoing.least, Duration::from_millis(3_200));
            line.pass(Duration::from_secs(18));
            return Event::TooLate;
        }
        line.pass(Duration::from_millis(50));
        let body = serde_json::to_vec(&operation("done")).unwrap();
        let time = line.server_time();
        Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
    });
    assert_eq!((state_of(&outcome), line.targets()), ("done", vec![CALL, CALL]));
    assert_eq!(line.sent[1].created_s - line.sent[0].created_s, 18);

    let mut line = Line::payment();
    let outcome = line.run_with(|line, _| {
        line.pass(Duration::from_secs(18));
        Event::TooLate
    });
    assert!(matches!(outcome, Outcome::Failed(_)), "nothing was sent: {outcome:?}");
}

#[test]
fn a_refusal_of_the_first_attempt_is_the_last_word() {
    let mut line = Line::payment();
    let outcome = line.run([Then::Says(409, problem("order_taken", "never", None))]);
    assert_eq!(code_of(&outcome), "order_taken");
}

/// The attempt before it may have been taken; only the server knows.
#[test]
fn a_refusal_of_a_retry_is_followed_by_a_question() {
    let mut line = Line::payment();
    let asked = line.server_time().plus(Duration::from_millis(500));
    let outcome = line.run([
        Then::Break,
        Then::Says(200, nothing(asked, json!([]))),
        Then::Says(401, problem("key_revoked", "never", None)),
        Then::Says(200, found("done")),
    ]);
    assert_eq!(state_of(&outcome), "done");
    assert_eq!(line.targets(), [CALL, QUESTION, CALL, QUESTION]);
}

#[test]
fn a_refused_retry_is_refused_once_the_first_attempt_can_no_longer_arrive() {
    let mut line = Line::payment();
    let mut answers = vec![
        Then::Break,
        Then::Says(200, nothing(line.server_time(), json!([]))),
        Then::Says(409, problem("busy", "after", Some(100))),
        Then::Says(200, nothing(line.server_time(), json!([]))),
    ];
    // Both attempts end at 19 s; 15 s more, and the next second proves it.
    answers.push(Then::Says(200, nothing(attempt(0, 35).expires_ms, json!([]))));
    let outcome = line.run(answers);
    assert_eq!(code_of(&outcome), "busy");
    let asked_at = line.sent.last().unwrap().at_ms;
    assert!((33_600..37_000).contains(&asked_at), "{asked_at} ms");
}

#[test]
fn the_key_may_hold_a_refusal() {
    let mut held = problem("amount_exceeded", "never", None);
    held["found"] = "refusal".into();
    let outcome = Line::payment().run([Then::Silence, Then::Says(200, held)]);
    assert_eq!(code_of(&outcome), "amount_exceeded");
}

#[test]
fn nothing_found_is_not_made_only_past_expires_by_fifteen_seconds() {
    let proof = attempt(0, 19 + 15).expires_ms;
    for (after, proved) in [(Duration::ZERO, false), (Duration::from_secs(1), true)] {
        let mut line = resumed();
        line.pass(Duration::from_secs(33));
        line.travel = Duration::ZERO;
        line.now.wall = proof.plus(after);
        let answer = nothing(line.server_time(), json!([]));
        let later = nothing(proof.plus(Duration::from_secs(2)), json!([]));
        let mut answers = vec![Then::Says(200, answer)];
        if !proved {
            answers.push(Then::Says(200, later));
        }
        let outcome = line.run(answers);
        assert!(matches!(outcome, Outcome::NotMade), "{outcome:?}");
    }
}

/// The body may be replayed from a better time than the signature: the earlier of both counts.
#[test]
fn the_signed_time_is_the_proof() {
    let mut line = resumed();
    let far = attempt(0, 1_000).expires_ms;
    let outcome = line.run_with(|line, outgoing| {
        line.pass(Duration::from_millis(50));
        let body = serde_json::to_vec(&nothing(far, json!([]))).unwrap();
        let time = line.server_time().min(attempt(0, 34).expires_ms);
        Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
    });
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[test]
fn a_resumed_call_is_never_sent() {
    let mut line = resumed();
    let outcome = line.run_with(|line, outgoing| {
        assert_eq!(outgoing.request.target, QUESTION);
        line.pass(Duration::from_millis(50));
        let body = serde_json::to_vec(&nothing(line.server_time(), json!([]))).unwrap();
        let time = line.server_time();
        Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
    });
    assert!(matches!(outcome, Outcome::NotMade), "{outcome:?}");
    assert!(line.elapsed_ms() > 33_000);
}

/// The process before this one had only the fingerprint of its enrolment code, and so has this one.
#[test]
fn a_resumed_call_is_asked_about_once_the_answer_key_is_fetched() {
    let mut line = after_believing(vec![attempt(0, 19)], Trust { answer_key: None, ..trust() });
    let outcome = line.run([
        Then::Page(503, "starting"),
        Then::Keys(FIRST, vec![]),
        Then::Says(200, found("done")),
    ]);
    assert_eq!((state_of(&outcome), line.targets()), ("done", vec![KEYS, KEYS, QUESTION]));

    let mut line = after_believing(vec![attempt(0, 19)], Trust { answer_key: None, ..trust() });
    let outcome = line.run([Then::Keys(STRANGER, vec![(SECOND, STRANGER)])]);
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[test]
fn an_attempt_in_a_gap_needs_a_person() {
    let base = BEGINNING.as_ms();
    for (from, to, is_within) in [
        (5_000, 6_000, true),
        // The server's clock may have been 10 s behind ours, and the call 15 s on its way.
        (-20_000, -9_000, true),
        (33_000, 60_000, true),
        (-20_000, -11_000, false),
        (35_000, 60_000, false),
    ] {
        let mut line = resumed();
        line.pass(Duration::from_secs(120));
        let gap = json!([{
            "from_ms": base.saturating_add_signed(from),
            "to_ms": base.saturating_add_signed(to),
        }]);
        let outcome = line.run([Then::Says(200, nothing(line.server_time(), gap))]);
        assert_eq!(matches!(outcome, Outcome::NeedsHuman), is_within, "{from}..{to}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::NotMade), !is_within);
    }
}

/// `tests/vectors/nothing.json`.
#[test]
fn nothing_means_what_the_vectors_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/nothing.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let attempts = case["attempts"].as_array().unwrap().iter().map(|attempt| Attempt {
            created_ms: Timestamp::from_ms(attempt["created_ms"].as_u64().unwrap()),
            expires_ms: Timestamp::from_ms(attempt["expires_ms"].as_u64().unwrap()),
        });
        let mut line = after(attempts.collect());
        let signed_at = Timestamp::from_secs(case["answer"]["created_s"].as_u64().unwrap());
        let server_time = case["answer"]["server_time_ms"].as_u64().unwrap();
        let nothing = nothing(Timestamp::from_ms(server_time), case["answer"]["gaps"].clone());
        let mut answers = vec![nothing];
        if case["told_before"] == true {
            answers.push(found("processing"));
        }
        // It ends, or it has heard everything and asks again.
        let found = loop {
            match at_once(line.exchange.next(line.now, 7)) {
                Action::Done(Outcome::NotMade) => break "not_made",
                Action::Done(Outcome::NeedsHuman) => break "needs_human",
                Action::Wait(span) => line.pass(span),
                Action::Send(outgoing) => {
                    let Some(body) = answers.pop() else { break "not_known" };
                    let body = serde_json::to_vec(&body).unwrap();
                    let answer = signed(FIRST, 200, body, signature_of(&outgoing), signed_at);
                    at_once(line.exchange.take(Event::Answered(answer), line.now));
                }
                other => panic!("{}: {other:?}", case["name"]),
            }
        };
        assert_eq!(found, case["outcome"], "{}", case["name"]);
    }
}

#[test]
fn a_server_that_forgets_what_it_had_said_needs_a_person() {
    let mut line = Line::payment();
    let forgotten = nothing(line.server_time(), json!([]));
    let outcome = line.run([Then::Says(202, operation("processing")), Then::Says(200, forgotten)]);
    assert!(matches!(outcome, Outcome::NeedsHuman), "{outcome:?}");
}

#[test]
fn an_open_operation_is_waited_for() {
    let mut line = Line::payment();
    let mut processing = operation("processing");
    processing["ask_after_ms"] = 2_000.into();
    let mut unknown = found("unknown");
    unknown["ask_after_ms"] = 4_000.into();
    let outcome = line.run([
        Then::Says(202, processing),
        Then::Says(200, unknown),
        Then::Says(200, found("done")),
    ]);
    assert_eq!(state_of(&outcome), "done");
    assert!((2_000..2_800).contains(&line.sent[1].at_ms), "{}", line.sent[1].at_ms);
    assert!((6_000..8_000).contains(&line.sent[2].at_ms), "{}", line.sent[2].at_ms);
}

#[test]
fn what_is_still_open_at_the_end_is_told_as_open() {
    let mut line = Line::payment();
    let mut asked = 0;
    let outcome = line.run_with(|line, outgoing| {
        asked += 1;
        line.pass(Duration::from_millis(50));
        let (status, body) = match outgoing.request.target.as_str() {
            CALL => (202, operation("processing")),
            // A line that fails on the way does not make it unknown.
            _ if asked == 5 => return Event::Failed(SendFailure::Timeout),
            _ => (200, found("unknown")),
        };
        let body = serde_json::to_vec(&body).unwrap();
        let time = line.server_time();
        Event::Answered(signed(FIRST, status, body, signature_of(outgoing), time))
    });
    assert_eq!(state_of(&outcome), "unknown");
    assert!((38_000..=40_000).contains(&line.elapsed_ms()), "{}", line.elapsed_ms());
    assert_eq!(line.targets().iter().filter(|target| **target == CALL).count(), 1);
}

#[test]
fn what_people_decide_is_not_waited_for() {
    for state in ["pending", "needs_payer", "needs_human", "from_the_future"] {
        let outcome = Line::payment().run([Then::Says(202, operation(state))]);
        assert_eq!(state_of(&outcome), state);
    }
}

#[test]
fn without_a_connection_nothing_was_made() {
    let mut line = Line::payment();
    let outcome = line.run_with(|line, _| line_is_down(line));
    let Outcome::Failed(Cause::Sending(failure)) = outcome else { panic!("{outcome:?}") };
    assert!(failure.nothing_was_sent());
    assert!(line.targets().iter().all(|target| *target == CALL), "nothing to ask about");
    assert!(line.sent.len() > 5 && line.elapsed_ms() <= 40_000);
}

fn line_is_down(line: &mut Line) -> Event {
    line.pass(Duration::from_millis(5));
    Event::Failed(SendFailure::Connect("no way".into()))
}

#[test]
fn a_connection_that_comes_back_is_used_without_a_question() {
    let mut line = Line::payment();
    let outcome = line.run([Then::Nowhere, Then::Nowhere, Then::Says(200, operation("done"))]);
    assert_eq!((state_of(&outcome), line.targets()), ("done", vec![CALL, CALL, CALL]));
}

#[test]
fn a_wrong_certificate_ends_it_at_once() {
    let outcome = Line::payment().run([Then::Untrusted]);
    assert!(matches!(&outcome, Outcome::Failed(Cause::Sending(failure)) if failure.is_untrusted()));
    // Once something may have arrived, it is unknown all the same.
    let outcome = Line::payment().run([Then::Break, Then::Untrusted]);
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[test]
fn an_operation_of_another_call_is_not_ours() {
    for (field, other) in [
        ("idempotency_key", json!("fedcba9876543210")),
        ("operation", json!("authorise")),
        ("amount", json!(1_201)),
        ("currency", json!("EUR")),
        ("order_id", json!("order-2")),
    ] {
        let mut wrong = operation("done");
        wrong[field] = other;
        let mut line = Line::payment();
        let outcome = line.run([Then::Says(200, wrong), Then::Says(200, found("done"))]);
        assert_eq!((state_of(&outcome), line.sent.len()), ("done", 2), "{field}");
    }
}

#[test]
fn a_signed_answer_that_cannot_be_read_is_unknown() {
    let mut line = Line::payment();
    let outcome = line.run_with(|line, outgoing| {
        line.pass(Duration::from_millis(50));
        let time = line.server_time();
        Event::Answered(signed(FIRST, 200, b"{}".to_vec(), signature_of(outgoing), time))
    });
    assert!(matches!(outcome, Outcome::Unknown(Some(Cause::Unreadable(_)))), "{outcome:?}");
}

#[test]
fn what_the_journal_does_not_take_is_not_sent() {
    let refused = || Cause::Journal(crate::journal::JournalError::NoEntry);
    let mut line = Line::payment();
    let outcome = line.run_with(|_, _| Event::NotNoted(refused()));
    assert!(matches!(outcome, Outcome::Failed(Cause::Journal(_))), "{outcome:?}");
    // A retry that cannot be noted leaves the first attempt unknown.
    let mut line = Line::payment();
    let mut calls = 0;
    let outcome = line.run_with(|line, outgoing| {
        line.pass(Duration::from_millis(50));
        if outgoing.attempt.is_some() {
            calls += 1;
            let first = Event::Failed(SendFailure::Timeout);
            return if calls == 1 { first } else { Event::NotNoted(refused()) };
        }
        let body = serde_json::to_vec(&nothing(line.server_time(), json!([]))).unwrap();
        let time = line.server_time();
        Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
    });
    assert!(matches!(outcome, Outcome::Unknown(Some(Cause::Journal(_)))), "{outcome:?}");
}

/// The caller repeats a call of this process whose outcome it did not learn.
#[test]
fn a_key_that_is_in_the_journal_is_asked_for_first() {
    for may_send in [true, false] {
        let mut line = Line::payment();
        let Action::Send(_) = at_once(line.exchange.next(line.now, 0)) else { panic!() };
        let known = Event::Known { attempts: vec![attempt(0, 19)], may_send };
        at_once(line.exchange.take(known, line.now));
        let mut sent_again = false;
        let outcome = line.run_with(|line, outgoing| {
            line.pass(Duration::from_millis(50));
            let body = if outgoing.request.target == CALL {
                sent_again = true;
                operation("done")
            } else {
                nothing(line.server_time(), json!([]))
            };
            let body = serde_json::to_vec(&body).unwrap();
            let time = line.server_time();
            Event::Answered(signed(FIRST, 200, body, signature_of(outgoing), time))
        });
        assert_eq!(line.sent[0].target, QUESTION);
        assert_eq!(sent_again, may_send);
        assert_eq!(matches!(outcome, Outcome::NotMade), !may_send, "{outcome:?}");
    }
}

/// The refusal may be of a bent copy, and the key cannot ask; another one can.
#[test]
fn another_key_goes_on_where_the_first_was_refused() {
    let mut line = Line::payment();
    let revoked = || Then::Says(401, problem("key_revoked", "never", None));
    let outcome = line.run([revoked(), revoked()]);
    let Outcome::Unknown(Some(Cause::Refused(refusal))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.code.as_str(), "key_revoked");
    line.exchange.sign_as(Arc::new(key(SHOP).into()), line.now);
    let asked = nothing(line.server_time(), json!([]));
    let outcome = line.run([Then::Says(200, asked), Then::Says(200, operation("done"))]);
    assert_eq!(state_of(&outcome), "done");
    assert_eq!(line.targets(), [CALL, QUESTION, QUESTION, CALL]);
}

/// Refusals that are given before the signature is looked at: somebody on the line bends a copy, is
/// given the server's signed refusal of that, and lets the call itself through later.
const BENT: [(u16, &str, &str); 8] = [
    (401, "signature_missing", "never"),
    (401, "signature_invalid", "never"),
    (401, "digest_mismatch", "never"),
    (401, "signature_stale", "same_key"),
    (408, "body_too_slow", "same_key"),
    (413, "body_too_large", "never"),
    (415, "unsupported_media_type", "never"),
    (418, "from_the_future", "never"),
];

#[test]
fn the_refusal_of_a_bent_copy_is_not_that_of_the_call() {
    for (status, code, retry) in BENT {
        let mut line = Line::payment();
        let mut calls = 0;
        let outcome = line.run_with(|line, outgoing| {
            line.pass(Duration::from_millis(50));
            let is_call = outgoing.request.target == CALL;
            calls += u32::from(is_call);
            // The call itself is delivered 10 s after its copy.
            let (status, body) = match (is_call, line.elapsed_ms()) {
                (true, _) => (status, problem(code, retry, None)),
                (false, ..10_000) => (200, nothing(line.server_time(), json!([]))),
                (false, _) => (200, found("done")),
            };
            let body = serde_json::to_vec(&body).unwrap();
            let time = line.server_time();
            Event::Answered(signed(FIRST, status, body, signature_of(outgoing), time))
        });
        assert_eq!(state_of(&outcome), "done", "{code}");
        assert_eq!(calls, if retry == "same_key" { 3 } else { 1 }, "{code}");
    }
}

#[test]
fn a_refusal_before_verification_is_told_once_the_call_cannot_arrive_any_more() {
    for (status, code, retry) in BENT {
        let mut line = Line::payment();
        let outcome = line.run_with(|line, outgoing| {
            line.pass(Duration::from_millis(50));
            let (status, body) = match outgoing.request.target.as_str() {
                CALL => (status, problem(code, retry, None)),
                _ => (200, nothing(line.server_time(), json!([]))),
            };
            let body = serde_json::to_vec(&body).unwrap();
            let time = line.server_time();
            Event::Answered(signed(FIRST, status, body, signature_of(outgoing), time))
        });
        assert_eq!(code_of(&outcome), code);
        // The attempt was good until 19 s, and 15 s more may have been on its way.
        assert!((33_600..40_000).contains(&line.elapsed_ms()), "{code}: {}", line.elapsed_ms());
    }
}

/// The question may be bent as well; it is asked again.
#[test]
fn the_refusal_of_a_bent_question_is_not_that_of_the_question() {
    let bent = || Then::Says(415, problem("unsupported_media_type", "never", None));
    let mut line = Line::payment();
    let outcome = line.run([Then::Break, bent(), bent(), Then::Says(200, found("done"))]);
    assert_eq!(state_of(&outcome), "done");
    // Another key or session would be heard, and this one is not.
    for code in ["key_unknown", "session_ended"] {
        let refused = || Then::Says(401, problem(code, "never", None));
        let outcome = Line::payment().run([refused(), refused()]);
        assert!(matches!(outcome, Outcome::Unknown(Some(Cause::Refused(_)))), "{outcome:?}");
    }
}
