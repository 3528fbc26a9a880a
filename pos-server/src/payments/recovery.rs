//! What becomes of operations that nobody owns any more: their lease is taken and their
//! institution asked. This is the only recovery there is, at start and while running
//! (`payments.md` 5).

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::money::Money;
use tracing::warn;

use super::conduct::{self, Owned};
use crate::app::App;
use crate::connectors::OperationOrder;
use crate::store::StoreError;
use crate::store::rows::LeasedWork;
use crate::store::verbs::LeaseDueWork;

/// At most so many inquiries are under way at once, so that they never crowd payments out of an
/// institution's lines.
const AT_ONCE: u32 = 64;

/// Longer than an inquiry waits for its answer.
const LONGEST_INQUIRY: Duration = Duration::from_secs(45);

/// Takes what is due and starts an inquiry for each. Answers how many.
///
/// # Errors
/// [`StoreError`]: come again later.
pub async fn turn(app: &Arc<App>) -> Result<usize, StoreError> {
    let now = app.clock.now();
    let limit = AT_ONCE.saturating_sub(app.conductor.asking());
    let verb = LeaseDueWork {
        owner: app.incarnation,
        sole_owner: true,
        now,
        expires_at: now.plus(app.config.worker.lease.max(LONGEST_INQUIRY)),
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
    if app.conductor.is_running(id) {
        return; // Its task is still at it; the lease just taken covers it.
    }
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
    let send_before = app.clock.monotonic();
    conduct::inquire(app, Owned { payment, institution, order, send_before }, inquiries);
}
