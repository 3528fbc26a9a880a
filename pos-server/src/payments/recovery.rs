//! What becomes of operations that nobody owns any more: their lease is taken and their
//! institution asked. This is the only recovery there is, at start and while running
//! (`payments.md` 5).

use std::sync::Arc;

use pos_protocol::id::InstitutionId;
use pos_protocol::money::Money;
use tracing::{info, warn};

use super::conduct::{self, Owned};
use crate::app::App;
use crate::connectors::{Institution, OperationOrder};
use crate::store::StoreError;
use crate::store::rows::LeasedWork;
use crate::store::verbs::{HastenWork, LeaseDueWork, MOST_ROWS};

/// So many operations of one institution are asked about at once. One that is silent holds no more
/// than these, so that its backlog takes nothing from the others, nor from payments.
const AT_ONCE: usize = 32;

/// What one institution's turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// All that was due is being asked about.
    Done,
    /// More may be due: come again soon.
    More,
}

/// Takes what is due at this institution and starts an inquiry for each.
///
/// # Errors
/// [`StoreError`]: come again later.
pub async fn turn(app: &Arc<App>, institution: &Arc<Institution>) -> Result<Turn, StoreError> {
    let id = &institution.record().id;
    let limit = AT_ONCE.saturating_sub(app.conductor.inquiries(id));
    if limit == 0 {
        return Ok(Turn::More);
    }
    let now = app.clock.now();
    let verb = LeaseDueWork {
        institution: id.clone(),
        owner: app.incarnation,
        now,
        expires_at: conduct::lease_end(app, institution, now),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let due = app.store.lease_due_work(verb).await?;
    let turn = if due.len() < limit { Turn::Done } else { Turn::More };
    if !due.is_empty() {
        info!(count = due.len(), institution_id = %id, "open operations taken over");
    }
    for work in due {
        take_over(app, institution, work);
    }
    Ok(turn)
}

/// Makes everything of this institution due at once that nobody holds: at the start, when all other
/// holders are dead, and when its line returns (`payments.md` 3.3).
///
/// # Errors
/// [`StoreError`]: what was not hastened comes in its own time.
pub async fn hasten(app: &App, institution: &InstitutionId) -> Result<(), StoreError> {
    let now = app.clock.now();
    loop {
        let verb =
            HastenWork { institution: institution.clone(), sole_owner: Some(app.incarnation), now };
        if app.store.hasten_work(verb).await? < u64::from(MOST_ROWS) {
            return Ok(());
        }
    }
}

fn take_over(app: &Arc<App>, institution: &Arc<Institution>, work: LeasedWork) {
    let LeasedWork { payment, operation: id } = work;
    let Some(one) = payment.operation(id) else {
        warn!(operation_id = %id, "work without its operation");
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
    let entered = app.conductor.enter_inquiry(id, &order.institution);
    let institution = Arc::clone(institution);
    conduct::inquire(app, Owned { payment, institution, order, entered });
}
