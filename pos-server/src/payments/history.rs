//! What a shop reads of its payments (D1).

use std::sync::Arc;

use pos_protocol::ErrorCode;
use pos_protocol::id::RequestId;
use pos_protocol::id::{IdempotencyKey, OrderId, PaymentId, PosId};
use pos_protocol::wire::{HistoryPage, KeyStatus, NotFoundEvidence, PaymentView};

use super::{routing, view};
use crate::app::App;
use crate::http::v1::error::ApiError;
use crate::http::v1::identity::Shop;
use crate::store::rows::{StoredPayment, UnderKey};

/// One payment.
///
/// # Errors
/// `not_found`, also for another shop's.
pub async fn payment(app: &App, shop: &Shop, id: PaymentId) -> Result<PaymentView, ApiError> {
    let tenant = shop.id();
    seen(shop, app.store.read(move |reader| reader.payment(tenant, id)).await?)
}

/// The payment of an order: the one that holds it, else the latest try.
///
/// # Errors
/// `not_found`.
pub async fn order(app: &App, shop: &Shop, order: OrderId) -> Result<PaymentView, ApiError> {
    let tenant = shop.id();
    seen(shop, app.store.read(move |reader| reader.payment_of_order(tenant, &order)).await?)
}

fn seen(shop: &Shop, found: Option<StoredPayment>) -> Result<PaymentView, ApiError> {
    let found = found.filter(|found| shop.may_use(found.pos)).ok_or(ErrorCode::NotFound)?;
    Ok(view::payment(&found))
}

/// What became of a call, by its idempotency key. "Nothing" names the server's time and the gaps
/// in its memory, because only with them it can become *not made* (`payments.md` 4.6).
///
/// # Errors
/// `not_found` for an operation on another POS than the key's own: never "nothing", because the
/// operation is there.
pub async fn by_key(
    app: &App,
    shop: &Shop,
    key: IdempotencyKey,
    request_id: RequestId,
) -> Result<KeyStatus, ApiError> {
    // The time first: a call that arrives between the two readings must not count as "none until
    // then".
    let server_time_ms = app.clock.now();
    let tenant = shop.id();
    let found = app.store.read(move |reader| reader.under_key(tenant, &key)).await?;
    Ok(match found {
        Some(UnderKey::Operation(payment, _)) if !shop.may_use(payment.pos) => {
            return Err(ErrorCode::NotFound.into());
        }
        Some(UnderKey::Operation(payment, id)) => {
            KeyStatus::Operation(view::answer(&payment, id)?.1)
        }
        Some(UnderKey::Refusal(refusal)) => {
            KeyStatus::Refusal(view::refusal(&refusal).problem(request_id))
        }
        None => {
            let gaps = app.store.read(|reader| reader.time_gaps()).await?;
            KeyStatus::Nothing(NotFoundEvidence { server_time_ms, gaps })
        }
    })
}

/// Payments newest first.
///
/// # Errors
/// `not_found` for another shop's POS; a fault of the store.
pub async fn page(
    app: &Arc<App>,
    shop: &Shop,
    pos: Option<PosId>,
    after: Option<PaymentId>,
    limit: u32,
) -> Result<HistoryPage, ApiError> {
    if let Some(wanted) = pos {
        routing::see_pos(app, shop, wanted, "pos").await?;
    }
    let pos = shop.only_pos().or(pos);
    let tenant = shop.id();
    // One more than asked for tells whether there is another page.
    let more = limit.saturating_add(1);
    let found = app.store.read_slow(move |reader| reader.history(tenant, pos, after, more)).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let payments: Vec<_> = found.iter().take(shown).map(view::payment).collect();
    let next = (found.len() > shown).then(|| payments.last().map(|one| one.payment_id)).flatten();
    Ok(HistoryPage { payments, next })
}
