//! Rules about taking an operation: once, in time, and with an envelope of its own.

use std::time::Duration;

use pos_protocol::institution::{
    InstitutionCode, Movement, OperationAnswer, OperationRequest, OutcomeState, PayerInstruction,
};
use pos_protocol::money::Amount;
use pos_protocol::payment::OperationKind;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::{Envelope, SealedOperation};
use tokio::time::sleep;

use super::movements::following;
use super::probe::{Probe, Said, echoed, refused_with};
use super::{Found, Rule, Stop, not};

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "does an operation once, however often it comes",
        section: "5",
        check: |probe| Box::pin(same_id_same_effect(probe)),
    },
    Rule {
        rule: "refuses another request under a used operation id",
        section: "5",
        check: |probe| Box::pin(reused_id(probe)),
    },
    Rule {
        rule: "refuses a late arrival and remembers it",
        section: "5",
        check: |probe| Box::pin(late(probe)),
    },
    Rule {
        rule: "says that it knows nothing of an operation it never got",
        section: "4.4",
        check: |probe| Box::pin(not_found(probe)),
    },
    Rule {
        rule: "does not take what it had said would not come any more",
        section: "4.4",
        check: |probe| Box::pin(late_after_inquiry(probe)),
    },
    Rule {
        rule: "refuses operations that it does not offer",
        section: "4.1",
        check: |probe| Box::pin(unsupported(probe)),
    },
    Rule {
        rule: "takes an envelope for one operation only",
        section: "5",
        check: |probe| Box::pin(used_envelope(probe)),
    },
    Rule {
        rule: "refuses an envelope that was sealed for something else",
        section: "5",
        check: |probe| Box::pin(foreign_envelope(probe)),
    },
    Rule {
        rule: "refuses an envelope whose life is over",
        section: "5",
        check: |probe| Box::pin(expired_envelope(probe)),
    },
    Rule {
        rule: "declines an unknown contract as merchant_invalid",
        section: "5",
        check: |probe| Box::pin(unknown_contract(probe)),
    },
    Rule {
        rule: "declines each test instrument for its reason",
        section: "7",
        check: |probe| Box::pin(reasons(probe)),
    },
];

async fn same_id_same_effect(probe: &Probe<'_>) -> Found {
    let request = probe.payment("approve")?;
    // Three at once, as two servers may after one of them was taken for dead.
    let (one, two, three) =
        tokio::join!(probe.done(&request), probe.done(&request), probe.done(&request));
    let (one, two, three) = (one?, two?, three?);
    let later = OperationRequest { ..request.clone() };
    let four = probe.done(&later).await?;
    let asked = echoed(&request, probe.inquire(request.operation_id).await?)?;
    for other in [two, three, four, asked] {
        if other.reference != one.reference || other.state != one.state {
            return Err(not("the same outcome and reference every time", &other));
        }
    }
    Ok(())
}

async fn reused_id(probe: &Probe<'_>) -> Found {
    let first = probe.payment("approve")?;
    probe.done(&first).await?;
    let second = OperationRequest { operation_id: first.operation_id, ..probe.payment("approve")? };
    refused_with(probe.operate(&second).await?, InstitutionCode::OperationIdReused)
}

async fn late(probe: &Probe<'_>) -> Found {
    let request = probe.payment("approve")?;
    let past = probe.clock.now().minus(Duration::from_secs(5));
    let request = OperationRequest { not_after: past, ..request };
    let refused = |answer: &OperationAnswer| {
        matches!(answer, OperationAnswer::NotProcessed { operation_id, .. }
            if *operation_id == request.operation_id)
    };
    for _ in 0..2 {
        match probe.operate(&request).await? {
            Said::Answer(answer) if refused(&answer) => {}
            other => return Err(not("the state `not_processed`", &other)),
        }
    }
    let asked = probe.inquire(request.operation_id).await?;
    if refused(&asked) { Ok(()) } else { Err(not("`not_processed` to an inquiry", &asked)) }
}

