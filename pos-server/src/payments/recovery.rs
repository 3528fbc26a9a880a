//! What becomes of operations that nobody owns any more, and of the server's own: their lease is taken,
//! and their institution asked, or told. This is the only recovery there is, at start and while running
//! (`payments.md` 5).

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::{InstitutionId, OperationId};
use pos_protocol::money::Money;
use pos_protocol::payment::{OperationKind, OperationState};
use tracing::{info, warn};

use super::conduct::{self, Owned};
use crate::app::App;
use crate::connectors::{Capabilities, Institution, OperationOrder, ReversalOrder};
use crate::crash;
use crate::store::StoreError;
use crate::store::rows::{LeasedWork, StoredPayment};
use crate::store::verbs::{HastenWork, LeaseDueWork, MOST_ROWS};

/// The epoch of an operation that was leased once.
const FIRST_EPOCH: u32 = 1;

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

/// Takes what is due at this institution and starts what is to be done about each.
///
/// # Errors
/// [`StoreError`]: come again later.
pub async fn turn(app: &Arc<App>, institution: &Arc<Institution>) -> Result<Turn, StoreError> {
    let id = &institution.record().id;
    let limit = AT_ONCE.saturating_sub(app.conductor.inquiries(id));
    if limit == 0 {
        return Ok(Turn::More);
    }
    let (now, began) = (app.clock.now(), app.clock.monotonic());
    let expires_at = conduct::lease_end(app, institution, now);
    let verb = LeaseDueWork {
        institution: id.clone(),
        owner: app.incarnation,
        now,
        expires_at,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let due = app.store.lease_due_work(verb).await?;
    let turn = if due.len() < limit { Turn::Done } else { Turn::More };
    if !due.is_empty() {
        crash::point("take_over.leased");
        info!(count = due.len(), institution_id = %id, "open operations taken over");
    }
    let lease_until = began.saturating_add(expires_at.since(now));
    for work in due {
        take_over(app, institution, work, lease_until);
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
        let sole_owner = app.database.is_some().then_some(app.incarnation);
        let verb = HastenWork { institution: institution.clone(), sole_owner, now };
        if app.store.hasten_work(verb).await? < u64::from(MOST_ROWS) {
            return Ok(());
        }
    }
}

/// What is done about an operation that was taken over.
#[derive(Debug)]
pub(super) enum Errand {
    /// Ask what became of it.
    Ask(OperationOrder),
    /// Undo the sale or authorise that began its payment.
    Reverse(ReversalOrder),
    /// Send it: for the first time, or again under the same id.
    Send(OperationOrder),
}

fn take_over(
    app: &Arc<App>,
    institution: &Arc<Institution>,
    work: LeasedWork,
    lease_until: Duration,
) {
    let LeasedWork { payment, operation } = work;
    let now = app.clock.now();
    let capabilities = institution.connector().capabilities();
    let Some(errand) = errand(&payment, operation, capabilities, now) else {
        warn!(operation_id = %operation, "work without its operation");
        return;
    };
    let entered = app.conductor.enter_taken_over(operation, &institution.record().id);
    let institution = Arc::clone(institution);
    let owned = Owned { payment, institution, operation, entered };
    conduct::pursue(app, owned, errand, lease_until);
}

/// By `payments.md` 3.2: what has the same effect however often it is sent is sent again as long as it
/// may be processed, and everything else is asked about.
fn errand(
    payment: &StoredPayment,
    id: OperationId,
    capabilities: &Capabilities,
    now: Timestamp,
) -> Option<Errand> {
    let one = payment.operation(id)?;
    let first = payment.operations.first()?;
    let money = Money { amount: one.amount, currency: payment.currency };
    if one.kind == OperationKind::Reverse {
        return Some(Errand::Reverse(ReversalOrder {
            institution: payment.institution.clone(),
            operation_id: id,
            original: first.id,
            contract_number: payment.contract_number.clone(),
            order_id: payment.order_id.clone(),
            money,
            original_not_after: first.not_after,
            not_after: now.plus(capabilities.processing_limit()),
            repeat: one.lease_epoch > FIRST_EPOCH,
        }));
    }
    let unsent = one.by_server && one.lease_epoch == FIRST_EPOCH;
    let order = OperationOrder {
        institution: payment.institution.clone(),
        operation_id: id,
        kind: one.kind,
        original: if one.kind.begins_payment() { None } else { Some(first.id) },
        contract_number: payment.contract_number.clone(),
        order_id: payment.order_id.clone(),
        money,
        not_after: one.not_after,
        allow_partial: one.allow_partial,
        sent_before: !unsent,
        envelope: None,
    };
    let in_doubt = matches!(one.state, OperationState::Sending | OperationState::Unknown);
    let again = in_doubt && now < one.not_after && capabilities.repeats.contains(&one.kind);
    Some(if unsent || again { Errand::Send(order) } else { Errand::Ask(order) })
}

#[cfg(test)]
mod tests {
    use pos_protocol::Currency;
    use pos_protocol::money::Amount;

    use super::*;
    use crate::store::rows::{Evidence, StoredOperation};

    const BEGUN: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn after(seconds: u64) -> Timestamp {
        BEGUN.plus(Duration::from_secs(seconds))
    }

    fn operation(n: u8, kind: OperationKind, state: OperationState) -> StoredOperation {
        StoredOperation {
            id: OperationId::from_octets([n; 16]),
            key: "key-0000000000000001".parse().unwrap(),
            fingerprint: [0; 32],
            kind,
            amount: Amount::new(1200).unwrap(),
            allow_partial: false,
            give_up_at: None,
            by_server: false,
            state,
            not_after: after(10),
            created_at: BEGUN,
            ended_at: None,
            evidence: Evidence::default(),
            inquiries: 0,
            lease_epoch: 2,
        }
    }

    fn payment(operations: Vec<StoredOperation>) -> StoredPayment {
        StoredPayment {
            id: pos_protocol::id::PaymentId::from_octets([7; 16]),
            shop: pos_protocol::id::ShopId::from_octets([7; 16]),
            pos: pos_protocol::id::PosId::from_octets([7; 16]),
            contract: pos_protocol::id::ContractId::from_octets([7; 16]),
            contract_number: "4980012345".parse().unwrap(),
            institution: "sakura-card".parse().unwrap(),
            order_id: "order-1".parse().unwrap(),
            amount: Amount::new(1200).unwrap(),
            currency: Currency::JPY,
            sums: pos_protocol::payment::Sums::default(),
            created_at: BEGUN,
            version: 1,
            operations,
        }
    }

    fn repeating(kinds: &[OperationKind]) -> Capabilities {
        Capabilities { repeats: kinds.to_vec(), ..Capabilities::none() }
    }

    /// The errand of the payment's last operation.
    fn of(payment: &StoredPayment, capabilities: &Capabilities, at: Timestamp) -> Errand {
        let last = payment.operations.last().unwrap().id;
        errand(payment, last, capabilities, at).unwrap()
    }

    #[test]
    fn only_what_is_declared_is_sent_again_and_only_in_time() {
        use OperationKind::{Refund, Sale};
        use OperationState::{Pending, Sending, Unknown};
        let amount = Amount::new(1200).unwrap();
        let sold = operation(1, Sale, OperationState::Done(amount));
        let refund = |state| payment(vec![sold.clone(), operation(2, Refund, state)]);
        let declared = repeating(&[Refund]);
        for state in [Sending, Unknown] {
            let again = of(&refund(state), &declared, after(9));
            assert!(matches!(&again, Errand::Send(order) if order.sent_before), "{again:?}");
            assert!(matches!(of(&refund(state), &declared, after(10)), Errand::Ask(_)));
            assert!(matches!(of(&refund(state), &repeating(&[]), after(9)), Errand::Ask(_)));
        }
        assert!(matches!(of(&refund(Pending), &declared, after(9)), Errand::Ask(_)));
        let sale = payment(vec![operation(1, Sale, Unknown)]);
        assert!(matches!(of(&sale, &declared, after(9)), Errand::Ask(_)));
    }

    #[test]
    fn the_servers_own_is_sent_by_whoever_leases_it_first_and_then_asked_about() {
        let amount = Amount::new(1200).unwrap();
        let sold = operation(1, OperationKind::Sale, OperationState::Done(amount));
        let own = |lease_epoch| StoredOperation {
            by_server: true,
            lease_epoch,
            ..operation(2, OperationKind::Refund, OperationState::Sending)
        };
        let leased = |epoch| payment(vec![sold.clone(), own(epoch)]);
        let first = of(&leased(1), &repeating(&[]), after(1));
        assert!(matches!(&first, Errand::Send(order) if !order.sent_before), "{first:?}");
        assert!(matches!(of(&leased(2), &repeating(&[]), after(1)), Errand::Ask(_)));
    }

    #[test]
    fn a_reverse_names_its_original_and_says_that_it_is_a_repeat() {
        let reversing = operation(1, OperationKind::Sale, OperationState::Reversing(None));
        for (lease_epoch, repeat) in [(1, false), (2, true)] {
            let reverse = StoredOperation {
                lease_epoch,
                ..operation(2, OperationKind::Reverse, OperationState::Unknown)
            };
            let payment = payment(vec![reversing.clone(), reverse]);
            let Errand::Reverse(order) = of(&payment, &repeating(&[]), after(300)) else {
                panic!("a reverse is carried out");
            };
            assert_eq!((order.original, order.repeat), (reversing.id, repeat));
            assert_eq!((order.original_not_after, order.not_after), (after(10), after(310)));
        }
    }
}
