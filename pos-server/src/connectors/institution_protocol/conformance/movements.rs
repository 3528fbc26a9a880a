//! Rules about what follows a payment: captures, voids, refunds, reversals; and checks before one.

use pos_protocol::id::OperationId;
use pos_protocol::institution::{
    self as bodies, CHECKS, CheckAnswer, CheckRequest, CheckState, InstitutionCode, Movement,
    OperationAnswer, OperationRequest, OutcomeState, REVERSALS, ReversalAnswer, ReversalRequest,
    ReversalState,
};
use pos_protocol::money::Amount;
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::SealedOperation;

use super::probe::{Probe, Said, echoed};
use super::{Found, Rule, Stop, not};

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "captures no more than is held",
        section: "4.2",
        check: |probe| Box::pin(captures(probe)),
    },
    Rule {
        rule: "voids what is held, and nothing after it",
        section: "4.2",
        check: |probe| Box::pin(voids(probe)),
    },
    Rule {
        rule: "refunds no more than was captured",
        section: "4.2",
        check: |probe| Box::pin(refunds(probe)),
    },
    Rule {
        rule: "declines what follows no known original",
        section: "5",
        check: |probe| Box::pin(no_original(probe)),
    },
    Rule {
        rule: "answers a check, or says that it does not",
        section: "4.6",
        check: |probe| Box::pin(checks(probe)),
    },
    Rule {
        rule: "reverses a payment once, and moves nothing of it after",
        section: "4.5",
        check: |probe| Box::pin(reversal(probe)),
    },
    Rule {
        rule: "refuses an original that comes after its reversal",
        section: "4.5",
        check: |probe| Box::pin(overtaken(probe)),
    },
];

/// Three fifths of a payment, or the whole where it may not be parted.
fn part(all: u64, may_be_parted: bool) -> u64 {
    if may_be_parted && all >= 5 { all.saturating_mul(3) / 5 } else { all }
}

/// The same movement three times at once: it must be done, once. Whether it moved once, the sums
/// show that are left.
async fn thrice(probe: &Probe<'_>, request: &OperationRequest) -> Found {
    let (one, two, three) =
        tokio::join!(probe.done(request), probe.done(request), probe.done(request));
    let (one, two, three) = (one?, two?, three?);
    if one.reference == two.reference && one.reference == three.reference {
        Ok(())
    } else {
        Err(not("the same reference every time", &[one.reference, two.reference, three.reference]))
    }
}

async fn captures(probe: &Probe<'_>) -> Found {
    use OperationKind::Capture;
    probe.offers(Capture)?;
    let original = probe.new_payment(OperationKind::Authorise, "approve")?;
    probe.done(&original).await?;
    let all = original.amount.minor();
    let told = &probe.info().capabilities;
    must_decline(probe, &after(probe, &original, Capture, all.saturating_add(1))?).await?;
    let first = part(all, told.partial_capture);
    thrice(probe, &after(probe, &original, Capture, first)?).await?;
    let left = all.saturating_sub(first);
    if left > 0 && told.several_captures {
        must_decline(probe, &after(probe, &original, Capture, left.saturating_add(1))?).await?;
        probe.done(&after(probe, &original, Capture, left)?).await?;
    }
    let beyond = if told.partial_capture { 1 } else { all };
    must_decline(probe, &after(probe, &original, Capture, beyond)?).await
}

async fn voids(probe: &Probe<'_>) -> Found {
    use OperationKind::{Capture, Refund, Void};
    probe.offers(Void)?;
    let original = probe.new_payment(OperationKind::Authorise, "approve")?;
    probe.done(&original).await?;
    let all = original.amount.minor();
    let mut captured = part(all, probe.info().capabilities.partial_capture);
    if captured < all && probe.can(Capture) {
        probe.done(&after(probe, &original, Capture, captured)?).await?;
    } else {
        captured = 0;
    }
    let held = all.saturating_sub(captured);
    must_decline(probe, &after(probe, &original, Void, held.saturating_add(1))?).await?;
    if held >= 2 {
        must_decline(probe, &after(probe, &original, Void, held.saturating_sub(1))?).await?;
    }
    thrice(probe, &after(probe, &original, Void, held)?).await?;
    must_decline(probe, &after(probe, &original, Void, held)?).await?;
    if probe.can(Capture) {
        must_decline(probe, &after(probe, &original, Capture, held)?).await?;
    }
    if captured > 0 && probe.can(Refund) {
        // What was captured before is still there, and no more than that.
        probe.done(&after(probe, &original, Refund, captured)?).await?;
        must_decline(probe, &after(probe, &original, Refund, captured)?).await?;
    }
    Ok(())
}

async fn refunds(probe: &Probe<'_>) -> Found {
    use OperationKind::Refund;
    probe.offers(Refund)?;
    let original = probe.new_payment(OperationKind::Sale, "approve")?;
    probe.done(&original).await?;
    let all = original.amount.minor();
    let partial = probe.info().capabilities.partial_refund;
    must_decline(probe, &after(probe, &original, Refund, all.saturating_add(1))?).await?;
    let first = part(all, partial);
    thrice(probe, &after(probe, &original, Refund, first)?).await?;
    let left = all.saturating_sub(first);
    if left > 0 {
        must_decline(probe, &after(probe, &original, Refund, left.saturating_add(1))?).await?;
        probe.done(&after(probe, &original, Refund, left)?).await?;
    }
    let beyond = if partial { 1 } else { all };
    must_decline(probe, &after(probe, &original, Refund, beyond)?).await
}

