use super::*;
use crate::Timestamp;
use crate::money::{Currency, Money};
use crate::seal::{
    Binding, Card, Envelope, Expiry, Instrument, SealKey, SealSecretKey, SealedOperation, open,
    seal,
};

const NOT_AFTER: Timestamp = Timestamp::from_ms(1_795_000_010_000);

fn id(last: char) -> OperationId {
    format!("op_06fpc9v3r0e4k7m2n8q1s5t9w{last}").parse().unwrap()
}

fn secret() -> SealSecretKey {
    SealSecretKey::from_octets(&[7; 32])
}

fn envelope(operation: SealedOperation) -> Envelope {
    let binding = Binding {
        institution: "sakura-card".parse().unwrap(),
        contract_number: "4980012345".parse().unwrap(),
        operation,
        order_id: "order-1".parse().unwrap(),
        money: Money::new(1_200, Currency::JPY).unwrap(),
    };
    let card = Card::new("4111111111111111", Expiry { year: 2030, month: 12 }).unwrap();
    let key = SealKey::new(secret().public(), NOT_AFTER);
    seal(&Instrument::Card(card), &binding, NOT_AFTER, &key, &[1; 48]).unwrap()
}

fn request(movement: Movement) -> OperationRequest {
    OperationRequest {
        operation_id: id('x'),
        movement,
        contract_number: "4980012345".parse().unwrap(),
        order_id: "order-1".parse().unwrap(),
        amount: Money::new(1_200, Currency::JPY).unwrap().amount,
        currency: Currency::JPY,
        not_after: NOT_AFTER,
    }
}

fn instruction(operation: SealedOperation) -> PayerInstruction {
    PayerInstruction { envelope: envelope(operation), allow_partial: false }
}

fn sale() -> OperationRequest {
    request(Movement::Sale(instruction(SealedOperation::Sale)))
}

fn outcome(state: OutcomeState, minor: u64) -> OperationAnswer {
    OperationAnswer::Outcome(Outcome {
        operation_id: id('x'),
        order_id: "order-1".parse().unwrap(),
        amount: Money::new(minor, Currency::JPY).unwrap().amount,
        currency: Currency::JPY,
        state,
        reference: "R1".parse().unwrap(),
        card_reference: None,
        shop_record_version: 1,
        time: NOT_AFTER,
    })
}

const DONE: OutcomeState = OutcomeState::Done { approval_code: None };

#[test]
fn the_institution_rebuilds_the_binding_from_the_request() {
    let here = "sakura-card".parse().unwrap();
    let check = CheckRequest {
        contract_number: "4980012345".parse().unwrap(),
        order_id: "order-1".parse().unwrap(),
        amount: sale().amount,
        currency: Currency::JPY,
        envelope: envelope(SealedOperation::Check),
    };
    assert!(open(&check.envelope, &check.binding(&here), &secret()).is_ok());
    let authorise = request(Movement::Authorise(instruction(SealedOperation::Authorise)));
    for request in [sale(), authorise] {
        let envelope = &request.instruction().unwrap().envelope;
        assert!(open(envelope, &request.binding(&here).unwrap(), &secret()).is_ok());
        // What was sealed for a sale is no envelope for a check.
        assert!(open(envelope, &check.binding(&here), &secret()).is_err());
        let elsewhere = "aozora-bank".parse().unwrap();
        assert!(open(envelope, &request.binding(&elsewhere).unwrap(), &secret()).is_err());
    }
    assert_eq!(request(Movement::Void { original: id('y') }).binding(&here), None);
}