async fn not_found(probe: &Probe<'_>) -> Found {
    let id = probe.fresh_id();
    match probe.inquire(id).await? {
        OperationAnswer::NotFound { operation_id, time } if operation_id == id => {
            let now = probe.clock.now();
            let apart = now.since(time).max(time.since(now));
            if apart > Duration::from_secs(10) {
                return Err(Stop::Broken(format!(
                    "its clock is {} s away from ours",
                    apart.as_secs()
                )));
            }
            Ok(())
        }
        other => Err(not("the state `not_found`", &other)),
    }
}

/// "Not found" after `not_after` frees the order at the server: what comes then must not be taken.
async fn late_after_inquiry(probe: &Probe<'_>) -> Found {
    let request = probe.payment("approve")?;
    let request = OperationRequest { not_after: probe.clock.now(), ..request };
    let end = probe.clock.monotonic().saturating_add(Duration::from_secs(15));
    loop {
        match probe.inquire(request.operation_id).await? {
            OperationAnswer::NotFound { time, .. } if time > request.not_after => break,
            OperationAnswer::NotFound { .. } if probe.clock.monotonic() < end => {
                sleep(Duration::from_millis(20)).await;
            }
            other => return Err(not("`not_found` at a time past `not_after_ms`", &other)),
        }
    }
    match probe.operate(&request).await? {
        Said::Answer(OperationAnswer::NotProcessed { .. }) => Ok(()),
        other => Err(not("the state `not_processed`", &other)),
    }
}

async fn unsupported(probe: &Probe<'_>) -> Found {
    let mut any = false;
    for kind in OperationKind::ASKED.iter().copied().filter(|kind| !probe.can(*kind)) {
        any = true;
        let first = probe.any_payment(kind, "approve")?;
        let request = if kind.begins_payment() {
            first
        } else {
            let other = OperationRequest { operation_id: probe.fresh_id(), ..first.clone() };
            following(&other, kind, first.operation_id)
        };
        refused_with(probe.operate(&request).await?, InstitutionCode::OperationUnsupported)?;
    }
    if any { Ok(()) } else { Err(Stop::NotOffered("it offers every operation".into())) }
}

async fn used_envelope(probe: &Probe<'_>) -> Found {
    let first = probe.payment("approve")?;
    let second = OperationRequest { operation_id: probe.fresh_id(), ..first.clone() };
    let third = OperationRequest { operation_id: probe.fresh_id(), ..first.clone() };
    // Two at once, so that looking at `rand` and taking it must be one step.
    let (one, two) = tokio::join!(probe.operate(&first), probe.operate(&second));
    let (taken, refused, id) = match (one?, two?) {
        (taken @ Said::Answer(_), refused) => (taken, refused, second.operation_id),
        (refused, taken) => (taken, refused, first.operation_id),
    };
    match taken {
        Said::Answer(OperationAnswer::Outcome(outcome))
            if matches!(
                outcome.state,
                OutcomeState::Done { .. } | OutcomeState::Pending { .. }
            ) => {}
        other => return Err(not("one of two operations with one envelope to be done", &other)),
    }
    refused_with(refused, InstitutionCode::EnvelopeUsed)?;
    refused_with(probe.operate(&third).await?, InstitutionCode::EnvelopeUsed)?;
    for id in [id, third.operation_id] {
        match probe.inquire(id).await? {
            OperationAnswer::NotFound { .. } => {}
            other => return Err(not("nothing to be known of a refused operation", &other)),
        }
    }
    Ok(())
}

