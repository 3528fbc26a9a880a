//! What shops are told (`payments.md` 8): the outbox from the shop database to mail and webhooks.
//!
//! A notice is a row of the transaction that caused it, one for each channel. The outbox takes what
//! is due, tells it, and writes down what became of that. A crash in between tells it twice, under
//! the same id; nothing is left untold.

pub mod mail;
mod outbox;
pub mod target;
mod text;
pub mod webhook;

use pos_protocol::id::NoticeId;
use pos_protocol::wire::{Notice, NoticeData};
use serde::{Deserialize, Serialize};

pub use outbox::{Outbox, OutboxError, Turn, hasten, turn};
pub use text::rfc3339;

use crate::app::App;
use crate::store::rows::{StoredOperation, StoredPayment};
use crate::store::verbs::NewNotice;
use pos_protocol::Timestamp;
use pos_protocol::id::ShopId;
use pos_protocol::payment::{OperationKind, OperationState};

/// The `type` of the notice that mail goes to another address from now on.
pub const ADDRESS_CHANGED: &str = "notices.address_changed";

/// A notice without an operation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plain {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// Whom it is about.
    pub data: PlainData,
}

/// Whom a notice is about.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlainData {
    /// The shop.
    pub shop_id: ShopId,
}

/// What the shop is told of a step: one notice for each operation that stands elsewhere now. `after`
/// is the payment as the step's transaction leaves it.
pub fn of_step(
    app: &App,
    before: &StoredPayment,
    after: &StoredPayment,
    now: Timestamp,
) -> Vec<NewNotice> {
    let sequence = before.version.saturating_add(1);
    let moved = after.operations.iter().filter(|one| {
        is_told(one) && before.operation(one.id).is_none_or(|old| old.state != one.state)
    });
    moved.map(|one| of_operation(app, after, one, sequence, now)).collect()
}

/// What is only begun is not told, and a reverse shows by the operation that it undoes.
fn is_told(operation: &StoredOperation) -> bool {
    operation.kind != OperationKind::Reverse
        && !matches!(operation.state, OperationState::Accepted | OperationState::Sending)
}

fn of_operation(
    app: &App,
    payment: &StoredPayment,
    operation: &StoredOperation,
    sequence: u32,
    now: Timestamp,
) -> NewNotice {
    let state = operation.state;
    let notice = Notice {
        kind: format!("{}.{}", operation.kind.wire(), state.wire()),
        timestamp: rfc3339(now),
        data: NoticeData {
            shop_id: payment.shop,
            sequence,
            operation: crate::payments::view::operation(payment, operation),
        },
    };
    NewNotice {
        id: fresh_id(app, now),
        // Completion (claim 13), and what takes one back.
        is_mailed: app.outbox.mails()
            && matches!(state, OperationState::Done(_) | OperationState::Reversed(Some(_))),
        body: json(&notice),
    }
}

/// What the address is told that mail went to before.
pub fn of_address_change(app: &App, shop_id: ShopId, now: Timestamp) -> NewNotice {
    let (kind, timestamp) = (ADDRESS_CHANGED.into(), rfc3339(now));
    let body = json(&Plain { kind, timestamp, data: PlainData { shop_id } });
    NewNotice { id: fresh_id(app, now), is_mailed: app.outbox.mails(), body }
}

fn fresh_id(app: &App, now: Timestamp) -> NoticeId {
    NoticeId::fresh(now, app.entropy.array())
}

fn json(notice: &impl Serialize) -> Box<str> {
    let text = serde_json::to_string(notice);
    text.expect("ids, words and numbers have a JSON form").into()
}