#[test]
fn each_field_moves_the_fingerprint() {
    let base = sale();
    let others = [
        OperationRequest { operation_id: id('y'), ..base.clone() },
        request(Movement::Authorise(instruction(SealedOperation::Sale))),
        request(Movement::Sale(instruction(SealedOperation::Authorise))),
        request(Movement::Sale(PayerInstruction {
            allow_partial: true,
            ..instruction(SealedOperation::Sale)
        })),
        request(Movement::Capture { original: id('y') }),
        request(Movement::Capture { original: id('z') }),
        request(Movement::Refund { original: id('y') }),
        OperationRequest { contract_number: "4980012346".parse().unwrap(), ..base.clone() },
        OperationRequest { order_id: "order-2".parse().unwrap(), ..base.clone() },
        OperationRequest {
            amount: Money::new(1_201, Currency::JPY).unwrap().amount,
            ..base.clone()
        },
        OperationRequest { currency: Currency::KRW, ..base.clone() },
        OperationRequest { not_after: Timestamp::from_ms(1), ..base.clone() },
    ];
    let mut seen = vec![base.fingerprint()];
    for other in others {
        assert!(!seen.contains(&other.fingerprint()), "{other:?}");
        seen.push(other.fingerprint());
    }
    assert_eq!(sale().fingerprint(), base.fingerprint());
}

#[test]
fn a_repeated_reversal_is_the_same_reversal() {
    let reversal = ReversalRequest {
        operation_id: id('y'),
        original: id('x'),
        contract_number: "4980012345".parse().unwrap(),
        order_id: "order-1".parse().unwrap(),
        amount: sale().amount,
        currency: Currency::JPY,
        repeat: false,
        not_after: NOT_AFTER,
    };
    let later = NOT_AFTER.plus(std::time::Duration::from_secs(60));
    let repeat = ReversalRequest { repeat: true, not_after: later, ..reversal.clone() };
    assert_eq!(repeat.fingerprint(), reversal.fingerprint());
    let other = ReversalRequest { original: id('z'), ..reversal.clone() };
    assert_ne!(other.fingerprint(), reversal.fingerprint());

    let answer = |state, time| ReversalAnswer {
        operation_id: id('y'),
        original: id('x'),
        order_id: "order-1".parse().unwrap(),
        money: Money::new(1_200, Currency::JPY).unwrap(),
        state,
        reference: None,
        time,
    };
    assert!(answer(ReversalState::Reversed, Timestamp::default()).is_final(NOT_AFTER));
    assert!(!answer(ReversalState::OriginalNotFound, NOT_AFTER).is_final(NOT_AFTER));
    assert!(answer(ReversalState::OriginalNotFound, later).is_final(NOT_AFTER));
    assert!(!answer(ReversalState::AlreadySettled, later).is_final(NOT_AFTER));
    assert!(!answer(ReversalState::NotProcessed, later).is_final(NOT_AFTER));
    assert!(answer(ReversalState::Reversed, later).echoes(&reversal));
    assert!(!answer(ReversalState::Reversed, later).echoes(&other));
}

#[test]
fn not_found_is_final_only_past_not_after_by_the_institutions_time() {
    let not_found = |time| OperationAnswer::NotFound { operation_id: id('x'), time };
    assert!(!not_found(Timestamp::from_ms(NOT_AFTER.as_ms() - 1)).proves_not_processed(NOT_AFTER));
    assert!(!not_found(NOT_AFTER).proves_not_processed(NOT_AFTER));
    assert!(not_found(Timestamp::from_ms(NOT_AFTER.as_ms() + 1)).proves_not_processed(NOT_AFTER));
    let refused = OperationAnswer::NotProcessed { operation_id: id('x'), time: NOT_AFTER };
    assert!(refused.proves_not_processed(NOT_AFTER));
    assert!(!outcome(DONE, 1_200).proves_not_processed(Timestamp::default()));
}