async fn no_original(probe: &Probe<'_>) -> Found {
    let kinds = [OperationKind::Capture, OperationKind::Void, OperationKind::Refund];
    let never_sent = probe.payment("approve")?;
    let mut any = false;
    for kind in kinds.into_iter().filter(|kind| probe.can(*kind)) {
        any = true;
        let orphan = after(probe, &never_sent, kind, never_sent.amount.minor())?;
        must_decline(probe, &orphan).await?;
    }
    if any { Ok(()) } else { Err(Stop::NotOffered("nothing follows its payments".into())) }
}

async fn checks(probe: &Probe<'_>) -> Found {
    let (order_id, money) = (probe.fresh_order(), probe.money());
    let end = probe.soon();
    let envelope = probe.seal_until("approve", SealedOperation::Check, &order_id, money, end)?;
    let request = CheckRequest {
        contract_number: probe.contract_number.clone(),
        order_id,
        amount: money.amount,
        currency: money.currency,
        envelope,
    };
    let call = || probe.post(CHECKS, bodies::to_json(&request), None);
    if !probe.info().capabilities.check {
        let code = InstitutionCode::OperationUnsupported;
        return probe.refused::<CheckAnswer>(call(), code).await;
    }
    match probe.ask::<CheckAnswer>(call()).await? {
        Said::Answer(answer)
            if answer.echoes(&request) && answer.state == CheckState::Sufficient => {}
        other => return Err(not("`sufficient` with the right echoes", &other)),
    }
    probe.refused::<CheckAnswer>(call(), InstitutionCode::EnvelopeUsed).await
}

async fn reversal(probe: &Probe<'_>) -> Found {
    let original = probe.payment("approve")?;
    let request = reversing(probe, &original)?;
    probe.done(&original).await?;
    for repeat in [false, true] {
        let state = reverse(probe, &ReversalRequest { repeat, ..request.clone() }).await?;
        if state != ReversalState::Reversed {
            return Err(not("the state `reversed`", &state));
        }
    }
    let asked = echoed(&original, probe.inquire(original.operation_id).await?)?;
    if asked.state != OutcomeState::Reversed {
        return Err(not("`reversed` to an inquiry", &asked.state));
    }
    // The payer has the money back: nothing of it may be paid out again.
    let kinds = [OperationKind::Capture, OperationKind::Void, OperationKind::Refund];
    for kind in kinds.into_iter().filter(|kind| probe.can(*kind)) {
        must_decline(probe, &after(probe, &original, kind, original.amount.minor())?).await?;
    }
    Ok(())
}

async fn overtaken(probe: &Probe<'_>) -> Found {
    let original = probe.payment("approve")?;
    let state = reverse(probe, &reversing(probe, &original)?).await?;
    if state != ReversalState::OriginalNotFound {
        return Err(not("the state `original_not_found`", &state));
    }
    match probe.operate(&original).await? {
        Said::Answer(OperationAnswer::NotProcessed { .. }) => Ok(()),
        other => Err(not("the state `not_processed`", &other)),
    }
}

fn reversing(probe: &Probe<'_>, original: &OperationRequest) -> Result<ReversalRequest, Stop> {
    if !probe.info().capabilities.reversal {
        return Err(Stop::NotOffered("it has no reversals".into()));
    }
    Ok(ReversalRequest {
        operation_id: probe.fresh_id(),
        original: original.operation_id,
        contract_number: original.contract_number.clone(),
        order_id: original.order_id.clone(),
        amount: original.amount,
        currency: original.currency,
        repeat: false,
        not_after: probe.soon(),
    })
}

async fn reverse(probe: &Probe<'_>, request: &ReversalRequest) -> Result<ReversalState, Stop> {
    let key = Some(request.operation_id.to_string());
    let call = probe.post(REVERSALS, bodies::to_json(request), key);
    match probe.ask::<ReversalAnswer>(call).await? {
        Said::Answer(answer) if answer.echoes(request) => Ok(answer.state),
        other => Err(not("a reversal's answer with the right echoes", &other)),
    }
}

/// A capture, void or refund of an earlier payment, of this much.
fn after(
    probe: &Probe<'_>,
    first: &OperationRequest,
    kind: OperationKind,
    minor: u64,
) -> Result<OperationRequest, Stop> {
    probe.offers(kind)?;
    let amount = Amount::new(minor)
        .map_err(|_| Stop::Missing("its amounts are too small to be parted".into()))?;
    let own = OperationRequest {
        operation_id: probe.fresh_id(),
        amount,
        not_after: probe.soon(),
        ..first.clone()
    };
    Ok(following(&own, kind, first.operation_id))
}

/// The same request as a movement that follows `original`.
pub(super) fn following(
    own: &OperationRequest,
    kind: OperationKind,
    original: OperationId,
) -> OperationRequest {
    let movement = match kind {
        OperationKind::Capture => Movement::Capture { original },
        OperationKind::Void => Movement::Void { original },
        _ => Movement::Refund { original },
    };
    OperationRequest { movement, ..own.clone() }
}

async fn must_decline(probe: &Probe<'_>, request: &OperationRequest) -> Found {
    let outcome = probe.outcome(request).await?;
    if matches!(outcome.state, OutcomeState::Declined { .. }) {
        Ok(())
    } else {
        Err(not(&format!("this {} to be declined", request.kind()), &outcome.state))
    }
}