async fn foreign_envelope(probe: &Probe<'_>) -> Found {
    let request = probe.payment("approve")?;
    let more = Amount::new(request.amount.minor().saturating_add(1))
        .map_err(|error| Stop::Missing(error.to_string()))?;
    let other_order = OperationRequest { order_id: probe.fresh_order(), ..request.clone() };
    let other_amount = OperationRequest { amount: more, ..request.clone() };
    let invalid = InstitutionCode::EnvelopeInvalid;
    for foreign in [other_order, other_amount] {
        refused_with(probe.operate(&foreign).await?, invalid)?;
    }
    let (Movement::Sale(said) | Movement::Authorise(said)) = &request.movement else {
        return Err(Stop::NotOffered("it takes no new payments".into()));
    };
    let altered = with_envelope(&request, altered(&said.envelope)?);
    refused_with(probe.operate(&altered).await?, invalid)?;
    // None of it used the envelope up.
    probe.done(&request).await.map(drop)
}

async fn expired_envelope(probe: &Probe<'_>) -> Found {
    let request = probe.payment("approve")?;
    let operation = match request.movement {
        Movement::Authorise(_) => SealedOperation::Authorise,
        _ => SealedOperation::Sale,
    };
    let now = probe.clock.now();
    let ends = [now.minus(Duration::from_secs(30)), now.plus(Duration::from_secs(16 * 60))];
    for end in ends {
        let money = probe.money();
        let envelope = probe.seal_until("approve", operation, &request.order_id, money, end)?;
        let request = with_envelope(&request, envelope);
        refused_with(probe.operate(&request).await?, InstitutionCode::EnvelopeExpired)?;
    }
    Ok(())
}

async fn unknown_contract(probe: &Probe<'_>) -> Found {
    let nobody = "NOBODY-0000000000".parse().expect("the word is a contract number");
    let mut other = probe.payment("approve")?;
    other.contract_number = nobody;
    // Bound to a contract that is not there, the envelope may be refused just as well.
    match probe.operate(&other).await? {
        Said::Answer(answer) => {
            declined_for(&echoed(&other, answer)?.state, DeclineReason::MerchantInvalid)
        }
        refused @ Said::Refusal(..) => refused_with(refused, InstitutionCode::EnvelopeInvalid),
    }
}

async fn reasons(probe: &Probe<'_>) -> Found {
    let told = &probe.info().reasons;
    if told.is_empty() {
        return Err(Stop::NotOffered("it tells no reasons apart".into()));
    }
    let has = |reason: &&DeclineReason| probe.instrument(reason.wire()).is_ok();
    let (there, missing): (Vec<&DeclineReason>, Vec<_>) = told.iter().partition(has);
    for reason in there {
        let outcome = probe.outcome(&probe.payment(reason.wire())?).await?;
        declined_for(&outcome.state, *reason)?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|reason| format!("`{}`", reason.wire())).collect();
    Err(Stop::Missing(format!("there is no test instrument {}", names.join(", "))))
}

fn declined_for(state: &OutcomeState, wanted: DeclineReason) -> Found {
    match state {
        OutcomeState::Declined { reason, .. } if *reason == wanted => Ok(()),
        other => Err(not(&format!("a decline for `{}`", wanted.wire()), other)),
    }
}

fn with_envelope(request: &OperationRequest, envelope: Envelope) -> OperationRequest {
    let instruction = PayerInstruction { envelope, allow_partial: false };
    let movement = match request.movement {
        Movement::Authorise(_) => Movement::Authorise(instruction),
        _ => Movement::Sale(instruction),
    };
    OperationRequest { movement, ..request.clone() }
}

/// The same envelope with one bit of its ciphertext turned.
fn altered(envelope: &Envelope) -> Result<Envelope, Stop> {
    let broken = |error: serde_json::Error| Stop::Broken(error.to_string());
    let mut json = serde_json::to_value(envelope).map_err(broken)?;
    let text = json["ct"].as_str().unwrap_or_default();
    let first = if text.starts_with('A') { "B" } else { "A" };
    json["ct"] = format!("{first}{}", text.get(1..).unwrap_or_default()).into();
    serde_json::from_value(json).map_err(broken)
}