#[test]
fn an_answer_must_echo_the_operation() {
    let order = "order-1".parse().unwrap();
    let asked = |minor, may_be_partial| Echo {
        operation_id: id('x'),
        order_id: &order,
        money: Money::new(minor, Currency::JPY).unwrap(),
        may_be_partial,
    };
    let field = |answer: &OperationAnswer, echo: &Echo<'_>| {
        answer.check_echo(echo).err().map(|mismatch| mismatch.field)
    };
    let declined =
        OutcomeState::Declined { reason: crate::reason::DeclineReason::Other, raw_code: None };
    assert_eq!(field(&outcome(DONE, 1_200), &asked(1_200, false)), None);
    assert_eq!(field(&outcome(DONE, 1_000), &asked(1_200, true)), None);
    assert_eq!(field(&outcome(DONE, 1_000), &asked(1_200, false)), Some("amount"));
    assert_eq!(field(&outcome(DONE, 1_201), &asked(1_200, true)), Some("amount"));
    assert_eq!(field(&outcome(declined, 1_000), &asked(1_200, true)), Some("amount"));
    let other_order = "order-2".parse().unwrap();
    let of_other = Echo { order_id: &other_order, ..asked(1_200, false) };
    assert_eq!(field(&outcome(DONE, 1_200), &of_other), Some("order_id"));
    let won = Money::new(1_200, Currency::KRW).unwrap();
    let in_won = Echo { money: won, ..asked(1_200, false) };
    assert_eq!(field(&outcome(DONE, 1_200), &in_won), Some("currency"));
    let other = Echo { operation_id: id('y'), ..asked(1_200, false) };
    assert_eq!(field(&outcome(DONE, 1_200), &other), Some("operation_id"));
    let missing = OperationAnswer::NotFound { operation_id: id('x'), time: NOT_AFTER };
    assert_eq!(field(&missing, &asked(1_200, false)), None);
    assert_eq!(field(&missing, &other), Some("operation_id"));
}

#[test]
fn what_is_not_one_object_is_no_body() {
    let good = to_json(&sale());
    assert_eq!(parse::<OperationRequest>(&good), Ok(sale()));
    let good = String::from_utf8(good).unwrap();
    let deep = format!("{{\"x\":{}", "[".repeat(10_000));
    let list = r#"["op_06fpc9v3r0e4k7m2n8q1s5t9wx"]"#;
    for broken in ["", " ", "{", "null", list, &format!("{good}{good}"), "\u{feff}{}"] {
        let refusal = parse::<OperationRequest>(broken.as_bytes());
        assert!(matches!(&refusal, Err(InvalidBody::Json { .. })), "{broken:.40}: {refusal:?}");
    }
    // Deep nesting below an unknown member of an answer, which readers skip.
    assert!(parse::<OperationAnswer>(deep.as_bytes()).is_err());
    let doubled = good.replacen("{", r#"{"amount":1,"#, 1);
    let refusal = parse::<OperationRequest>(doubled.as_bytes());
    assert!(
        matches!(&refusal, Err(InvalidBody::Field { field, .. }) if field == "amount"),
        "{refusal:?}"
    );
    let fraction = good.replace(":1200,", ":1200.0,");
    assert!(fraction != good && parse::<OperationRequest>(fraction.as_bytes()).is_err());
    let latin = b"{\"operation_id\":\"\xff\"}";
    assert!(parse::<OperationRequest>(latin).is_err());
    // Nor below a member that is not known, which nobody reads.
    let answer = |text: &[u8]| {
        let id = b"{\"operation_id\":\"op_06fpc9v3r0e4k7m2n8q1s5t9wx\",";
        let rest = b"\"state\":\"not_processed\",\"time_ms\":1,\"more\":\"";
        parse::<OperationAnswer>(&[&id[..], rest, text, b"\"}"].concat())
    };
    assert!(answer(b"\xc3\xa9").is_ok());
    assert!(matches!(answer(b"\xe9"), Err(InvalidBody::Json { .. })));
    let long = format!("{good}{}", " ".repeat(MAX_REQUEST_OCTETS));
    assert!(matches!(
        parse::<OperationRequest>(long.as_bytes()),
        Err(InvalidBody::TooLarge { most: 16_384, .. })
    ));
}

proptest::proptest! {
    /// What a stranger sends is refused or read, whatever it is.
    #[test]
    fn no_octets_make_a_reader_panic(
        at in 0_usize..900,
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..8),
    ) {
        let mut octets = to_json(&sale());
        let end = octets.len().min(at + noise.len());
        octets.splice(at.min(end)..end, noise.iter().copied());
        if let Ok(read) = parse::<OperationRequest>(&octets) {
            proptest::prop_assert_eq!(parse(&to_json(&read)), Ok(read));
        }
        let _ = parse::<OperationAnswer>(&octets);
        let _ = parse::<InstitutionInfo>(&noise);
        let _ = Instrument::from_json(&octets);
    }
}
