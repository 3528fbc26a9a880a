//! What becomes of operations that nobody owns any more: their lease is taken and their
//! institution asked. This is the only recovery there is, at start and while running
//! (`payments.md` 5).

use std::sync::Arc;

use pos_protocol::money::Money;
use tracing::warn;

use super::conduct::{self, Owned};
use crate::app::App;
use crate::connectors::OperationOrder;
use crate::store::StoreError;
use crate::store::rows::LeasedWork;
use crate::store::verbs::LeaseDueWork;

/// At most so many operations are taken in one turn, and run at once.
const AT_ONCE: u32 = 64;

/// Takes what is due and starts an inquiry for each. Answers how many.
///
/// # Errors
/// [`StoreError`]: come again later.
pub async fn turn(app: &Arc<App>) -> Result<usize, StoreError> {
    let now = app.clock.now();
    let running = u32::try_from(app.conductor.running()).unwrap_or(u32::MAX);
    // What runs for callers counts too: recovery never crowds them out.
    let limit = AT_ONCE.saturating_sub(running.min(AT_ONCE / 2));
    let verb = LeaseDueWork {
        owner: app.incarnation,
        sole_owner: true,
        now,
        expires_at: now.plus(app.config.worker.lease),
        limit,
    };
    let due = app.store.lease_due_work(verb).await?;
    let taken = due.len();
    for work in due {
        take_over(app, work);
    }
    Ok(taken)
}

fn take_over(app: &Arc<App>, work: LeasedWork) {
    let LeasedWork { payment, operation: id } = work;
    let Some(one) = payment.operation(id) else {
        warn!(operation_id = %id, "work without its operation");
        return;
    };
    let Some(institution) = app.institutions.get(&payment.institution) else {
        // The lease runs out again; until the operator enters it anew nobody can be asked.
        warn!(operation_id = %id, institution_id = %payment.institution, "nobody to ask");
        return;
    };
    let first = payment.operations.first().map(|first| first.id);
    let order = OperationOrder {
        institution: payment.institution.clone(),
        operation_id: id,
        kind: one.kind,
        original: if one.kind.begins_payment() { None } else { first },
        contract_number: payment.contract_number.clone(),
        order_id: payment.order_id.clone(),
        money: Money { amount: one.amount, currency: payment.currency },
        not_after: one.not_after,
        allow_partial: one.allow_partial,
        sent_before: true,
        envelope: None,
    };
    let inquiries = one.inquiries;
    // Nothing of it is sent again: an inquiry needs no leave.
    let (send_before, expires) = (app.clock.monotonic(), order.not_after);
    let owned = Owned { payment, institution, order, send_before, expires };
    conduct::inquire(app, owned, inquiries);
}
