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
        rule: "captures and voids no more than is held",
        section: "4.2",
        check: |probe| Box::pin(holds(probe)),
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
        rule: "reverses a payment once",
        section: "4.5",
        check: |probe| Box::pin(reversal(probe)),
    },
    Rule {
        rule: "refuses an original that comes after its reversal",
        section: "4.5",
        check: |probe| Box::pin(overtaken(probe)),
    },
];

async fn holds(probe: &Probe<'_>) -> Found {
    let original = probe.new_payment(OperationKind::Authorise, "approve")?;
    probe.done(&original).await?;
    let all = original.amount.minor();
    let told = &probe.info().capabilities;
    let partial = told.partial_capture && told.several_captures && all >= 4;
    if !partial {
        let more = following(probe, &original, OperationKind::Capture, all.saturating_add(1))?;
        must_decline(probe, &more).await?;
        let capture = following(probe, &original, OperationKind::Capture, all)?;
        return probe.done(&capture).await.map(drop);
    }
    let quarter = all / 4;
    let rest = all.saturating_sub(quarter).saturating_sub(quarter);
    for _ in 0..2 {
        let capture = following(probe, &original, OperationKind::Capture, quarter)?;
        probe.done(&capture).await?;
    }
    let more = following(probe, &original, OperationKind::Capture, rest.saturating_add(1))?;
    must_decline(probe, &more).await?;
    if !probe.can(OperationKind::Void) {
        return Ok(());
    }
    let less = following(probe, &original, OperationKind::Void, rest.saturating_sub(1))?;
    must_decline(probe, &less).await?;
    let void = following(probe, &original, OperationKind::Void, rest)?;
    probe.done(&void).await?;
    let after = following(probe, &original, OperationKind::Capture, 1)?;
    must_decline(probe, &after).await
}

async fn refunds(probe: &Probe<'_>) -> Found {
    if !probe.can(OperationKind::Refund) {
        return Err(Stop::Missing("it has no refund".into()));
    }
    let original = probe.new_payment(OperationKind::Sale, "approve")?;
    probe.done(&original).await?;
    let all = original.amount.minor();
    let more = following(probe, &original, OperationKind::Refund, all.saturating_add(1))?;
    must_decline(probe, &more).await?;
    let mut left = all;
    if probe.info().capabilities.partial_refund && all >= 2 {
        let part = following(probe, &original, OperationKind::Refund, 1)?;
        probe.done(&part).await?;
        left = left.saturating_sub(1);
        let all_again = following(probe, &original, OperationKind::Refund, all)?;
        must_decline(probe, &all_again).await?;
    }
    let rest = following(probe, &original, OperationKind::Refund, left)?;
    probe.done(&rest).await?;
    let beyond = following(probe, &original, OperationKind::Refund, 1)?;
    must_decline(probe, &beyond).await
}

async fn no_original(probe: &Probe<'_>) -> Found {
    let kinds = [OperationKind::Capture, OperationKind::Void, OperationKind::Refund];
    let never_sent = probe.payment("approve")?;
    for kind in kinds.into_iter().filter(|kind| probe.can(*kind)) {
        let following = following(probe, &never_sent, kind, never_sent.amount.minor())?;
        must_decline(probe, &following).await?;
    }
    Ok(())
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
    if asked.state == OutcomeState::Reversed {
        Ok(())
    } else {
        Err(not("`reversed` to an inquiry", &asked.state))
    }
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
        return Err(Stop::Missing("it has no reversals".into()));
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

fn following(
    probe: &Probe<'_>,
    first: &OperationRequest,
    kind: OperationKind,
    minor: u64,
) -> Result<OperationRequest, Stop> {
    if !probe.can(kind) {
        return Err(Stop::Missing(format!("it has no {kind}")));
    }
    let original: OperationId = first.operation_id;
    let movement = match kind {
        OperationKind::Capture => Movement::Capture { original },
        OperationKind::Void => Movement::Void { original },
        _ => Movement::Refund { original },
    };
    let amount = Amount::new(minor)
        .map_err(|_| Stop::Missing("its amounts are too small to be parted".into()))?;
    Ok(OperationRequest {
        operation_id: probe.fresh_id(),
        movement,
        amount,
        not_after: probe.soon(),
        ..first.clone()
    })
}

async fn must_decline(probe: &Probe<'_>, request: &OperationRequest) -> Found {
    let outcome = probe.outcome(request).await?;
    if matches!(outcome.state, OutcomeState::Declined { .. }) {
        Ok(())
    } else {
        Err(not(&format!("this {} to be declined", request.kind()), &outcome.state))
    }
}
